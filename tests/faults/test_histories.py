"""Any history of arrivals, runs and faults: nothing is lost, and every repeat has a cause.

`WORKFLOW_MANAGER_EXAMPLES=1000 make test` tries as many histories.
"""

import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.harness import PARTS, Events, run_spec, small_limits
from support.injection import HARMLESS, Fault, Injection, Place, ShakyBucket, ShakyQueue, names
from workflow_manager.core.lease_names import SKEW, LeaseName, lease_prefix
from workflow_manager.core.report import RunReport
from workflow_manager.pipeline import lease, mark
from workflow_manager.pipeline.scheduler import Buckets, LeaseTerms, Scheduler
from workflow_manager.ports import ObjectStore, TaskQueue
from workflow_manager.queues.in_memory import MemoryQueue
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.storage.local import LocalStore
from workflow_manager.storage.memory import MemoryStore

EXAMPLES = int(os.environ.get("WORKFLOW_MANAGER_EXAMPLES", "100"))
TIMES = ["2026/11/22/17/05", "2026/11/22/23/59", "2026/11/23/03/05", "2026/11/23/09/00"]
AGGREGATIONS = ["agg", "agg-2026", "b c"]
PLACES = st.frozensets(st.sampled_from(Place), min_size=1)
KINDS = st.frozensets(st.sampled_from(Fault), min_size=1)
SHARES = st.sampled_from([0.02, 0.1, 0.3, 1.0])


TERMS = LeaseTerms("scope", 60)
LEASES = lease_prefix(TERMS.scope)
ENDED = int(TERMS.duration + SKEW) + 1  # seconds after which a lease that was left behind has ended
LONG_ENDED = ENDED + int(lease.KEPT)  # and after which it is removed


