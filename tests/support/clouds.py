"""Whole deployments on the emulators of both clouds, with a faulty server in front of all services."""

import base64
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from servers import moto, pubsub
from servers.faulty import Fault, Faulty, Seen, faulty, honest
from servers.fixtures import KEYS, gcs_bucket, s3_bucket
from support.command import Outcome, call
from workflow_manager.ports import ObjectStore

# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
BUCKET_FLAGS = ("ingestor-input", "own-validation-input", "peer-validation-input")
INTAKE, AGGREGATE = "intake", "aggregate"


@dataclass(frozen=True)
class Topics:
    """A queue's two topics: the flags to use them, how to take what is on one, and what a request sends."""

    flags: Sequence[str]
    bodies: Callable[[str, int], list[bytes]]
    sent: Callable[[Seen], list[bytes]]


@dataclass(frozen=True)
class Cloud:
    """Three buckets and two topics, reached through faulty servers."""

    buckets: tuple[ObjectStore, ObjectStore, ObjectStore]
    topics: Topics
    servers: Sequence[Faulty]
    environ: Mapping[str, str]

    def meet_with(self, fault: Fault) -> None:
        """From now on, this happens to all requests."""
        for server in self.servers:
            server.always = fault

    def flags(self) -> list[str]:
        """The flags that every run needs."""
        named = zip(BUCKET_FLAGS, self.buckets, strict=True)
        return [*(f"--{flag}={bucket.url}" for flag, bucket in named), *self.topics.flags]

    def run(self, *arguments: str, timeout: float = 60) -> Outcome:
        """One pass."""
        return call(COMMAND, ["run", *self.flags(), *arguments], self.environ, timeout)

    def markers(self) -> set[str]:
        """The keys of all markers, without any lease. From now on, nothing goes wrong any more."""
        self.meet_with(honest)
        found = (key for page in self.buckets[1].list_keys("task-markers/") for key in page)
        return {key for key in found if "workflow-manager-" not in key}


@dataclass(frozen=True)
class Scenery:
    """Services of one cloud, with the two buckets that are only read.

    `environ` says how to reach the services through faulty servers, which are in the order of `urls`.
    """

    urls: Sequence[str]
    make_bucket: Callable[[], ObjectStore]
    make_topics: Callable[[], Topics]
    environ: Callable[[Sequence[str]], Mapping[str, str]]
    ingestion: ObjectStore
    peer: ObjectStore

    @contextmanager
    def deployment(self) -> Iterator[Cloud]:
        """A deployment with topics and a bucket of markers of its own."""
        with ExitStack() as opened:
            servers = [opened.enter_context(faulty(url)) for url in self.urls]
            own = self.make_bucket()
            opened.callback(own.close)
            environ = self.environ([server.url for server in servers])
            yield Cloud((self.ingestion, own, self.peer), self.make_topics(), servers, environ)


def amazon(url: str) -> Scenery:
    """Buckets of S3, and topics of SNS with a queue of SQS behind each."""

    def sent(seen: Seen) -> list[bytes]:
        fields = parse_qsl(seen.body) if b"Action=PublishBatch" in seen.body else []
        return [value for name, value in fields if name.endswith(b".Message")]

    def topics() -> Topics:
        names = {topic: uuid.uuid4().hex for topic in (INTAKE, AGGREGATE)}
        arns = {topic: moto.make_topic(url, name) for topic, name in names.items()}
        flags = ["--task-queue-kind=aws-sns", f"--aws-sns-region={moto.REGION}", *_topic_flags(arns)]
        return Topics(flags, lambda topic, most: moto.receive(url, names[topic], most), sent)

    make = partial(s3_bucket, url)
    return Scenery(
        [url], make, topics, lambda through: {"AWS_ENDPOINT_URL": through[0], **KEYS}, make(), make()
    )


def google(gcs_url: str, pubsub_url: str) -> Scenery:
    """Buckets of Cloud Storage, and topics of Pub/Sub."""

    def sent(seen: Seen) -> list[bytes]:
        messages = json.loads(seen.body)["messages"] if seen.path.endswith(":publish") else []
        return [base64.b64decode(message["data"]) for message in messages]

    def topics() -> Topics:
        project = f"projects/p-{uuid.uuid4()}"
        for topic in (INTAKE, AGGREGATE):
            path = f"{project}/topics/{topic}"
            pubsub.call(pubsub_url, "PUT", path, {})
            pubsub.call(pubsub_url, "PUT", f"{project}/subscriptions/{topic}", {"topic": path})
        flags = ["--task-queue-kind=gcp-pubsub", f"--gcp-project-id={project.partition('/')[2]}"]
        flags += _topic_flags({INTAKE: INTAKE, AGGREGATE: AGGREGATE})
        return Topics(
            flags,
            lambda topic, most: pubsub.pull(pubsub_url, f"{project}/subscriptions/{topic}", most),
            sent,
        )

    def environ(through: Sequence[str]) -> Mapping[str, str]:
        return {"STORAGE_EMULATOR_HOST": through[0], "PUBSUB_EMULATOR_HOST": through[1]}

    make = partial(gcs_bucket, gcs_url)
    return Scenery([gcs_url, pubsub_url], make, topics, environ, make(), make())


def _topic_flags(topics: Mapping[str, str]) -> list[str]:
    return [f"--intake-tasks-topic={topics[INTAKE]}", f"--aggregate-tasks-topic={topics[AGGREGATE]}"]


def task_names(bodies: Iterable[bytes]) -> list[str]:
    """What tells one task from another, of each message."""
    names = []
    for task in map(json.loads, bodies):
        of = (task["aggregation-id"], task.get("date", ""), task.get("batch-id", "the aggregation"))
        names.append(" ".join(of))
    return names
