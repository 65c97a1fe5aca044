"""What happens in a run, as frozen records with stable names and fields.

`name` identifies the kind of event in logs and is never reused for another meaning.
`message` is for people, `fields` for machines; `docs/reference/events.md` lists the names.
What is found in the buckets is in `found.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from workflow_manager.core.plan import Skip
from workflow_manager.core.report import RunReport
from workflow_manager.core.task_messages import Task
from workflow_manager.core.windows import Window
from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.wording import (
    AGAIN,
    as_fields,
    counted,
    describe,
    iso_interval,
    outcome,
    outcome_fields,
    overlap,
    quote,
    span,
    task_fields,
)


@dataclass(slots=True)
class RunStarted(Event):
    """A run started, with these windows."""

    name: ClassVar[str] = "run.started"
    intake: Window
    aggregation: Window
    dry_run: bool

    @property
    def message(self) -> str:
        return f"looking for intake from {span(self.intake)}, for aggregation from {span(self.aggregation)}"


@dataclass(slots=True)
class TaskEvent(Event):
    """Something happened to one task."""

    task: Task


@dataclass(slots=True)
class TaskScheduled(TaskEvent):
    """The queue acknowledged a task's message."""

    name: ClassVar[str] = "task.scheduled"
    topic: str
    trace_id: str

    @property
    def message(self) -> str:
        return f"scheduled {describe(self.task)}"

    @property
    def fields(self) -> Mapping[str, object]:
        # As of any event, but there can be very many of these.
        return {**task_fields(self.task), "topic": self.topic, "trace_id": self.trace_id}


@dataclass(slots=True)
class TaskWouldBeScheduled(TaskEvent):
    """A dry run would have published this task and written its marker."""

    name: ClassVar[str] = "task.would_be_scheduled"
    topic: str

    @property
    def message(self) -> str:
        return f"would schedule {describe(self.task)} on {self.topic}, and write {quote(self.task.marker)}"


@dataclass(slots=True)
class TaskFailed(TaskEvent):
    """A task was not published; the next run tries again."""

    name: ClassVar[str] = "task.failed"
    usual: ClassVar[Severity] = Severity.ERROR
    error: str

    @property
    def message(self) -> str:
        return f"did not schedule {describe(self.task)}: {self.error}"


@dataclass(slots=True)
class MarkerFailed(TaskEvent):
    """A task was published, but its marker could not be written; the next run publishes it again."""

    name: ClassVar[str] = "marker.failed"
    usual: ClassVar[Severity] = Severity.ERROR
    error: str

    @property
    def message(self) -> str:
        what = describe(self.task)
        return f"published {what}, but its marker could not be written; {AGAIN}: {self.error}"


@dataclass(slots=True)
class IntakeSkipped(Event):
    """Ready batches of one hour were skipped, all for the same reason."""

    name: ClassVar[str] = "intake.skipped"
    usual: ClassVar[Severity] = Severity.DEBUG
    aggregation: str
    hour: str
    count: int
    reason: Skip

    @property
    def message(self) -> str:
        of = quote(self.aggregation)
        batches = counted(self.count, "batch")
        return f"skipped the intake of {batches} of {of} at {self.hour}: {self.reason}"


@dataclass(slots=True)
class AggregationSkipped(Event):
    """No aggregation task is due in the window."""

    name: ClassVar[str] = "aggregation.skipped"
    usual: ClassVar[Severity] = Severity.DEBUG
    aggregation: str
    reason: Skip

    @property
    def message(self) -> str:
        return f"skipped the aggregation of {quote(self.aggregation)}: {self.reason}"


@dataclass(slots=True)
class AggregationOverlaps(TaskEvent):
    """An aggregation was not scheduled because its window overlaps one that is already scheduled."""

    name: ClassVar[str] = "aggregation.overlaps"
    usual: ClassVar[Severity] = Severity.ERROR
    marked: Window

    @property
    def message(self) -> str:
        return f"did not schedule {describe(self.task)}: {overlap(self.marked)}"

    @property
    def fields(self) -> Mapping[str, object]:
        return {**as_fields("task", self.task), "scheduled_window": iso_interval(self.marked)}


@dataclass(slots=True)
class PartFailed(Event):
    """Something could not be read; the message says what is not done as a result. The rest continues."""

    name: ClassVar[str] = "part.failed"
    usual: ClassVar[Severity] = Severity.ERROR
    aggregation: str
    consequence: str
    error: str

    @property
    def message(self) -> str:
        where = f"{quote(self.aggregation)}: " if self.aggregation else ""
        return f"{where}{self.consequence}: {self.error}"


@dataclass(slots=True)
class BucketGivenUp(Event):
    """The circuit breaker of a bucket opened: all requests failed, and the run sends no more."""

    name: ClassVar[str] = "bucket.given_up"
    usual: ClassVar[Severity] = Severity.ERROR
    bucket: str
    error: str

    @property
    def message(self) -> str:
        return f"{self.bucket} is not used for the rest of this run: {self.error}"


@dataclass(slots=True)
class RunFinished(Event):
    """The run ended. ERROR if it failed, WARNING if a signal stopped it or another run holds the lease."""

    name: ClassVar[str] = "run.finished"
    report: RunReport

    @property
    def severity(self) -> Severity:
        """What became of the run; one that failed says so at every level of logging."""
        report = self.report
        if report.failure_count:
            return Severity.ERROR
        if report.superseded or report.interrupted:
            return Severity.WARNING
        return Severity.INFO if report.succeeded else Severity.ERROR

    @property
    def message(self) -> str:
        return outcome(self.report)

    @property
    def fields(self) -> Mapping[str, object]:
        return outcome_fields(self.report)


@dataclass(slots=True)
class MetricsBounded(Event):
    """There are more aggregations than label values; the metrics have the sums of the others."""

    name: ClassVar[str] = "metrics.bounded"
    usual: ClassVar[Severity] = Severity.WARNING
    aggregations: int
    most: int

    @property
    def message(self) -> str:
        return f"{self.aggregations} aggregations: all but {self.most} are summed up in the metrics"


@dataclass(slots=True)
class MetricsFailed(Event):
    """The metrics of the run could not be delivered."""

    name: ClassVar[str] = "metrics.failed"
    usual: ClassVar[Severity] = Severity.ERROR
    error: str

    @property
    def message(self) -> str:
        return self.error
