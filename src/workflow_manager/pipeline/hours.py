"""One range of hours of one aggregation: listed, planned, and its intake tasks handed on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from workflow_manager.core.batches import HourOfBatches, HourOfNames
from workflow_manager.core.names import (
    INGESTION_OBJECTS,
    Batch,
    batch_range,
    marker_range,
    validation_objects,
)
from workflow_manager.core.plan import Skip, plan_intake
from workflow_manager.core.windows import Window
from workflow_manager.errors import StorageError
from workflow_manager.observe.events import IntakeSkipped
from workflow_manager.observe.found import BatchIncomplete
from workflow_manager.pipeline.context import RunContext
from workflow_manager.pipeline.listing import Hour, IntakeMarkers, by_hour, in_order, merged
from workflow_manager.pipeline.malformed import MalformedNames, markable
from workflow_manager.pipeline.repeating import intake_again
from workflow_manager.pipeline.splitting import RangeListing, Split
from workflow_manager.ports import Bucket

INTAKE_LEFT = "the intake of its batches is left for the next run"
AGGREGATION_LEFT = "its aggregation is left for the next run"
REST_LEFT = "the rest of its batches, and its aggregation, are left for the next run"


@dataclass(slots=True)
class Reading:
    """What became of a range: the batches to aggregate, and whether all was read that they depend on.

    If it was not, either something `failed`, or the run is to stop.
    """

    batches: list[Batch] = field(default_factory=list)
    whole: bool = True
    failed: bool = False

    def fail(self) -> None:
        """Something could not be read."""
        self.whole, self.failed = False, True


class HoursReader:
    """Reads one range of one aggregation, hour by hour, and keeps nothing of an hour it is done with.

    If `split` is given, and the range turns out to be a large one, only its first hours
    are read here.
    """

    def __init__(
        self,
        context: RunContext,
        aggregation: str,
        window: Window,
        malformed: MalformedNames,
        split: Split | None,
    ) -> None:
        self._context = context
        self._id = aggregation
        self._prefix = f"{aggregation}/"
        self._listing = RangeListing(context.ingestion, aggregation, window, split)
        self._reading = Reading()
        self._malformed = malformed
        taken_in = window.overlap(context.intake)
        self._markers = IntakeMarkers(context.own, marker_range(aggregation, taken_in)) if taken_in else None

    def read(self) -> Reading:
        """Deal with the hours of the range."""
        context = self._context
        strays = self._malformed.strays(context.ingestion)
        ingestions = by_hour(
            self._listing.pages(), self._prefix, INGESTION_OBJECTS, context.batch_ids, strays
        )
        try:
            for hour, ingested, validated in merged(ingestions, self._validations()):
                if context.ledger.stopped:
                    self._reading.whole = False
                    break
                self._hour(hour, ingested, validated)
        except StorageError as error:
            self._reading.fail()
            context.failed(self._id, REST_LEFT, error)
        return self._reading

    def _hour(self, hour: str, ingested: HourOfNames | None, validated: HourOfNames | None) -> None:
        context = self._context
        found = markable(context.own, self._id, ingested.batches() if ingested else HourOfBatches())
        self._malformed.add(context.ingestion, found.malformed)
        validations = validated.batches() if validated else HourOfBatches()
        self._malformed.add(context.peer, validations.malformed)
        if context.names_incomplete:
            self._name_incomplete(context.ingestion, found)
            self._name_incomplete(context.peer, validations)
        self._take_in(hour, found.within(context.intake))
        self._keep(found.within(context.aggregation), validations)

    def _take_in(self, hour: str, found: HourOfBatches) -> None:
        context = self._context
        context.ledger.add(
            self._id,
            ingestions_found=len(found.ready),
            incomplete_ingestions_found=len(found.incomplete),
        )
        if found.ready:
            context.ledger.found(self._id, found.ready[-1].time)
        if not found.ready or self._markers is None:
            return
        try:
            if not context.may_schedule():
                return
            plan = plan_intake(self._id, found.ready, self._markers.of(hour))
            if context.repetition is not None:
                plan = intake_again(plan, context.repetition, context.markers)
        except StorageError as error:
            self._markers = None
            context.failed(self._id, INTAKE_LEFT, error)
            return
        if plan.marked:
            context.ledger.add(self._id, intake_tasks_skipped_due_to_marker=len(plan.marked))
            context.observer.notify(IntakeSkipped(self._id, hour, len(plan.marked), Skip.MARKER))
        context.sink.submit(plan.tasks())

    def _keep(self, found: HourOfBatches, validations: HourOfBatches) -> None:
        """Note down which batches can be aggregated: those that the peer has validated too."""
        validated = set(validations.ready)
        both = [batch for batch in found.ready if batch in validated]
        self._reading.batches.extend(both)
        self._context.ledger.add(
            self._id,
            aggregate_ingestions_found=len(found.ready),
            aggregate_incomplete_ingestions_found=len(found.incomplete),
            peer_validations_found=len(validations.ready),
            incomplete_peer_validations_found=len(validations.incomplete),
            aggregate_ingestions_missing_peer_validation=len(found.ready) - len(both),
        )

    def _validations(self) -> Iterator[Hour]:
        """The peer's validations. Without them batches can still be taken in, but not aggregated."""
        context = self._context
        window = self._listing.window.overlap(context.aggregation)
        if window is None:
            return
        try:
            pages = in_order(context.peer, batch_range(self._id, window))
            strays = self._malformed.strays(context.peer)
            objects = validation_objects(context.peer_infix)
            yield from by_hour(pages, self._prefix, objects, context.batch_ids, strays)
        except StorageError as error:
            self._reading.fail()
            context.failed(self._id, AGGREGATION_LEFT, error)

    def _name_incomplete(self, store: Bucket, found: HourOfBatches) -> None:
        """Say of each incomplete batch what it has; one by one, as an hour can hold very many."""
        for batch, parts in found.incomplete.items():
            self._context.observer.notify(BatchIncomplete(self._id, store.url, batch, parts))
