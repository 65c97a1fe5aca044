"""How long it takes from the upload of a batch's last object to the acknowledgement of its intake task.

    python benchmarks/latency.py pubsub --uploads 200
    python benchmarks/latency.py sqs --uploads 200

A `serve` with notifications works on buckets of the server beside this script, at 20 ms a request.
The notifications, and the tasks, go through the Pub/Sub emulator, or moto's SQS, started as the
tests do it. Notifications are published for each object as the clouds do, and batches come
one after the other at random moments.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from filling import INGESTION_BUCKET, OWN_BUCKET, PEER_BUCKET, Filling
from measuring import installed
from servers.moto import make_queue, moto
from servers.pubsub import pubsub
from serving import RunningServer, serving
from support.announcing import PROJECT, Queue, Subscription, attributes, record

_KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


class Scheduled:
    """When the tasks of batches were acknowledged, by the log of the process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._times: dict[str, float] = {}
        self._changed = threading.Condition()
        self.ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, batch: str) -> float:
        """When that of a batch was, in seconds since 1970."""
        with self._changed:
            if not self._changed.wait_for(lambda: batch in self._times, 120):
                raise RuntimeError(f"{batch} was not scheduled")
            return self._times[batch]

    def _read(self) -> None:
        assert self._process.stderr is not None
        while line := self._process.stderr.readline():
            event = json.loads(line)
            if event["event"] == "task.scheduled" and "batch_id" in event:
                with self._changed:
                    self._times[event["batch_id"]] = datetime.fromisoformat(event["timestamp"]).timestamp()
                    self._changed.notify_all()
        self.ended.set()


def main() -> None:
    """Measure, and print the median and the 99th percentile."""
    parser = argparse.ArgumentParser(description="Latency from upload to task")
    parser.add_argument("kind", choices=("pubsub", "sqs"))
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--latency", type=float, default=20, help="milliseconds a request takes (20)")
    arguments = parser.parse_args()
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        server = opened.enter_context(serving(tls=False))
        server.fill(Filling(1, 1, 1, marked=1, aggregated=True))
        server.reset(arguments.latency / 1000)
        lines, environ, announcing = _deployment(arguments.kind, directory, server, opened)
        path = directory / "fleet.yaml"
        path.write_text("instances:\n  one:\n" + "".join(f"    {line}\n" for line in lines))
        command = [installed(), "serve", "--config", str(path), "--listen=none"]
        process = opened.enter_context(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ})
        )
        scheduled = Scheduled(process)
        opened.callback(scheduled.ended.wait)
        opened.callback(process.terminate)
        time.sleep(5)
        taken = sorted(
            _upload(arguments.kind, server, announcing, scheduled) for _ in range(arguments.uploads)
        )
    median, late = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    print(f"{arguments.kind}: {len(taken)} uploads: median {median:.2f} s, 99th percentile {late:.2f} s")


def _deployment(
    kind: str, directory: Path, server: RunningServer, opened: ExitStack
) -> tuple[list[str], dict[str, str], Queue | Subscription]:
    common = ["interval: 1h", "aggregation-period: 1h", "intake-max-age: 24h", "no-lease: false"]
    if kind == "pubsub":
        url = opened.enter_context(pubsub(directory))
        subscription = Subscription(url)
        buckets = [f"gs://{name}" for name in (INGESTION_BUCKET, OWN_BUCKET, PEER_BUCKET)]
        environ = {"STORAGE_EMULATOR_HOST": server.url, "PUBSUB_EMULATOR_HOST": url}
        queue = ["task-queue-kind: gcp-pubsub", f"gcp-project-id: {PROJECT}", "create-pubsub-topics: true"]
        lines = [*queue, "intake-tasks-topic: intake", "aggregate-tasks-topic: aggregate"]
        lines.append(f"ingestor-notifications: {subscription.url}")
        return [*_bucket_lines(buckets), *lines, *common], environ, subscription
    url = opened.enter_context(moto(directory))
    events = Queue(url)
    buckets = [f"s3://us-east-1/{name}" for name in (INGESTION_BUCKET, OWN_BUCKET, PEER_BUCKET)]
    topics = [f"{name}-tasks-topic: {make_queue(url, name)}" for name in ("intake", "aggregate")]
    environ = {"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_S3": server.url, **_KEYS}
    lines = ["task-queue-kind: aws-sqs", "aws-sqs-region: us-east-1", f"ingestor-notifications: {events.url}"]
    return [*_bucket_lines(buckets), *topics, *lines, *common], environ, events


def _bucket_lines(buckets: list[str]) -> list[str]:
    flags = ("ingestor-input", "own-validation-input", "peer-validation-input")
    return [f"{flag}: {url}" for flag, url in zip(flags, buckets, strict=True)]


def _upload(
    kind: str, server: RunningServer, announcing: Queue | Subscription, scheduled: Scheduled
) -> float:
    """Upload a batch; the seconds until its task was acknowledged."""
    time.sleep(random.uniform(0, 0.5))
    batch = str(uuid.uuid4())
    stem = f"kittens-seen/{datetime.now(UTC):%Y/%m/%d/%H/%M}/{batch}.batch"
    uploaded = 0.0
    for key in (f"{stem}.avro", f"{stem}.sig", stem):
        target = f"/{INGESTION_BUCKET}/{key}"
        if kind == "pubsub":
            target = f"/upload/storage/v1/b/{INGESTION_BUCKET}/o?uploadType=media&name={quote(key, safe='')}"
        method = "POST" if kind == "pubsub" else "PUT"
        with urllib.request.urlopen(urllib.request.Request(server.url + target, b"x", method=method)):
            uploaded = time.time()
        now = f"{datetime.now(UTC).isoformat(timespec='milliseconds')}".replace("+00:00", "Z")
        if isinstance(announcing, Subscription):
            announcing.publish(attributes(bucketId=INGESTION_BUCKET, objectId=key, eventTime=now))
        else:
            bucket = {"bucket": {"name": INGESTION_BUCKET}, "object": {"key": quote(key)}}
            announcing.publish({"Records": [record(key, eventTime=now, s3=bucket)]})
    return scheduled.wait(batch) - uploaded


if __name__ == "__main__":
    main()
