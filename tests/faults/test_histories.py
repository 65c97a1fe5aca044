"""Any history of arrivals, runs and faults: nothing is lost, and every repeat has a cause."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.scene import FaultyQueue, FaultyStore, Scene, small_limits
from workflow_manager.errors import QueueError, StorageError
from workflow_manager.pipeline import mark
from workflow_manager.ports import Message

EXAMPLES = int(os.environ.get("WORKFLOW_MANAGER_HISTORIES", "40"))
TIMES = ["2026/11/22/17/05", "2026/11/22/23/59", "2026/11/23/03/05", "2026/11/23/09/00"]
AGGREGATIONS = ["agg", "agg-2026", "b c"]


class Chance:
    """Decides which calls fail, and how: before they have an effect, or after."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.share = 0.0
        self.injected = 0
        self.explained = 0

    def strikes(self, repeats: int = 0) -> bool:
        """Whether this call fails, which may have so many tasks repeated."""
        struck = self.random.random() < self.share
        self.injected += struck
        self.explained += struck * repeats
        return struck


class ShakyStore(FaultyStore):
    """A bucket whose calls fail by chance; a write may fail after it was made."""

    chance: Chance

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        for page in super().list_keys(prefix, after, before):
            if self.chance.strikes():
                raise StorageError("list", self.url, "injected")
            yield page

    def put(self, key: str, body: bytes) -> None:
        if self.chance.strikes(repeats=1):
            raise StorageError("write", self.url, "injected before")
        super().put(key, body)
        if self.chance.strikes():
            raise StorageError("write", self.url, "injected after")


class ShakyQueue(FaultyQueue):
    """A queue whose requests or messages fail by chance, before or after they were taken."""

    chance: Chance

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        if self.chance.strikes():
            raise QueueError("publish to", topic, "injected before")
        outcomes = super().publish(topic, messages)
        if self.chance.strikes(repeats=len(messages)):
            raise QueueError("publish to", topic, "injected after")
        one = QueueError("publish to", topic, "injected after, for one message")
        return [one if self.chance.strikes(repeats=1) else outcome for outcome in outcomes]


class Histories(RuleBasedStateMachine):
    """Uploads, validations, and runs with and without faults, in any order."""

    tally: ClassVar[dict[str, int]]

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        mark.FIRST_PAUSE = 0
        self.chance = Chance()
        self.repeats = 0
        self.chance.random.seed(seed)
        self.scene = Scene(page_size=5)
        for name in ("ingestion", "own", "peer"):
            store = ShakyStore(f"memory://{name}", 5)
            store.chance = self.chance
            setattr(self.scene, name, store)
        self.scene.queue = queue = ShakyQueue()
        queue.chance = self.chance
        queue.limits = small_limits(messages=3)  # type: ignore[misc] # a queue with small requests
        self.ready: set[tuple[str, str, str]] = set()

    @rule(
        aggregation=st.sampled_from(AGGREGATIONS),
        time=st.sampled_from(TIMES),
        count=st.integers(1, 12),
        validated=st.booleans(),
    )
    def upload(self, aggregation: str, time: str, count: int, *, validated: bool) -> None:
        for _ in range(count):
            batch = f"b{len(self.ready)}"
            self.scene.ingest(aggregation, time, batch)
            if validated:
                self.scene.validate(aggregation, time, batch)
            self.ready.add((aggregation, time, batch))

    @rule(share=st.sampled_from([0.1, 0.02, 0.3, 1.0]), time=st.sampled_from(TIMES))
    def run_with_faults(self, share: float, time: str) -> None:
        for aggregation in AGGREGATIONS:  # so that there is something that can fail
            self.upload(aggregation, time, 6, validated=True)
        self.chance.share = share
        before = self.chance.injected
        report = self.scene.run()
        self.chance.share = 0
        if self.chance.injected == before:
            assert report.succeeded

    @rule()
    def run_that_is_stopped(self) -> None:
        scheduler = self.scene.scheduler()
        self.scene.queue.before_publish = lambda: scheduler.stop("SIGTERM received")
        scheduler.run()
        self.scene.queue.before_publish = lambda: None

    @rule()
    def run_cleanly(self) -> None:
        assert self.scene.run().succeeded
        taken = {
            (body["aggregation-id"], body["date"], body["batch-id"])
            for body in self.scene.queue.bodies("intake")
        }
        assert taken == self.ready, "every ready batch has been published"
        nothing = self.scene.run().total()
        assert nothing.intake_tasks_scheduled == nothing.aggregation_tasks_scheduled == 0

    @invariant()
    def no_marker_without_a_message(self) -> None:
        published = {message.key for queue in self.scene.queue.published.values() for message in queue}
        assert set(self.scene.markers()) <= published

    @invariant()
    def each_repeat_has_a_fault(self) -> None:
        keys = Counter(message.key for queue in self.scene.queue.published.values() for message in queue)
        self.repeats = sum(count - 1 for count in keys.values())
        assert self.repeats <= self.chance.explained

    def teardown(self) -> None:
        found = {"times": 1, "faults": self.chance.injected, "repeats": self.repeats}
        for column, count in (found | {"explained": self.chance.explained}).items():
            self.tally[column] += count


@pytest.fixture(autouse=True)
def _tally(tallied: Callable[[str], dict[str, int]]) -> None:
    Histories.tally = tallied("memory: histories of faults")


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