class Histories(RuleBasedStateMachine):
    """Uploads, validations, and runs with and without faults, in any order, over what is in memory."""

    def parts(self) -> tuple[dict[str, ObjectStore], TaskQueue]:
        """The real buckets and the real queue."""
        buckets = {name: MemoryStore(f"memory://{name}", 5) for name in ("ingestion", "own", "peer")}
        return {**buckets}, MemoryQueue()

    def bodies(self, topic: str) -> Iterable[bytes]:
        """The messages that the real queue has."""
        assert isinstance(self.queue.queue, MemoryQueue)
        return [message.body for message in self.queue.queue.published.get(topic, [])]

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(mark, "FIRST_PAUSE", 0)
        self.patch.setattr(lease, "FIRST_PAUSE", 0.001)
        self.patch.setattr(lease, "MOST_REMOVED", 1000)  # all that a history can leave behind
        self.injection = Injection(seed)
        self.real, queue = self.parts()
        self.shaky = {name: ShakyBucket(bucket, self.injection) for name, bucket in self.real.items()}
        self.queue = ShakyQueue(queue, self.injection)
        self.queue.limits = small_limits(messages=3)  # type: ignore[misc] # a queue with small requests
        self.ready: set[tuple[str, str, str]] = set()
        self.arrived = 0

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()

    def scheduler(self) -> Scheduler:
        spec = run_spec()._replace(lease=TERMS)
        return Scheduler(Buckets(**self.shaky), self.queue, spec, Events())

    def time_goes_by(self, seconds: int) -> None:
        """Leases that a run could not give back are over, so that they began and end so much earlier."""
        for key in self.leases():
            found = LeaseName.parse(key, TERMS.scope)
            assert found is not None, key
            aged = found._replace(until=found.until - seconds, begun=found.begun - seconds)
            self.real["own"].put(aged.key(TERMS.scope), b"")
            self.real["own"].delete(key)

    def leases(self) -> list[str]:
        return [name for name in names(self.real["own"]) if name.startswith(LEASES)]

    @rule(
        aggregation=st.sampled_from(AGGREGATIONS),
        time=st.sampled_from(TIMES),
        batches=st.lists(st.uuids().map(str), min_size=1, max_size=8, unique=True),
        validated=st.booleans(),
    )
    def upload(self, aggregation: str, time: str, batches: list[str], *, validated: bool) -> None:
        for batch in batches:
            for part in PARTS:
                self.real["ingestion"].put(f"{aggregation}/{time}/{batch}.batch{part}", b"")
            if validated:
                self.real["peer"].put(f"{aggregation}/{time}/{batch}.validity_0.sig", b"")
            self.ready.add((aggregation, time, batch))

    def upload_some(self) -> None:
        """Something is due whenever there are to be faults."""
        for aggregation in AGGREGATIONS:
            batches = [f"batch-{self.arrived + number}" for number in range(5)]
            self.arrived += len(batches)
            self.upload(aggregation, TIMES[0], batches, validated=True)

    @rule(share=SHARES, places=PLACES, kinds=KINDS)
    def run_with_faults(self, share: float, places: frozenset[Place], kinds: frozenset[Fault]) -> None:
        self.upload_some()
        self.time_goes_by(ENDED)
        before = self.injection.injected.total()
        self.injection.begin(share, places, kinds - {Fault.HANG})
        report = self.scheduler().run()
        self.injection.end()
        if self.injection.injected.total() == before or kinds <= HARMLESS:
            assert report.succeeded, report.failures

    @rule(share=SHARES, places=PLACES, kinds=KINDS)
    def run_that_hangs_and_is_stopped(
        self, share: float, places: frozenset[Place], kinds: frozenset[Fault]
    ) -> None:
        self.upload_some()
        self.time_goes_by(ENDED)
        scheduler = self.scheduler()

        def when_it_hangs() -> None:
            self.injection.hanging.wait()
            scheduler.time_out("--run-timeout is over")
            self.injection.end()

        self.injection.begin(share, places, {*kinds, Fault.HANG})
        waiting = threading.Thread(target=when_it_hangs)
        waiting.start()
        before = self.injection.injected[Fault.HANG]
        report = scheduler.run()
        hung = self.injection.injected[Fault.HANG] > before
        self.injection.hanging.set()  # for the thread, if nothing did
        waiting.join()
        if hung:
            assert report.stopped

    @rule(share=SHARES, places=PLACES, kinds=KINDS)
    def two_runs_at_once(self, share: float, places: frozenset[Place], kinds: frozenset[Fault]) -> None:
        """Whatever befalls them, what both do is no more than what one would: the invariants say so."""
        self.upload_some()
        self.time_goes_by(ENDED)
        self.injection.begin(share, places, kinds - {Fault.HANG})
        with ThreadPoolExecutor(2) as both:
            pair = [both.submit(self.scheduler().run) for _ in range(2)]
        self.injection.end()
        for run in pair:
            run.result()

    @rule()
    def run_cleanly(self) -> None:
        self.time_goes_by(LONG_ENDED)
        report = self.clean_run()
        assert not self.leases(), "they are given back, and old ones are removed"
        taken = {
            (body["aggregation-id"], body["date"], body["batch-id"])
            for body in map(json.loads, self.bodies("intake"))
        }
        assert taken == self.ready, "every ready batch has been published"
        assert report.succeeded
        nothing = self.clean_run().total()
        assert nothing.intake_tasks_scheduled == nothing.aggregation_tasks_scheduled == 0

    def clean_run(self) -> RunReport:
        report = self.scheduler().run()
        assert report.succeeded, report.failures
        return report

    @invariant()
    def no_marker_without_an_acknowledged_message(self) -> None:
        markers = {name for name in names(self.real["own"]) if name.startswith("task-markers/")}
        markers.difference_update(self.leases())
        assert markers <= self.queue.acknowledged

    @invariant()
    def each_repeat_of_a_task_is_explained_by_a_fault_that_befell_it(self) -> None:
        repeats = Counter({task: count - 1 for task, count in self.queue.taken.items()})
        assert repeats <= self.injection.explained, repeats - self.injection.explained

    @invariant()
    def the_real_queue_has_what_it_took(self) -> None:
        found = sum(len(list(self.bodies(topic))) for topic in ("intake", "aggregate"))
        assert found == self.queue.taken.total()


class HistoriesOnDisk(Histories):
    """The same, over directories and an SQLite file."""

    def parts(self) -> tuple[dict[str, ObjectStore], TaskQueue]:
        self.directory = Path(tempfile.mkdtemp())
        for name in ("ingestion", "own", "peer"):
            (self.directory / name).mkdir()
        buckets = {name: LocalStore(f"{self.directory}/{name}") for name in ("ingestion", "own", "peer")}
        return {**buckets}, SqliteQueue(str(self.directory / "tasks.db"))

    def bodies(self, topic: str) -> Iterable[bytes]:
        assert isinstance(self.queue.queue, SqliteQueue)
        if not (self.directory / "tasks.db").exists():
            return []
        return [message.body for message in self.queue.queue.browse(topic)]

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "queue"):
            self.queue.queue.close()
            shutil.rmtree(self.directory)


QUICK = settings(
    max_examples=EXAMPLES, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistories = pytest.mark.timeout(60 + EXAMPLES)(Histories.TestCase)
TestHistories.settings = QUICK
TestHistoriesOnDisk = pytest.mark.timeout(60 + EXAMPLES)(HistoriesOnDisk.TestCase)
TestHistoriesOnDisk.settings = settings(QUICK, max_examples=max(10, EXAMPLES // 6))
