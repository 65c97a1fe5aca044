"""Surveys a range of hours of one aggregation: the batches, and their share of the windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workflow_manager.core.batches import HourOfBatches
from workflow_manager.core.names import (
    INGESTION_OBJECTS,
    Batch,
    batch_range,
    hour_begin,
    marker_range,
    path_time,
    validation_objects,
)
from workflow_manager.core.plan import IntakePlan, plan_intake
from workflow_manager.core.verdict import BatchState, Rules, batch_state
from workflow_manager.core.windows import HOUR, Window
from workflow_manager.pipeline.listing import Hour, IntakeMarkers, by_hour, in_order, merged
from workflow_manager.pipeline.malformed import markable
from workflow_manager.pipeline.splitting import RangeListing, Split
from workflow_manager.ports import Bucket
from workflow_manager.survey.findings import IntakeFindings, WindowFindings
from workflow_manager.survey.window_markers import WindowMarkers


@dataclass(frozen=True, slots=True)
class PieceContext:
    """What all pieces of one aggregation share."""

    ingestion: Bucket
    own: Bucket
    peer: Bucket
    peer_infix: str
    rules: Rules
    batches: Window
    markers: WindowMarkers
    wanted_id: str


class PieceSurvey:
    """Reads a range hour by hour, as a run does, and keeps only counts of finished hours."""

    def __init__(self, context: PieceContext, aggregation: str, window: Window, split: Split | None) -> None:
        self.intake = IntakeFindings()
        self.malformed = 0
        self.wanted: list[Batch] = []
        self._windows: dict[Window, WindowFindings] = {}
        self._context = context
        self._id = aggregation
        self._prefix = f"{aggregation}/"
        self._listing = RangeListing(context.ingestion, aggregation, window, split)
        taken_in = window.overlap(context.batches)
        self._markers = IntakeMarkers(context.own, marker_range(aggregation, taken_in)) if taken_in else None

    @property
    def windows(self) -> list[WindowFindings]:
        """The findings for each window, in order of time."""
        return [self._windows[window] for window in sorted(self._windows)]

    def read(self) -> None:
        """Survey the hours of the range; raises StorageError."""
        ingestions = by_hour(
            self._listing.pages(), self._prefix, INGESTION_OBJECTS, self._context.rules.batch_ids, self._stray
        )
        for hour, ingested, validated in merged(ingestions, self._validations()):
            found = markable(self._context.own, self._id, ingested.batches() if ingested else HourOfBatches())
            validations = validated.batches() if validated else HourOfBatches()
            self.malformed += len(found.malformed) + len(validations.malformed)
            plan = self._take_in(hour, found.within(self._context.batches))
            begin = hour_begin(hour)
            for window in self._context.markers.windows_in(Window(begin, begin + HOUR)):
                self._sum_up(window, found.within(window), set(validations.ready), plan)

    def _validations(self) -> Iterator[Hour]:
        if window := self._listing.window.overlap(self._context.markers.range):
            pages = in_order(self._context.peer, batch_range(self._id, window))
            objects = validation_objects(self._context.peer_infix)
            yield from by_hour(pages, self._prefix, objects, self._context.rules.batch_ids, self._stray)

    def _stray(self, keys: Sequence[str]) -> None:
        self.malformed += len(keys)

    def _take_in(self, hour: str, found: HourOfBatches) -> IntakePlan:
        if wanted := self._context.wanted_id:
            self.wanted.extend(one for one in (*found.ready, *found.incomplete) if one.id == wanted)
        intake = self.intake
        intake.ready += len(found.ready)
        intake.incomplete += len(found.incomplete)
        if not found.ready or self._markers is None:
            return IntakePlan(self._id)
        intake.newest = max(intake.newest, found.ready[-1].time)
        plan = plan_intake(self._id, found.ready, self._markers.of(hour))
        intake.scheduled += len(plan.marked)
        return replace(plan, due=[batch for batch in plan.due if self._unmarked(batch)])

    def _unmarked(self, batch: Batch) -> bool:
        """Count a batch whose intake is not scheduled; return whether a backfill could schedule it."""
        intake = self.intake
        match batch_state(batch, self._context.rules, marked=False):
            case BatchState.DUE:
                intake.due += 1
                intake.oldest_due = min(intake.oldest_due or batch.time, batch.time)
            case BatchState.TOO_OLD:
                intake.too_old += 1
                intake.oldest_too_old = min(intake.oldest_too_old or batch.time, batch.time)
            case BatchState.TOO_EARLY:
                intake.too_early += 1
                return False
        return True

    def _sum_up(self, window: Window, found: HourOfBatches, validated: set[Batch], plan: IntakePlan) -> None:
        if not found.ready and not found.incomplete:
            return
        both = [batch for batch in found.ready if batch in validated]
        findings = self._windows.setdefault(window, WindowFindings(window))
        findings.ready += len(found.ready)
        findings.incomplete += len(found.incomplete)
        findings.validated += len(both)
        begin, end = path_time(window.begin), path_time(window.end)
        findings.unmarked += sum(begin <= batch.time < end for batch in plan.due)
        findings.intaken += sum(begin <= batch.time < end for batch in plan.marked)
        record = self._context.markers.record(window) if both else None
        if record is not None:
            left_out = record.left_out(both)
            findings.recorded = record.batches is not None
            findings.left_out += len(left_out)
            findings.example = findings.example or min(left_out, default=None)
