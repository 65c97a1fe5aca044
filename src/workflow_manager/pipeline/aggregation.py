"""One aggregation in one run: its ranges are read side by side, then its aggregation is decided."""

import threading
from collections.abc import Sequence

from workflow_manager.core.names import Batch, aggregate_marker
from workflow_manager.core.plan import Skip, plan_aggregation
from workflow_manager.core.windows import Window, cut, union
from workflow_manager.observe.events import AggregationSkipped, TaskFailed
from workflow_manager.pipeline.hours import AGGREGATION_LEFT, REST_LEFT, HoursReader, Reading, Scene
from workflow_manager.pipeline.listing import exists, hours_with_objects
from workflow_manager.pipeline.stage import Stage


class AggregationPass:
    """Everything that a run does for one aggregation.

    The two windows are read as the ranges that they cover together, so that an hour in
    both is listed once. The aggregation is decided when the last range has been read,
    and only if all of them could be: a sum over part of a window could never be mended.
    """

    def __init__(self, scene: Scene, listing: Stage, aggregation: str) -> None:
        self._scene = scene
        self._listing = listing
        self._id = aggregation
        self._lock = threading.Lock()
        self._open_ranges = 0
        self._whole = True
        self._batches: list[Batch] = []

    def start(self) -> None:
        """Have the listings read. Returns at once; the work is done on the listing stage."""
        self._scene.ledger.add(self._id)
        self._open(union([self._scene.intake, self._scene.aggregation]), may_split=True)

    def _open(self, ranges: Sequence[Window], *, may_split: bool) -> None:
        with self._lock:
            self._open_ranges += len(ranges)
        for window in ranges:
            self._listing.submit(self._read, window, may_split=may_split)

    def _read(self, window: Window, *, may_split: bool) -> None:
        reading = Reading(whole=False)  # what stands if the reader dies of an error that nobody foresaw
        try:
            if not self._scene.ledger.stopped:
                reading = HoursReader(self._scene, self._id, window).read(may_split=may_split)
            if reading.rest is not None:
                self._split(reading.rest, reading.hours_each)
        except Exception as error:  # noqa: BLE001 (whatever happens to this aggregation, the others go on)
            reading.whole = False
            self._scene.failed(self._id, REST_LEFT, error)
        finally:
            with self._lock:
                self._batches.extend(reading.batches)
                self._whole = self._whole and reading.whole
                self._open_ranges -= 1
                last = not self._open_ranges
            if last:
                self._decide_aggregation()

    def _split(self, rest: Window, hours_each: int) -> None:
        """Read what is left side by side, cut at hours that have objects so that no piece is idle."""
        hours = list(hours_with_objects(self._scene.ingestion, self._id, rest))
        self._open(cut(rest, hours[hours_each::hours_each]), may_split=False)

    def _decide_aggregation(self) -> None:
        scene = self._scene
        if not self._whole:
            if not scene.ledger.stopped:
                scene.ledger.add(self._id, aggregation_tasks_failed=1)
            return
        try:
            marked = bool(self._batches) and exists(scene.own, aggregate_marker(self._id, scene.aggregation))
        except Exception as error:  # noqa: BLE001 (as above)
            scene.ledger.add(self._id, aggregation_tasks_failed=1)
            scene.failed(self._id, AGGREGATION_LEFT, error)
            return
        decision = plan_aggregation(self._id, scene.aggregation, self._batches, marked=marked)
        if isinstance(decision, Skip):
            if decision is Skip.MARKER:
                scene.ledger.add(self._id, aggregation_tasks_skipped_due_to_marker=1)
            scene.observer.notify(AggregationSkipped(self._id, decision))
        elif problem := scene.own.unstorable(decision.marker):
            error_text = f"no marker for it can be written: {problem}"
            scene.observer.notify(TaskFailed(decision, error_text))
            scene.ledger.fail_task(decision, error_text)
        else:
            scene.sink.submit([decision])
