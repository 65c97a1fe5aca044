"""Which scheduled tasks are to be published once more."""

from dataclasses import dataclass

from workflow_manager.core.marker_record import MarkerRecord


@dataclass(frozen=True, slots=True)
class Repetition:
    """Tasks that have a marker are published again, each once for the same `reason`.

    An aggregation names the batches that its marker recorded or, with `recompute`, those that
    are ready and validated now. With `only_marker`, the key of one, just this task is repeated.
    """

    reason: str
    recompute: bool = False
    only_marker: str = ""

    def wants(self, key: str, record: MarkerRecord | None) -> bool:
        """Whether the task of this marker is still to be published again."""
        if record is None or (self.only_marker and key != self.only_marker):
            return False
        return not record.was_scheduled_again_for(self.reason)
