"""What all parts of one run share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from workflow_manager.core.names import BatchIds
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.report import Kind
from workflow_manager.core.task_messages import Task
from workflow_manager.core.windows import Window
from workflow_manager.errors import explain
from workflow_manager.observe.events import PartFailed
from workflow_manager.pipeline.lease import Permission
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.recorded import MarkerReader
from workflow_manager.ports import Bucket, Observer


class TaskSink(Protocol):
    """Where planned tasks go: the publisher, or in a dry run its stand-in."""

    def submit(self, tasks: Iterable[Task]) -> None:
        """Take tasks, all of one topic."""
        ...

    def drain(self) -> None:
        """Wait until all of them are done with."""
        ...

    @property
    def seconds(self) -> float:
        """From the first request to the end of the last; see Stage."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all aggregations of a run have in common; see `RunSpec` for the last three."""

    ingestion: Bucket
    own: Bucket
    peer: Bucket
    peer_infix: str
    intake: Window
    aggregation: Window
    sink: TaskSink
    permission: Permission
    ledger: Ledger
    observer: Observer
    markers: MarkerReader
    repetition: Repetition | None = None
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    batch_ids: BatchIds = BatchIds.UUID
    allow_overlapping_windows: bool = False
    names_incomplete: bool = False

    def may_schedule(self) -> bool:
        """Whether we hold the lease. Markers are read only after this: another's are seen, then."""
        try:
            holder = self.permission.holder()
        except Exception as error:  # noqa: BLE001 (whatever it is, nothing may be scheduled without a lease)
            self.ledger.stop(f"could not acquire the lease: {explain(error)}", Kind.LEASE)
            return False
        if holder is not None:
            self.ledger.leave_to_another(holder)
        return holder is None

    def failed(self, aggregation: str, consequence: str, error: Exception) -> None:
        """Something could not be read; say what that leaves undone."""
        self.observer.notify(PartFailed(aggregation, consequence, explain(error)))
        self.ledger.fail(aggregation, Kind.LISTING, f"{consequence}: {explain(error)}")
