"""What a run has done so far: figures, failures, and whether it should go on."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from workflow_manager.core.lease_names import LeaseHolder
from workflow_manager.core.report import BatchTimes, Failure, Figures, Kind, RunReport, StageName
from workflow_manager.core.task_messages import AggregationTask, IntakeTask, Task
from workflow_manager.observe.stop_events import RunStopping, RunSuperseded
from workflow_manager.ports import Observer

SHOWN_FAILURES = 20
# Others name the aggregations, so zeros are kept of no more of them than become labels of metrics.
KEPT_EMPTY = 1000
_NONE = Figures()


class Ledger:
    """Where every stage writes down what became of its work. Safe for use by many threads.

    A stage that fails says so here, and nowhere else, so that the exit status, the
    metrics and the summary cannot disagree.
    """

    def __init__(self, observer: Observer, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self._observer = observer
        self._lock = threading.Lock()
        self._figures: dict[str, Figures] = {}
        self._found = 0
        self._failures: list[Failure] = []
        self._failed = dict.fromkeys(Kind, 0)
        self._stopped = ""
        self._interrupted = False
        self._superseded_by: LeaseHolder | None = None
        self._newest: dict[str, str] = {}
        self._oldest_unscheduled: dict[str, str] = {}
        self._stage_seconds: dict[StageName, float] = {}
        self._queue_full = ""

    def begin(self, aggregation: str) -> None:
        """An aggregation was found. Of very many, those with nothing to tell are counted, and not named."""
        with self._lock:
            self._found += 1
            if len(self._figures) < KEPT_EMPTY:
                self._figures.setdefault(aggregation, Figures())

    def add(self, aggregation: str, **counts: int) -> None:
        """Add to the figures of an aggregation, by the names of the fields of `Figures`."""
        if not any(counts.values()):
            return
        with self._lock:
            figures = self._figures.setdefault(aggregation, Figures())
            for name, count in counts.items():
                setattr(figures, name, getattr(figures, name) + count)

    def figures(self, aggregation: str) -> Figures:
        """The figures of an aggregation so far."""
        with self._lock:
            return replace(self._figures.get(aggregation, _NONE))

    def found(self, aggregation: str, newest: str) -> None:
        """There is a ready batch of this time in the intake window."""
        with self._lock:
            self._newest[aggregation] = max(self._newest.get(aggregation, ""), newest)

    def took(self, stage: StageName, seconds: float) -> None:
        """A stage has ended."""
        with self._lock:
            self._stage_seconds[stage] = seconds

    def scheduled(self, tasks: Iterable[Task]) -> None:
        """The queue has acknowledged these tasks, or would have in a dry run."""
        taken_in: Counter[str] = Counter()
        for task in tasks:
            if isinstance(task, AggregationTask):
                batches = len(task.batches)
                self.add(
                    task.aggregation, aggregation_tasks_scheduled=1, number_of_batches_in_aggregation=batches
                )
            else:
                taken_in[task.aggregation] += 1
        for aggregation, count in taken_in.items():
            self.add(aggregation, intake_tasks_scheduled=count)

    def fail_task(self, task: Task, kind: Kind, message: str) -> None:
        """A task could not be published, or was published and could not be marked."""
        if isinstance(task, AggregationTask):
            self.add(task.aggregation, aggregation_tasks_failed=1)
        else:
            self.add(task.aggregation, intake_tasks_failed=1)
            self._unscheduled(task)
        self.fail(task.aggregation, kind, message)

    def fail(self, aggregation: str, kind: Kind, message: str) -> None:
        """Something could not be done, so this run has failed."""
        with self._lock:
            self._failed[kind] += 1
            if len(self._failures) < SHOWN_FAILURES:
                self._failures.append(Failure(aggregation, message))

    def leave(self, task: Task) -> None:
        """A task that is due was not tried, as the run is to stop; the next run does it."""
        if isinstance(task, AggregationTask):
            self.add(task.aggregation, aggregation_tasks_left=1)
        else:
            self.add(task.aggregation, intake_tasks_left=1)
            self._unscheduled(task)

    def _unscheduled(self, task: IntakeTask) -> None:
        with self._lock:
            oldest = self._oldest_unscheduled.get(task.aggregation) or task.batch.time
            self._oldest_unscheduled[task.aggregation] = min(oldest, task.batch.time)

    def leave_to_queue(self, task: Task, reason: str) -> None:
        """The queue takes no more for now, which is no failure; the next run tries this task again."""
        self.leave(task)
        with self._lock:
            self._queue_full = self._queue_full or reason

    def stop(self, reason: str, failure: Kind | None = None) -> None:
        """Start nothing new from now on; what is in flight is finished. The first reason stays.

        `failure` is the kind of failure that the reason is, if it is none that is on record already.
        """
        with self._lock:
            first = self._stop(reason)
        if first and failure is not None:
            self.fail("", failure, reason)
        if first:
            self._observer.notify(RunStopping(reason, interrupted=False))

    def interrupt(self, reason: str) -> None:
        """As `stop`, but because someone wants the run to end. That is no failure."""
        with self._lock:
            first = self._stop(reason)
            self._interrupted = self._interrupted or first
        if first:
            self._observer.notify(RunStopping(reason, interrupted=True))

    def leave_to_another(self, holder: LeaseHolder) -> None:
        """Another run holds the lease; end without doing anything, and without having failed."""
        with self._lock:
            first = self._superseded_by is None
            self._superseded_by = self._superseded_by or holder
            self._stop("another run holds the lease")
        if first:
            self._observer.notify(RunSuperseded(holder.host, holder.process, holder.until))

    def _stop(self, reason: str) -> bool:
        """Whether this is the first reason. Needs the lock."""
        first = not self._stopped
        self._stopped = self._stopped or reason
        return first

    @property
    def stopped(self) -> str:
        """Why the run is to stop, or nothing."""
        return self._stopped

    @property
    def superseded(self) -> bool:
        """Whether everything is left to another run."""
        return self._superseded_by is not None

    def report(self, runtime_seconds: float) -> RunReport:
        """The outcome so far; what happens from now on does not change it."""
        with self._lock:
            return RunReport(
                self.dry_run,
                {aggregation: replace(self._figures[aggregation]) for aggregation in sorted(self._figures)},
                tuple(self._failures),
                dict(self._failed),
                self._stopped,
                runtime_seconds,
                interrupted=self._interrupted,
                superseded_by=self._superseded_by,
                # Malformed aggregations have figures without a name, and were not begun.
                unnamed=self._found - len(self._figures.keys() - {""}),
                batch_times={
                    name: BatchTimes(self._newest.get(name, ""), self._oldest_unscheduled.get(name, ""))
                    for name in sorted(self._newest.keys() | self._oldest_unscheduled.keys())
                },
                stage_seconds=dict(self._stage_seconds),
                queue_full=self._queue_full,
            )
