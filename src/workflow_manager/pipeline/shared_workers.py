"""What runs in one process may share: the threads of each stage, and a bound on memory."""

from typing import NamedTuple, Self

from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.stage import WorkerPool


class SharedWorkers(NamedTuple):
    """Threads of each kind of stage, and room for names of objects; None for those that a run has alone."""

    listing: WorkerPool | None = None
    publishing: WorkerPool | None = None
    marking: WorkerPool | None = None
    memory: MemoryBudget | None = None

    @classmethod
    def of(cls, *, listing: int, publishing: int, marking: int) -> Self:
        """At most so many requests of each kind in flight, in all runs together."""
        return cls(
            WorkerPool("list", listing),
            WorkerPool("publish", publishing),
            WorkerPool("mark", marking),
            MemoryBudget(),
        )

    def close(self) -> None:
        """Give back the threads; no run may be under way."""
        for pool in (self.listing, self.publishing, self.marking):
            if pool is not None:
                pool.close()


OWN_WORKERS = SharedWorkers()
