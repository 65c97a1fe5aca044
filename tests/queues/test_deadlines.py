"""No try of a publish begins, or goes on, after the run's lease has run out, whatever the queue.

Limits of other kinds are out of reach here: a test that needs them does not come to its end.
"""

import math
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from servers import moto
from servers.faulty import Exchange, Faulty, answer, s3_error, silent
from servers.fixtures import KEYS
from support.clouds import Cloud, amazon
from support.command import metrics
from support.harness import PARTS
from workflow_manager import registry
from workflow_manager.errors import QueueError
from workflow_manager.ports import RetryPolicy, Settings, TaskQueue
from workflow_manager.queues import sqlite_file
from workflow_manager.testing.queue_contract import messages

FAR = 100_000.0  # seconds
SOON = 0.3
LONG = 30.0
ARN = "arn:aws:sns:us-east-1:123456789012:intake"
SQS_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/intake"

Until = Callable[[], float]
Open = Callable[[str, Mapping[str, object], Mapping[str, str], Until], TaskQueue]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens queues that are patient without end, but for the deadline, and closes them."""
    queues = []

    def opened(
        kind: str, options: Mapping[str, object], environ: Mapping[str, str], until: Until
    ) -> TaskQueue:
        policy = RetryPolicy(FAR, FAR, 1000, FAR, until)
        queues.append(registry.queue(kind).open(Settings(options, environ=environ, retry_policy=policy)))
        return queues[-1]

    yield opened
    for queue in queues:
        queue.close()


def soon() -> Until:
    """A deadline that is near."""
    end = time.monotonic() + SOON
    return lambda: end


def refusals(queue: TaskQueue, topic: str) -> list[str]:
    """Why each of two messages was not published."""
    try:
        return [str(outcome) for outcome in queue.publish(topic, messages(2))]
    except QueueError as error:
        return [str(error)] * 2


class TestClouds:
    @pytest.fixture(params=["aws-sns", "aws-sqs", "gcp-pubsub"])
    def publish(
        self, request: pytest.FixtureRequest, opened: Open, server: Faulty
    ) -> Callable[[Until], list[str]]:
        kind = str(request.param)
        topic = {"aws-sns": ARN, "aws-sqs": SQS_URL}.get(kind, "intake")
        options = {f"{kind}-region": moto.REGION, "gcp-project-id": "p"}
        address = server.url.removeprefix("http://")
        environ = {"AWS_ENDPOINT_URL": server.url, "PUBSUB_EMULATOR_HOST": address, **KEYS}
        return lambda until: refusals(opened(kind, options, environ, until), topic)

    def test_nothing_is_sent_after_it(self, publish: Callable[[Until], list[str]], server: Faulty) -> None:
        assert "no time left to send the request" in publish(lambda: 0.0)[0]
        assert not server.seen

    @pytest.mark.usefixtures("hasty")
    def test_no_other_try_begins_after_it(
        self, publish: Callable[[Until], list[str]], server: Faulty
    ) -> None:
        server.always = answer(503)
        over = lambda: 0.0 if len(server.seen) >= 3 else math.inf  # noqa: E731 (a deadline that comes)
        assert "503" in publish(over)[0]
        assert len(server.seen) == 3

    def test_a_try_that_is_under_way_is_cut_off(
        self, publish: Callable[[Until], list[str]], server: Faulty
    ) -> None:
        server.always = silent
        assert all(publish(soon()))
        assert len(server.seen) == 1


@pytest.mark.usefixtures("hasty")
def test_entries_that_a_service_refused_are_not_sent_again_after_it(opened: Open, server: Faulty) -> None:
    server.always = answer(
        200,
        b"<R><Failed><member><Code>Fault</Code><Id>0</Id><SenderFault>false</SenderFault></member></Failed>"
        b"</R></PublishBatchResponse>",
    )
    over = lambda: 0.0 if len(server.seen) >= 2 else math.inf  # noqa: E731 (a deadline that comes)
    environ = {"AWS_ENDPOINT_URL": server.url, **KEYS}
    queue = opened("aws-sns", {"aws-sns-region": moto.REGION}, environ, over)
    (outcome,) = queue.publish(ARN, messages(1))
    assert outcome is not None
    assert len(server.seen) == 2


class Listener:
    """A server that does with each connection what a test wants, and counts them."""

    def __init__(self, treat: Callable[[socket.socket], None]) -> None:
        self.accepted = 0
        self._treat = treat
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                threading.Thread(target=self._treat, args=[connection], daemon=True).start()
        except OSError:  # it is closed
            return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class TestBrokers:
    @pytest.fixture(params=["redis", "nats", "rabbitmq"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def options(self, kind: str, address: str) -> dict[str, object]:
        scheme = {"rabbitmq": "amqp"}.get(kind, kind)
        return {f"{kind}-url": f"{scheme}://{address}"}

    def test_nothing_is_sent_after_it(self, kind: str, opened: Open) -> None:
        with closing(Listener(lambda connection: connection.close())) as server:
            queue = opened(kind, self.options(kind, server.address), {}, lambda: 0.0)
            assert all("no time left to send" in refusal for refusal in refusals(queue, "intake"))
            assert server.accepted == 0

    def test_a_try_that_is_under_way_is_cut_off(self, kind: str, opened: Open) -> None:
        ended = threading.Event()

        def say_nothing(connection: socket.socket) -> None:
            while connection.recv(1000):
                pass
            ended.set()
            connection.close()

        with closing(Listener(say_nothing)) as server:
            queue = opened(kind, self.options(kind, server.address), {}, soon())
            assert all(refusals(queue, "intake"))
            assert ended.wait(LONG)
            assert server.accepted == 1

    @pytest.mark.usefixtures("hasty")
    def test_redis_begins_no_other_try_after_it(self, opened: Open) -> None:
        with closing(Listener(lambda connection: connection.close())) as server:
            over = lambda: 0.0 if server.accepted >= 3 else math.inf  # noqa: E731 (a deadline that comes)
            assert all(refusals(opened("redis", self.options("redis", server.address), {}, over), "intake"))
            assert server.accepted == 3

    def test_redis_tries_again_before_it(self, opened: Open, redis_url: str) -> None:
        """A connection that was closed meanwhile is no reason to fail."""
        queue = opened("redis", {"redis-url": redis_url}, {}, lambda: math.inf)
        assert list(queue.publish("again", messages(1))) == [None]
        client = queue._client  # type: ignore[attr-defined] # to close its connections from the other side
        for connection in client.client_list():
            client.client_kill_filter(_id=connection["id"], skipme=True)
        assert list(queue.publish("again", messages(2))) == [None, None]


class TestSqlite:
    def test_nothing_is_written_after_it(self, opened: Open, tmp_path: Path) -> None:
        options = {"sqlite-path": str(tmp_path / "tasks.db")}
        assert "no time left" in refusals(opened("sqlite", options, {}, lambda: 0.0), "t")[0]
        assert not (tmp_path / "tasks.db").exists()

    def test_it_does_not_wait_for_others_after_it(
        self, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_file, "_BUSY_TIMEOUT", FAR)
        path = str(tmp_path / "tasks.db")
        opened("sqlite", {"sqlite-path": path}, {}, lambda: math.inf).prepare([])
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "locked" in refusals(opened("sqlite", {"sqlite-path": path}, {}, soon()), "t")[0]


class TestRuns:
    @pytest.fixture
    def cloud(self, moto_url: str) -> Iterator[Cloud]:
        scenery = amazon(moto_url)
        for part in PARTS:
            scenery.ingestion.put(f"agg/2026/11/23/03/05/b.batch{part}", b"")
        with scenery.deployment() as cloud:
            yield cloud
        scenery.ingestion.close()
        scenery.peer.close()

    def test_a_publish_is_not_tried_again_when_the_lease_could_not_be_renewed(
        self, cloud: Cloud, tmp_path: Path
    ) -> None:
        """The topic is busy for ever, and from then on the bucket takes no lease any more."""
        busy = threading.Event()

        def fault(exchange: Exchange) -> None:
            if b"PublishBatch" in exchange.seen.body:
                busy.set()
                answer(503)(exchange)
            elif busy.is_set() and exchange.seen.method == "PUT":
                s3_error(403, "AccessDenied")(exchange)
            else:
                exchange.reply(exchange.upstream())

        cloud.meet_with(fault)
        file = tmp_path / "wm.prom"
        patient = ("--request-timeout=10h", "--request-tries=100000", "--lease-duration=1s")
        outcome = cloud.run(
            "--now=2026-11-23T04:20:00Z",
            "--intake-max-age=6h",
            "--batch-ids=any",
            *patient,
            f"--metrics-file={file}",
        )
        assert outcome.status == 1
        assert "503" in outcome.event("task.failed")["message"]
        assert cloud.markers() == set()
        assert metrics(file.read_text())["workflow_manager_intake_tasks_failed"] == {"agg": 1}
