"""kill -9 in the middle of a redrive, for every kind of queue: nothing is lost, little is repeated."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from servers import moto, pubsub
from servers.fixtures import KEYS
from workflow_manager import registry
from workflow_manager.pipeline.redrive import Redrive
from workflow_manager.ports import Settings, TaskQueue
from workflow_manager.queue_ports import Browsable, Redrivable
from workflow_manager.queues.rabbitmq import RabbitQueue
from workflow_manager.testing.redrive_contract import publish_all

LETTERS = 45
AT_ONCE = 10  # letters that are in flight; moto slows down with each
LEASE = timedelta(seconds=1)  # Pub/Sub makes it ten
SECONDS = 50.0  # for the leases of a killed redrive to end

REDRIVE = """
import json, os, signal, sys
from datetime import timedelta
from workflow_manager import registry
from workflow_manager.pipeline import redrive
from workflow_manager.ports import Settings

kind, options, environ, source, topic, seconds, at_once, point, times = json.loads(sys.argv[1])


class Killed:
    def __init__(self, letters):
        self.letters, self.left = letters, times

    def reach(self, reached):
        if reached == point:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    def take(self, most):
        taken = self.letters.take(most)
        self.reach("taken")
        return taken

    def remove(self, letters):
        self.reach("published")
        outcomes = self.letters.remove(letters)
        self.reach("removed")
        return outcomes


