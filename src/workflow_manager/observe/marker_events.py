"""What a run finds out from the content of markers, as events."""

from dataclasses import dataclass
from typing import ClassVar

from workflow_manager.core.windows import Window
from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.wording import counted, quote, span


@dataclass(slots=True)
class BatchesLeftOut(Event):
    """A scheduled window has ready and validated batches that its task did not name; with an example."""

    name: ClassVar[str] = "aggregation.batches_left_out"
    usual: ClassVar[Severity] = Severity.WARNING
    aggregation: str
    window: Window
    count: int
    example: str

    @property
    def message(self) -> str:
        return (
            f"the aggregation of {quote(self.aggregation)} from {span(self.window)} was scheduled without"
            f" {counted(self.count, 'batch')} that can be aggregated now, such as {quote(self.example)}"
        )


@dataclass(slots=True)
class MarkersUnreadable(Event):
    """Markers exist but may not be read, so left-out batches cannot be found. Once per run."""

    name: ClassVar[str] = "markers.unreadable"
    usual: ClassVar[Severity] = Severity.WARNING
    error: str

    @property
    def message(self) -> str:
        return f"cannot tell which batches scheduled aggregations left out: {self.error}"
