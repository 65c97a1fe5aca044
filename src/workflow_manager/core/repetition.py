"""Which scheduled tasks to publish again."""

from typing import NamedTuple

from workflow_manager.core.marker_record import MarkerRecord


class Repetition(NamedTuple):
    """Publish tasks that have a marker again, each once per `reason`.

    An aggregation task names the batches that its marker records or, with `recompute`, the ones that
    are ready and validated now. `only_marker` limits this to the task of the marker with this key.
    """

    reason: str
    recompute: bool = False
    only_marker: str = ""

    def wants(self, key: str, record: MarkerRecord | None) -> bool:
        """Whether to publish the task of this marker again."""
        if record is None or (self.only_marker and key != self.only_marker):
            return False
        return not record.was_scheduled_again_for(self.reason)
