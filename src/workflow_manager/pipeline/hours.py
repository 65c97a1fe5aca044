"""One range of hours of one aggregation: listed, planned, and its intake tasks handed on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from workflow_manager.core.batches import HourOfBatches, Malformed, find_batches
from workflow_manager.core.names import (
    INGESTION,
    Batch,
    Part,
    batch_range,
    hour_begin,
    intake_marker,
    marker_range,
)
from workflow_manager.core.plan import Skip, plan_intake
from workflow_manager.core.tasks import Task
from workflow_manager.core.windows import HOUR, Window
from workflow_manager.errors import StorageError, explain
from workflow_manager.observe.events import IntakeSkipped, PartFailed
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.listing import Hour, Markers, by_hour, merged
from workflow_manager.pipeline.malformed import MalformedNames
from workflow_manager.ports import ObjectStore, Observer

# Names read one page after the other before the hours that remain are read side by side.
SPLIT_AFTER = 2000

INTAKE_LEFT = "the intake of its batches is left to the next run"
AGGREGATION_LEFT = "its aggregation is left to the next run"
REST_LEFT = "the rest of its batches, and its aggregation, are left to the next run"


class TaskSink(Protocol):
    """Where planned tasks go: the publisher, or in a dry run its stand-in."""

    def submit(self, tasks: Iterable[Task]) -> None:
        """Take tasks, all of one topic."""
        ...

    def drain(self) -> None:
        """Wait until all of them are done with."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What all aggregations of a run have in common."""

    ingestion: ObjectStore
    own: ObjectStore
    peer: ObjectStore
    peer_infix: str
    intake: Window
    aggregation: Window
    sink: TaskSink
    ledger: Ledger
    observer: Observer

    def failed(self, aggregation: str, consequence: str, error: Exception) -> None:
        """Something could not be read; say what that leaves undone."""
        self.observer.notify(PartFailed(aggregation, consequence, explain(error)))
        self.ledger.fail(aggregation, f"{consequence}: {explain(error)}")


@dataclass(slots=True)
class Reading:
    """What became of a range.

    `batches` are those to aggregate. `whole` is false if something that the aggregation
    depends on could not be read. `rest` is what was not read yet because it is worth
    splitting, with the number of hours that have about `SPLIT_AFTER` names.
    """

    batches: list[Batch] = field(default_factory=list)
    whole: bool = True
    rest: Window | None = None
    hours_each: int = 1


class HoursReader:
    """Reads one range of one aggregation, hour by hour, and keeps nothing of an hour it is done with."""

    def __init__(self, scene: Scene, aggregation: str, window: Window) -> None:
        self._scene = scene
        self._id = aggregation
        self._window = window
        self._reading = Reading()
        self._malformed = MalformedNames(aggregation)
        taken_in = window.overlap(scene.intake)
        self._markers = Markers(scene.own, marker_range(aggregation, taken_in)) if taken_in else None

    def read(self, *, may_split: bool) -> Reading:
        """Deal with the hours of the range, all of them unless splitting is worth it."""
        scene = self._scene
        keys = batch_range(self._id, self._window)
        ingestions = by_hour(scene.ingestion, keys, self._malformed.strays(scene.ingestion))
        names = hours = 0
        try:
            for hour, ingested, validated in merged(ingestions, self._validations()):
                if scene.ledger.stopped:
                    self._reading.whole = False
                    break
                self._hour(hour, ingested, validated)
                names, hours = names + len(ingested), hours + 1
                rest = hour_begin(hour) + HOUR
                if may_split and names >= SPLIT_AFTER and rest < self._window.end:
                    self._reading.rest = Window(rest, self._window.end)
                    self._reading.hours_each = max(1, SPLIT_AFTER * hours // names)
                    break
        except StorageError as error:
            self._reading.whole = False
            scene.failed(self._id, REST_LEFT, error)
        finally:
            self._malformed.report(scene.ledger, scene.observer)
        return self._reading

    def _hour(self, hour: str, ingested: list[str], validated: list[str]) -> None:
        scene = self._scene
        prefix = f"{self._id}/"
        found = find_batches(ingested, prefix, hour, INGESTION, Part.ALL)
        self._malformed.add(scene.ingestion, found.malformed)
        validations = find_batches(validated, prefix, hour, scene.peer_infix, Part.SIGNATURE)
        self._malformed.add(scene.peer, validations.malformed)
        self._take_in(hour, found.within(scene.intake))
        self._keep(found.within(scene.aggregation), validations)

    def _take_in(self, hour: str, found: HourOfBatches) -> None:
        scene = self._scene
        scene.ledger.add(
            self._id,
            ingestions_found=len(found.ready),
            incomplete_ingestions_found=len(found.incomplete),
        )
        ready = [batch for batch in found.ready if self._can_be_marked(batch)]
        if not ready or self._markers is None:
            return
        try:
            plan = plan_intake(self._id, ready, self._markers.of(hour))
        except StorageError as error:
            self._markers = None
            scene.failed(self._id, INTAKE_LEFT, error)
            return
        if plan.marked:
            scene.ledger.add(self._id, intake_tasks_skipped_due_to_marker=len(plan.marked))
            scene.observer.notify(IntakeSkipped(self._id, hour, len(plan.marked), Skip.MARKER))
        scene.sink.submit(plan.tasks())

    def _keep(self, found: HourOfBatches, validations: HourOfBatches) -> None:
        """Note down which batches can be aggregated: those that the peer has validated too."""
        validated = set(validations.ready)
        both = [batch for batch in found.ready if batch in validated]
        self._reading.batches.extend(both)
        self._scene.ledger.add(
            self._id,
            aggregate_ingestions_found=len(found.ready),
            aggregate_incomplete_ingestions_found=len(found.incomplete),
            peer_validations_found=len(validations.ready),
            incomplete_peer_validations_found=len(validations.incomplete),
            aggregate_ingestions_missing_peer_validation=len(found.ready) - len(both),
        )

    def _validations(self) -> Iterator[Hour]:
        """The peer's validations. Without them batches can still be taken in, but not aggregated."""
        scene = self._scene
        window = self._window.overlap(scene.aggregation)
        if window is None:
            return
        try:
            yield from by_hour(scene.peer, batch_range(self._id, window), self._malformed.strays(scene.peer))
        except StorageError as error:
            self._reading.whole = False
            scene.failed(self._id, AGGREGATION_LEFT, error)

    def _can_be_marked(self, batch: Batch) -> bool:
        """Whether a marker for this batch can exist. Published without one, it would be repeated for ever."""
        problem = self._scene.own.unstorable(intake_marker(self._id, batch))
        if problem is not None:
            name = f"{self._id}/{batch.time}/{batch.id}"
            self._malformed.add(
                self._scene.ingestion, [Malformed(name, f"no marker for it can be written: {problem}")]
            )
        return problem is None
