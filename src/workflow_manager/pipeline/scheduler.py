"""A whole run: list, find batches, plan, publish, mark."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from workflow_manager.core.batches import Malformed
from workflow_manager.core.names import aggregation_problem, validity_infix
from workflow_manager.core.report import Kind, RunReport
from workflow_manager.core.windows import Window
from workflow_manager.errors import explain
from workflow_manager.observe.events import (
    AggregationsFound,
    BucketGivenUp,
    PartFailed,
    RunFinished,
    RunStarted,
)
from workflow_manager.pipeline.aggregation import AggregationPass
from workflow_manager.pipeline.endurance import Endurance, EnduredBucket
from workflow_manager.pipeline.hours import Scene, TaskSink
from workflow_manager.pipeline.lease import Lease, Permission, Unconditional
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.listing import aggregations
from workflow_manager.pipeline.malformed import MalformedNames
from workflow_manager.pipeline.mark import Marker
from workflow_manager.pipeline.publish import Publisher, Rehearsal, Topics
from workflow_manager.pipeline.stage import Stage
from workflow_manager.ports import Bucket, Observer, TaskQueue

B_co = TypeVar("B_co", bound=Bucket, covariant=True)


@dataclass(frozen=True, slots=True)
class Buckets(Generic[B_co]):
    """The three buckets of a run."""

    ingestion: B_co
    own: B_co
    peer: B_co


@dataclass(frozen=True, slots=True)
class Workers:
    """How many requests of each kind may be in flight at once."""

    listing: int = 24
    publishing: int = 100
    marking: int = 64


class LeaseTerms(NamedTuple):
    """Runs of the same `scope` exclude each other; a lease holds for `duration` seconds unless renewed."""

    scope: str
    duration: float


@dataclass(frozen=True, slots=True)
class Orders:
    """What a run is to do. `is_first` says which of the two data share processors we are.

    Without a lease, two runs at once may schedule the same tasks. A bucket that has done nothing
    but fail for `endurance` seconds is given up.
    """

    intake: Window
    aggregation: Window
    topics: Topics
    is_first: bool
    workers: Workers = Workers()
    lease: LeaseTerms | None = None
    endurance: float = 60.0


class Scheduler:
    """Runs one pass over the buckets. A queue of None makes it a dry run, with no effect at all."""

    def __init__(
        self, buckets: Buckets[Bucket], queue: TaskQueue | None, orders: Orders, observer: Observer
    ) -> None:
        self._queue = queue
        self._orders = orders
        self._observer = observer
        self._ledger = Ledger(observer, dry_run=queue is None)
        endurance = Endurance(orders.endurance, self._give_up)
        # Not one that can be given up: a lease that is left behind keeps the next run from working.
        self._lease_bucket = buckets.own
        self._buckets = Buckets(
            EnduredBucket(buckets.ingestion, endurance),
            EnduredBucket(buckets.own, endurance),
            EnduredBucket(buckets.peer, endurance),
        )
        self._begin = time.monotonic()

    def stop(self, reason: str) -> None:
        """Start nothing new; `run` returns when what is in flight is finished and marked."""
        self._ledger.stop(reason)

    def progress(self) -> RunReport:
        """What has become of the run so far; for one that has to be given up."""
        return self._ledger.report(time.monotonic() - self._begin)

    def run(self) -> RunReport:
        """Do everything that is due, and say what became of it. Failures are in the report, not raised."""
        orders, ledger = self._orders, self._ledger
        self._observer.notify(RunStarted(orders.intake, orders.aggregation, ledger.dry_run))
        try:
            if self._queue is not None:
                self._queue.prepare([orders.topics.intake, orders.topics.aggregate])
        except Exception as error:  # noqa: BLE001 (third-party queues may raise anything)
            self._failed(Kind.PUBLISH, "nothing was scheduled", error)
        else:
            self._work()
        report = self.progress()
        self._observer.notify(RunFinished(report))
        return report

    def _work(self) -> None:
        marker = Marker(self._buckets.own, self._ledger, self._observer, workers=self._orders.workers.marking)
        listing = Stage("list", self._orders.workers.listing, bounded=False)
        with ExitStack() as ending:  # each stage is drained when the one before it has ended
            permission = self._permission(ending)
            sink = self._sink(marker, permission)
            ending.callback(marker.drain)
            ending.callback(sink.drain)
            ending.callback(listing.drain)
            try:
                self._start_aggregations(self._scene(sink, permission), listing)
            except Exception as error:  # noqa: BLE001 (what was found already is still dealt with)
                self._failed(
                    Kind.LISTING, "aggregations that were not found yet are left to the next run", error
                )

    def _start_aggregations(self, scene: Scene, listing: Stage) -> None:
        count = 0
        malformed = MalformedNames("")
        try:
            for aggregation in aggregations(scene.ingestion):
                if problem := aggregation_problem(aggregation):
                    malformed.add(scene.ingestion, [Malformed(f"{aggregation}/", problem)])
                    continue
                count += 1
                AggregationPass(scene, listing, aggregation).start()
        finally:
            self._observer.notify(AggregationsFound(count))
            malformed.report(scene.ledger, scene.observer)

    def _permission(self, ending: ExitStack) -> Permission:
        terms = self._orders.lease
        if terms is None or self._queue is None:
            return Unconditional()
        lease = Lease(self._lease_bucket, terms.scope, terms.duration)
        lease.begin()
        ending.callback(lease.end)
        return lease

    def _sink(self, marker: Marker, permission: Permission) -> TaskSink:
        if self._queue is None:
            return Rehearsal(self._orders.topics, self._ledger, self._observer)
        return Publisher(
            self._queue,
            self._orders.topics,
            marker,
            permission,
            self._ledger,
            self._observer,
            workers=self._orders.workers.publishing,
        )

    def _scene(self, sink: TaskSink, permission: Permission) -> Scene:
        return Scene(
            self._buckets.ingestion,
            self._buckets.own,
            self._buckets.peer,
            validity_infix(1 if self._orders.is_first else 0),
            self._orders.intake,
            self._orders.aggregation,
            sink,
            permission,
            self._ledger,
            self._observer,
        )

    def _give_up(self, bucket: str, error: str) -> None:
        """Go on without the peer's bucket: batches can still be taken in. Without the others, nothing can."""
        self._observer.notify(BucketGivenUp(bucket, error))
        if bucket in (self._buckets.ingestion.url, self._buckets.own.url):
            self._ledger.stop(f"{bucket} was given up")

    def _failed(self, kind: Kind, consequence: str, error: Exception) -> None:
        self._observer.notify(PartFailed("", consequence, explain(error)))
        self._ledger.fail("", kind, f"{consequence}: {explain(error)}")
