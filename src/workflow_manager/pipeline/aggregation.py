"""One aggregation in one run: its ranges are read side by side, then its aggregation is decided."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

from workflow_manager.core.names import Batch, aggregate_marker
from workflow_manager.core.plan import Skip, plan_aggregation
from workflow_manager.core.report import Kind
from workflow_manager.core.task_messages import AggregationTask
from workflow_manager.core.windows import Window, union
from workflow_manager.observe.events import AggregationOverlaps, AggregationSkipped, TaskFailed
from workflow_manager.observe.found import AggregationRead
from workflow_manager.observe.marker_events import BatchesLeftOut
from workflow_manager.observe.wording import describe, overlap
from workflow_manager.pipeline.context import RunContext
from workflow_manager.pipeline.hours import (
    AGGREGATION_LEFT,
    REST_LEFT,
    HoursReader,
    Reading,
)
from workflow_manager.pipeline.listing import overlapping_window
from workflow_manager.pipeline.malformed import MalformedNames
from workflow_manager.pipeline.repeating import aggregation_again
from workflow_manager.pipeline.splitting import Split, pieces
from workflow_manager.pipeline.stage import Stage


class AggregationPass:
    """Everything that a run does for one aggregation.

    The two windows are read as the ranges that they cover together, so that an hour in
    both is listed once. The aggregation is decided when the last range has been read,
    and only if all of them could be: a sum over part of a window could never be mended.
    `done` is called in the end.
    """

    def __init__(
        self, context: RunContext, listing: Stage, aggregation: str, done: Callable[[], None]
    ) -> None:
        self._context = context
        self._listing = listing
        self._id = aggregation
        self._done = done
        self._malformed = MalformedNames(aggregation)
        self._lock = threading.Lock()
        self._open = 0
        self._whole = True
        self._failed = False
        self._batches: list[Batch] = []

    def start(self) -> None:
        """Have the listings read. Returns at once; the work is done on the listing stage."""
        self._context.ledger.begin(self._id)
        windows = union([self._context.intake, self._context.aggregation])
        for window in self._opened(windows):
            self._listing.submit(self._guarded, window, partial(self._read, split=self._split))

    def _opened(self, windows: Sequence[Window]) -> Sequence[Window]:
        with self._lock:
            self._open += len(windows)
        return windows

    def _read(self, window: Window, split: Split | None = None) -> Reading:
        return HoursReader(self._context, self._id, window, self._malformed, split).read()

    def _split(self, rest: Window, names_an_hour: float) -> None:
        """Have what is left of a range read side by side, as a piece of work of its own."""
        self._opened([rest])
        self._listing.submit(self._guarded, rest, partial(self._spread, names_an_hour=names_an_hour))

    def _spread(self, rest: Window, names_an_hour: float) -> Reading:
        """Cut a range into pieces, and have each read."""
        found = pieces(self._context.ingestion, self._id, rest, names_an_hour)
        for piece in self._opened(found.windows):
            self._listing.submit(self._guarded, piece, partial(self._read_within_budget, names=found.names))
        return Reading()

    def _read_within_budget(self, piece: Window, names: int) -> Reading:
        with self._context.memory.reserved(names):
            return self._read(piece)

    def _guarded(self, window: Window, work: Callable[[Window], Reading]) -> None:
        """Do a piece of the work, and note what became of it. The last decides the aggregation."""
        reading = Reading(whole=False)  # unless it is read
        try:
            if not self._context.ledger.stopped:
                reading = work(window)
        except Exception as error:  # noqa: BLE001 (whatever happens to this aggregation, the others go on)
            reading.fail()
            self._context.failed(self._id, REST_LEFT, error)
        with self._lock:
            self._batches.extend(reading.batches)
            self._whole = self._whole and reading.whole
            self._failed = self._failed or reading.failed
            self._open -= 1
            last = not self._open
        if last:
            self._finish()

    def _finish(self) -> None:
        """Everything has been read that could be: say what was found, and decide the aggregation."""
        context = self._context
        try:
            self._malformed.report(context.ledger, context.observer)
            if self._whole:
                context.observer.notify(AggregationRead(self._id, context.ledger.figures(self._id)))
            self._decide_aggregation()
        finally:
            self._done()

    def _decide_aggregation(self) -> None:
        context = self._context
        if not self._whole:
            self._undecided(failed=self._failed)
            return
        try:
            if (self._batches or context.repetition is not None) and not context.may_schedule():
                self._undecided(failed=False)
                return
            decision = self._decision()
            due = not isinstance(decision, Skip) and self._may_be_scheduled(decision)
        except Exception as error:  # noqa: BLE001 (as above)
            self._undecided(failed=True)
            context.failed(self._id, AGGREGATION_LEFT, error)
            return
        if isinstance(decision, Skip):
            if decision is Skip.MARKER:
                context.ledger.add(self._id, aggregation_tasks_skipped_due_to_marker=1)
            context.observer.notify(AggregationSkipped(self._id, decision))
        elif due:
            context.sink.submit([decision])

    def _decision(self) -> AggregationTask | Skip:
        """What its batches and its marker say is to be done about the window."""
        context, window = self._context, self._context.aggregation
        if context.repetition is not None:
            return aggregation_again(self._id, window, self._batches, context.repetition, context.markers)
        record = context.markers.read(aggregate_marker(self._id, window)) if self._batches else None
        if record is not None:
            self._tell_left_out(record.left_out(self._batches))
        return plan_aggregation(self._id, window, self._batches, marked=record is not None)

    def _tell_left_out(self, batches: Sequence[Batch]) -> None:
        """Say which batches became ready, or were validated, after their window was scheduled."""
        context = self._context
        if batches:
            context.ledger.add(self._id, aggregate_batches_left_out=len(batches))
            first = min(batches)
            example = f"{self._id}/{first.time}/{first.id}"
            context.observer.notify(BatchesLeftOut(self._id, context.aggregation, len(batches), example))

    def _undecided(self, *, failed: bool) -> None:
        """Nobody knows whether an aggregation is due: something failed, or the run is to stop before that."""
        ledger = self._context.ledger
        if failed:
            ledger.add(self._id, aggregation_tasks_failed=1)
        elif not ledger.superseded:
            ledger.add(self._id, aggregation_tasks_left=1)

    def _may_be_scheduled(self, task: AggregationTask) -> bool:
        """Whether its marker can be written and its window overlaps none that is marked; else it fails."""
        context = self._context
        if problem := context.own.unstorable(task.marker):
            error_text = f"no marker for it can be written: {problem}"
            context.observer.notify(TaskFailed(task, error_text))
            context.ledger.fail_task(task, Kind.MARKER, error_text)
            return False
        if context.allow_overlapping_windows or context.repetition is not None:
            return True
        if marked := overlapping_window(context.own, self._id, task.window):
            context.observer.notify(AggregationOverlaps(task, marked))
            context.ledger.fail_task(task, Kind.OVERLAP, f"{describe(task)}: {overlap(marked)}")
            return False
        return True
