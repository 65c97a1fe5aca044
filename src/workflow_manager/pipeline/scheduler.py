"""A whole run: list, find batches, plan, publish, mark."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from workflow_manager.core.batches import Malformed
from workflow_manager.core.names import MARKER_PREFIX, BatchIds, aggregation_problem, validity_infix
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.report import Kind, RunReport, StageName
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.core.windows import Window
from workflow_manager.errors import explain
from workflow_manager.observe.events import (
    BucketGivenUp,
    PartFailed,
    RunFinished,
    RunStarted,
)
from workflow_manager.observe.found import AggregationsFound, AggregationsNone
from workflow_manager.observe.marker_events import MarkersUnreadable
from workflow_manager.observe.stop_events import TasksLeft
from workflow_manager.pipeline.aggregation import AggregationPass
from workflow_manager.pipeline.circuit_breaker import BreakerPolicy, guarded
from workflow_manager.pipeline.context import RunContext, TaskSink
from workflow_manager.pipeline.lease import Lease, LeaseExpiry, NoLease, Permission
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.listing import aggregations
from workflow_manager.pipeline.malformed import MalformedNames
from workflow_manager.pipeline.mark import MarkerWriter
from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.publish import DryRunPublisher, Publisher, Topics
from workflow_manager.pipeline.recorded import MarkerReader
from workflow_manager.pipeline.shared_workers import OWN_WORKERS, SharedWorkers
from workflow_manager.pipeline.stage import Stage
from workflow_manager.ports import Bucket, Observer, TaskQueue

# Aggregations that wait to be read or are: each takes 2 KB, and others name them.
MOST_OPEN = 1000
# Seconds to wait for one to be done with. It bounds memory, so a run that is stuck may go beyond it.
SLOT_TIMEOUT = 10.0

B_co = TypeVar("B_co", bound=Bucket, covariant=True)


@dataclass(frozen=True, slots=True)
class Buckets(Generic[B_co]):
    """The three buckets of a run."""

    ingestion: B_co
    own: B_co
    peer: B_co


class Workers(NamedTuple):
    """How many requests of each kind may be in flight at once."""

    listing: int = 24
    publishing: int = 100
    marking: int = 64


class LeaseTerms(NamedTuple):
    """Runs of the same `scope` exclude each other; a lease holds for `duration` seconds unless renewed.

    `expiry` tells the queue until when it may try to publish.
    """

    scope: str
    duration: float
    expiry: LeaseExpiry | None = None


class RunSpec(NamedTuple):
    """What a run is to do. `is_first` says which of the two data share processors we are.

    Without a lease, two runs at once may schedule the same tasks. A bucket that has done nothing
    but fail for `breaker_seconds` is given up. Only these `aggregations` are looked at, or all that
    have batches. With a `repetition`, tasks that have a marker are published again, and no others.
    `batch_ids` says which IDs are malformed. Unless `allow_overlapping_windows`, an aggregation fails
    whose window overlaps one that is marked. With `names_incomplete` there is an event for each
    incomplete batch; there can be very many.
    Of all aggregations, only those that are the `shard`'s are worked on.
    """

    intake: Window
    aggregation: Window
    topics: Topics
    is_first: bool
    workers: Workers = Workers()
    lease: LeaseTerms | None = None
    breaker_seconds: float = 60.0
    aggregations: tuple[str, ...] | None = None
    repetition: Repetition | None = None
    batch_ids: BatchIds = BatchIds.UUID
    allow_overlapping_windows: bool = False
    names_incomplete: bool = False
    shard: Shard = WHOLE


class Scheduler:
    """Runs one pass over the buckets. A queue of None makes it a dry run, with no effect at all.

    Runs in one process may have `shared` workers; others start their own.
    """

    def __init__(
        self,
        buckets: Buckets[Bucket],
        queue: TaskQueue | None,
        spec: RunSpec,
        observer: Observer,
        shared: SharedWorkers = OWN_WORKERS,
    ) -> None:
        self._shared = shared
        self._queue = queue
        self._spec = spec
        self._observer = observer
        self._ledger = Ledger(observer, dry_run=queue is None)
        breaker = BreakerPolicy(spec.breaker_seconds, self._give_up)
        # Not one that can be given up: a lease that is left behind keeps the next run from working.
        self._lease_bucket = buckets.own
        self._buckets = Buckets(
            guarded(buckets.ingestion, breaker),
            guarded(buckets.own, breaker),
            guarded(buckets.peer, breaker),
        )
        self._begin = time.monotonic()

    def interrupt(self, reason: str) -> None:
        """Start nothing new; `run` returns when what is in flight is finished and marked. No failure."""
        self._ledger.interrupt(reason)

    def time_out(self, reason: str) -> None:
        """As `interrupt`, for a run that takes longer than it may, which is a failure."""
        self._ledger.stop(reason, Kind.TIMEOUT)

    def progress(self) -> RunReport:
        """What has become of the run so far; for one that has to be given up."""
        return self._ledger.report(time.monotonic() - self._begin)

    def run(self) -> RunReport:
        """Do everything that is due, and say what became of it. Failures are in the report, not raised."""
        spec, ledger = self._spec, self._ledger
        self._observer.notify(RunStarted(spec.intake, spec.aggregation, ledger.dry_run))
        try:
            if self._queue is not None:
                self._queue.prepare([spec.topics.intake, spec.topics.aggregate])
        except Exception as error:  # noqa: BLE001 (third-party queues may raise anything)
            self._failed(Kind.PUBLISH, "nothing was scheduled", error)
        else:
            self._work()
        report = self.progress()
        total = report.total()
        if total.intake_tasks_left or total.aggregation_tasks_left:
            self._observer.notify(
                TasksLeft(
                    total.intake_tasks_left,
                    total.aggregation_tasks_left,
                    report.stopped or report.queue_full,
                )
            )
        self._observer.notify(RunFinished(report))
        return report

    def _work(self) -> None:
        workers, shared = self._spec.workers, self._shared
        marker = MarkerWriter(
            self._buckets.own,
            self._ledger,
            self._observer,
            workers=workers.marking,
            pool=shared.marking,
            reason=self._spec.repetition.reason if self._spec.repetition else "",
        )
        listing = Stage("list", workers.listing, bounded=False, pool=shared.listing)
        with ExitStack() as ending:  # each stage is drained when the one before it has ended
            permission = self._permission(ending)
            sink = self._sink(marker, permission)
            ending.callback(self._drain, marker, StageName.MARK, Kind.MARKER)
            ending.callback(self._drain, sink, StageName.PUBLISH, Kind.PUBLISH)
            ending.callback(self._drain, listing, StageName.LIST, Kind.LISTING)
            try:
                self._start_aggregations(self._context(sink, permission), listing)
            except Exception as error:  # noqa: BLE001 (what was found already is still dealt with)
                self._failed(
                    Kind.LISTING,
                    "cannot list the aggregations; those not yet found are left for the next run",
                    error,
                )

    def _drain(self, stage: Stage | MarkerWriter | TaskSink, name: StageName, kind: Kind) -> None:
        try:
            stage.drain()
        except Exception as error:  # noqa: BLE001 (a fault of ours; what was done is still reported)
            self._failed(kind, "some tasks may be left for the next run", error)
        self._ledger.took(name, stage.seconds)

    def _start_aggregations(self, context: RunContext, listing: Stage) -> None:
        count = 0
        malformed = MalformedNames("")
        slots = threading.Semaphore(MOST_OPEN)
        try:
            for aggregation in self._aggregations(context):
                if context.ledger.stopped:
                    break
                if problem := aggregation_problem(aggregation):
                    malformed.add(context.ingestion, [Malformed(f"{aggregation}/", problem)])
                    continue
                count += 1
                slots.acquire(timeout=SLOT_TIMEOUT)
                AggregationPass(context, listing, aggregation, slots.release).start()
        finally:
            self._observer.notify(AggregationsFound(count))
            malformed.report(context.ledger, context.observer)
        if not count and not context.ledger.stopped:
            self._try_other_buckets(context)

    def _try_other_buckets(self, context: RunContext) -> None:
        """With no aggregation, nothing else would list them: find wrong URLs before the first batch comes."""
        self._observer.notify(AggregationsNone(context.ingestion.url))
        for store, prefix in ((context.own, MARKER_PREFIX), (context.peer, "")):
            try:
                next(iter(store.list_keys(prefix)), None)
            except Exception as error:  # noqa: BLE001 (third-party stores may raise anything)
                context.failed("", "nothing was scheduled", error)

    def _aggregations(self, context: RunContext) -> Iterator[str]:
        named = self._spec.aggregations
        found = aggregations(context.ingestion) if named is None else named
        return (name for name in found if self._spec.shard.owns(name))

    def _permission(self, ending: ExitStack) -> Permission:
        terms = self._spec.lease
        if terms is None or self._queue is None:
            return NoLease()
        lease = Lease(self._lease_bucket, terms.scope, terms.duration, self._observer, expiry=terms.expiry)
        lease.begin()
        ending.callback(lease.end)
        return lease

    def _sink(self, marker: MarkerWriter, permission: Permission) -> TaskSink:
        if self._queue is None:
            return DryRunPublisher(self._spec.topics, self._ledger, self._observer)
        return Publisher(
            self._queue,
            self._spec.topics,
            marker,
            permission,
            self._ledger,
            self._observer,
            workers=self._spec.workers.publishing,
            pool=self._shared.publishing,
        )

    def _context(self, sink: TaskSink, permission: Permission) -> RunContext:
        return RunContext(
            self._buckets.ingestion,
            self._buckets.own,
            self._buckets.peer,
            validity_infix(1 if self._spec.is_first else 0),
            self._spec.intake,
            self._spec.aggregation,
            sink,
            permission,
            self._ledger,
            self._observer,
            MarkerReader(
                self._buckets.own,
                lambda error: self._observer.notify(MarkersUnreadable(explain(error))),
                required=self._spec.repetition is not None,
            ),
            self._spec.repetition,
            batch_ids=self._spec.batch_ids,
            allow_overlapping_windows=self._spec.allow_overlapping_windows,
            names_incomplete=self._spec.names_incomplete,
            memory=self._shared.memory or MemoryBudget(),
        )

    def _give_up(self, bucket: str, error: str) -> None:
        """Go on without the peer's bucket: batches can still be taken in. Without the others, nothing can."""
        self._observer.notify(BucketGivenUp(bucket, error))
        if bucket in (self._buckets.ingestion.url, self._buckets.own.url):
            self._ledger.stop(f"the circuit breaker of {bucket} opened")

    def _failed(self, kind: Kind, consequence: str, error: Exception) -> None:
        self._observer.notify(PartFailed("", consequence, explain(error)))
        self._ledger.fail("", kind, f"{consequence}: {explain(error)}")
