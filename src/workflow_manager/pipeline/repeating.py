"""Tasks that have been scheduled before, chosen to be published again."""

from collections.abc import Sequence

from workflow_manager.core.marker_record import marker_name
from workflow_manager.core.names import Batch, aggregate_marker, intake_marker
from workflow_manager.core.plan import IntakePlan, Skip
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.task_messages import AggregationTask
from workflow_manager.core.windows import Window
from workflow_manager.errors import StorageError
from workflow_manager.pipeline.recorded import MarkerReader


def intake_again(plan: IntakePlan, repetition: Repetition, markers: MarkerReader) -> IntakePlan:
    """The plan with the marked batches due that are to be repeated, and no others; raises StorageError."""
    repeated = IntakePlan(plan.aggregation)
    for batch in plan.marked:
        key = intake_marker(plan.aggregation, batch)
        # Without this, each marker of the range would be read to repeat a single task.
        other = repetition.only_marker and key != repetition.only_marker
        wanted = not other and repetition.wants(key, markers.read(key))
        (repeated.due if wanted else repeated.marked).append(batch)
    return repeated


def aggregation_again(
    aggregation: str, window: Window, batches: Sequence[Batch], repetition: Repetition, markers: MarkerReader
) -> AggregationTask | Skip:
    """The task of a scheduled window once more; raises StorageError if it is unknown what it named."""
    key = aggregate_marker(aggregation, window)
    record = None if window.empty else markers.read(key)
    if record is None or not repetition.wants(key, record):
        return Skip.NO_BATCHES if record is None else Skip.REPEATED
    named = tuple(sorted(batches)) if repetition.recompute else record.batches
    if named is None:
        raise StorageError(
            "schedule again",
            marker_name(key),
            "its marker does not say which batches its task named",
            "use --recompute to name those that are ready and validated now",
        )
    return AggregationTask(aggregation, window, named) if named else Skip.NO_BATCHES
