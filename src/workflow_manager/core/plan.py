"""Batches and markers -> decisions: what to schedule, and what to leave out and why."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from workflow_manager.core.names import Batch, with_intake_markers
from workflow_manager.core.task_messages import AggregationTask, IntakeTask
from workflow_manager.core.windows import Window


class Skip(StrEnum):
    """Why a task is not scheduled."""

    MARKER = "already scheduled (its marker exists)"
    REPEATED = "already scheduled again for this reason"
    NO_BATCHES = "no batch is ready in both the ingestion and the peer validation bucket"


@dataclass(frozen=True, slots=True)
class IntakePlan:
    """What to do about the ready batches of one slice; those in `marked` are skipped (`Skip.MARKER`)."""

    aggregation: str
    due: list[Batch] = field(default_factory=list)
    marked: list[Batch] = field(default_factory=list)

    def tasks(self) -> Iterator[IntakeTask]:
        """The tasks to schedule, in order of time; made one by one, as an hour can hold very many."""
        return (IntakeTask(self.aggregation, batch) for batch in self.due)


def plan_intake(aggregation: str, ready: Iterable[Batch], markers: Collection[str]) -> IntakePlan:
    """Every ready batch that has no marker is due. `markers` are keys, and may hold others' too."""
    plan = IntakePlan(aggregation)
    for batch, marker in with_intake_markers(aggregation, ready):
        (plan.marked if marker in markers else plan.due).append(batch)
    return plan


def plan_aggregation(
    aggregation: str, window: Window, batches: Iterable[Batch], *, marked: bool
) -> AggregationTask | Skip:
    """One task for all `batches` of the window, unless there are none or its marker exists."""
    ordered = tuple(sorted(batches))
    if not ordered:
        return Skip.NO_BATCHES
    return Skip.MARKER if marked else AggregationTask(aggregation, window, ordered)