redrive.MOST_IN_FLIGHT = at_once
queue = registry.queue(kind).open(Settings(options, environ=environ))
letters = queue.dead_letters(source, topic, timedelta(seconds=seconds))
redrive.Redrive(queue, source, topic, lambda _: True).run(Killed(letters))
"""


@dataclass
class Site:
    """A queue with a topic and a place for dead letters, and how to read what is on the topic."""

    kind: str
    options: dict[str, object]
    received: Callable[[TaskQueue, int], list[bytes]]
    topic: str = "intake"
    source: str = "dead"
    environ: dict[str, str] = field(default_factory=dict)
    prepares: bool = True
    buries_with: dict[str, object] = field(default_factory=dict)
    buries_as: str = ""

    def open(self, options: dict[str, object] | None = None, kind: str = "") -> TaskQueue:
        settings = Settings(options or self.options, environ=self.environ)
        return registry.queue(kind or self.kind).open(settings)

    def bury(self, bodies: list[bytes]) -> None:
        with closing(self.open({**self.options, **self.buries_with}, self.buries_as)) as queue:
            if self.prepares:
                queue.prepare([self.source])
            publish_all(queue, self.source, bodies)

    def redrive_and_die(self, point: str, times: int) -> None:
        place = [self.kind, self.options, self.environ, self.source, self.topic]
        given = [*place, LEASE.total_seconds(), AT_ONCE, point, times]
        program = [sys.executable, "-c", REDRIVE, json.dumps(given)]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr

    def redrive(self, queue: TaskQueue) -> int:
        assert isinstance(queue, Redrivable)
        with closing(queue.dead_letters(self.source, self.topic, LEASE)) as letters:
            report = Redrive(queue, self.source, self.topic, lambda _: True).run(letters)
        assert report.succeeded
        return report.redriven


def browsed(topic: str) -> Callable[[TaskQueue, int], list[bytes]]:
    """Reads what is new on the topic since the last time, where nothing needs to be taken for that."""
    seen = 0

    def received(queue: TaskQueue, _count: int) -> list[bytes]:
        nonlocal seen
        assert isinstance(queue, Browsable)
        bodies = [message.body for message in queue.browse(topic)]
        new, seen = bodies[seen:], len(bodies)
        return new

    return received


def _sqlite(_fixture: Callable[[str], Any], directory: Path) -> Site:
    return Site("sqlite", {"sqlite-path": str(directory / "tasks.db")}, browsed("intake"))


def _redis(fixture: Callable[[str], Any], _directory: Path) -> Site:
    topic, dead = uuid.uuid4().hex, uuid.uuid4().hex
    return Site("redis", {"redis-url": fixture("redis_url")}, browsed(topic), topic, dead)


def _nats(fixture: Callable[[str], Any], _directory: Path) -> Site:
    name = uuid.uuid4().hex[:8]
    return Site(
        "nats",
        {"nats-url": fixture("nats_url"), "nats-create-stream": name},
        browsed(f"{name}.intake"),
        f"{name}.intake",
        f"{name}.dead",
        buries_with={"nats-create-stream": f"{name}-dead"},
    )


def _rabbitmq(fixture: Callable[[str], Any], _directory: Path) -> Site:
    topic, dead = uuid.uuid4().hex, uuid.uuid4().hex

    def received(queue: TaskQueue, _count: int) -> list[bytes]:
        assert isinstance(queue, RabbitQueue)
        bodies: list[bytes] = []
        with queue._session("read", topic) as channel:
            while (body := channel.basic_get(topic, auto_ack=True)[2]) is not None:
                bodies.append(body)
        return bodies

    options = {"rabbitmq-url": fixture("rabbitmq_url"), "rabbitmq-declare-queues": True}
    return Site("rabbitmq", options, received, topic, dead)


def _sqs(fixture: Callable[[str], Any], _directory: Path) -> Site:
    url, topic, dead = fixture("moto_url"), uuid.uuid4().hex, uuid.uuid4().hex
    for name in (topic, dead):
        moto.make_queue(url, name)
    return Site(
        "aws-sqs",
        {"aws-sqs-region": moto.REGION},
        lambda _, count: moto.receive(url, topic, count),
        topic,
        dead,
        {"AWS_ENDPOINT_URL": url, **KEYS},
        prepares=False,
    )


def _sns(fixture: Callable[[str], Any], _directory: Path) -> Site:
    url, name, dead = fixture("moto_url"), uuid.uuid4().hex, uuid.uuid4().hex
    topic = moto.make_topic(url, name)
    moto.make_queue(url, dead)
    return Site(
        "aws-sns",
        {"aws-sns-region": moto.REGION},
        lambda _, count: moto.receive(url, name, count),
        topic,
        dead,
        {"AWS_ENDPOINT_URL": url, **KEYS},
        prepares=False,
        buries_with={"aws-sqs-region": moto.REGION},
        buries_as="aws-sqs",
    )


def _pubsub(fixture: Callable[[str], Any], _directory: Path) -> Site:
    url, project = fixture("pubsub_url"), f"p-{uuid.uuid4()}"
    return Site(
        "gcp-pubsub",
        {"gcp-project-id": project, "gcp-pubsub-create-topics": True},
        lambda _, count: pubsub.pull(url, f"projects/{project}/subscriptions/intake", count),
        environ={"PUBSUB_EMULATOR_HOST": url},
    )


@pytest.fixture(params=[_sqlite, _redis, _nats, _rabbitmq, _sqs, _sns, _pubsub])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    made: Site = request.param(request.getfixturevalue, tmp_path)
    return made


def task(number: int) -> bytes:
    fields = {"trace-id": f"t{number}", "aggregation-id": "a", "batch-id": "b", "date": "2026/11/22/16/05"}
    return json.dumps(fields).encode()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("point", "removed", "repeated"), [("taken", 2, 0), ("published", 2, 1), ("removed", 3, 0)]
)
def test_nothing_is_lost_and_at_most_what_was_in_flight_is_repeated(
    point: str, removed: int, repeated: int, site: Site
) -> None:
    sent = [task(number) for number in range(LETTERS)]
    with closing(site.open()) as queue:
        if site.prepares:
            queue.prepare([site.topic])
        site.bury(sent)
        site.redrive_and_die(point, times=3)
        found = Counter(site.received(queue, LETTERS + 1))
        assert len(found) == (removed + repeated) * AT_ONCE
        left = LETTERS - removed * AT_ONCE
        deadline = time.monotonic() + SECONDS
        while left:
            assert time.monotonic() < deadline, f"{left} are not back"
            left -= site.redrive(queue)
            time.sleep(0.1)
        found.update(site.received(queue, 2 * LETTERS))
    assert set(found) == set(sent)
    # Some queues drop what has the key of a message that they had a short while ago.
    assert found.total() - LETTERS in (0, repeated * AT_ONCE)
