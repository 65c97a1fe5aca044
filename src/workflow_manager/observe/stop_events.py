"""Events of runs that stop early, or leave the work to another run; see `events` for the rest."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.wording import moment, quote, tasks


@dataclass(slots=True)
class RunStopping(Event):
    """The run stops early; tasks in flight are finished and marked. WARNING for a signal."""

    name: ClassVar[str] = "run.stopping"
    usual: ClassVar[Severity] = Severity.ERROR
    reason: str
    interrupted: bool

    @property
    def severity(self) -> Severity:
        """That someone wants the run to end, as to drain a node, is no failure."""
        return Severity.WARNING if self.interrupted else self.usual

    @property
    def message(self) -> str:
        return f"stopping early: {self.reason}"


@dataclass(slots=True)
class RunGivenUp(Event):
    """Requests in flight did not finish within the grace period; the process exits anyway.

    A WARNING if a signal began the end.
    """

    name: ClassVar[str] = "run.given_up"
    usual: ClassVar[Severity] = Severity.ERROR
    grace: str
    interrupted: bool

    @property
    def severity(self) -> Severity:
        """As of RunStopping."""
        return Severity.WARNING if self.interrupted else self.usual

    @property
    def message(self) -> str:
        return (
            f"requests in flight have not ended within {self.grace}; "
            "tasks that they publish may be published again"
        )


@dataclass(slots=True)
class RunSuperseded(Event):
    """Another run holds the lease on the same buckets; this run schedules nothing."""

    name: ClassVar[str] = "run.superseded"
    usual: ClassVar[Severity] = Severity.WARNING
    host: str
    process: int
    until: datetime

    @property
    def message(self) -> str:
        return (
            f"another run holds the lease: process {self.process} on {self.host}, until {moment(self.until)}"
            " unless it renews it; this run schedules nothing."
            " If the other run was killed, its lease expires by itself"
        )


@dataclass(slots=True)
class LeaseIgnored(Event):
    """An object is named like a lease but is not a valid one; the run ignores it."""

    name: ClassVar[str] = "lease.ignored"
    usual: ClassVar[Severity] = Severity.WARNING
    bucket: str
    key: str
    problem: str

    @property
    def message(self) -> str:
        return f"ignored the lease {quote(self.key)} in {self.bucket}: {self.problem}; delete it"


@dataclass(slots=True)
class TasksLeft(Event):
    """Due tasks are left for the next run, because this one stopped early or the queue takes no more."""

    name: ClassVar[str] = "tasks.left"
    usual: ClassVar[Severity] = Severity.WARNING
    intake_tasks: int
    aggregation_tasks: int
    reason: str

    @property
    def message(self) -> str:
        return f"{tasks(self.intake_tasks, self.aggregation_tasks)} left for the next run: {self.reason}"
