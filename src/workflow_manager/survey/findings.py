"""The findings of a survey."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from workflow_manager.core.names import Batch
from workflow_manager.core.verdict import Rules, WindowFacts, WindowState, window_state
from workflow_manager.core.windows import Window


@dataclass(slots=True)
class IntakeFindings:
    """How many batches of one aggregation are in each intake state.

    `oldest_due`, `oldest_too_old` and `newest` are batch times (`yyyy/mm/dd/HH/MM`, UTC), or empty.
    """

    ready: int = 0
    incomplete: int = 0
    scheduled: int = 0
    due: int = 0
    too_old: int = 0
    too_early: int = 0
    oldest_due: str = ""
    newest: str = ""
    oldest_too_old: str = ""

    def add(self, other: "IntakeFindings") -> None:
        """Add the findings of another part of the range."""
        for name in ("ready", "incomplete", "scheduled", "due", "too_old", "too_early"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.oldest_due = min(filter(None, (self.oldest_due, other.oldest_due)), default="")
        self.oldest_too_old = min(filter(None, (self.oldest_too_old, other.oldest_too_old)), default="")
        self.newest = max(self.newest, other.newest)


@dataclass(slots=True)
class WindowFindings:
    """One aggregation window. `example` is one of the batches that its task left out.

    `unmarked` counts the ready batches whose intake a backfill could schedule, `intaken` the ones whose
    intake is scheduled. `recorded` says whether the marker records which batches the task named.
    `overlaps` is a scheduled window of another length that overlaps this one, if any.
    """

    window: Window
    ready: int = 0
    incomplete: int = 0
    validated: int = 0
    marked: bool = False
    recorded: bool = False
    left_out: int = 0
    example: Batch | None = None
    overlaps: Window | None = None
    unmarked: int = 0
    intaken: int = 0

    @property
    def facts(self) -> WindowFacts:
        """The facts that determine the state."""
        return WindowFacts(
            self.window, self.ready, self.incomplete, self.validated, self.marked, self.left_out
        )

    def state(self, rules: Rules) -> WindowState:
        """The state of the window."""
        return window_state(self.facts, rules)

    def add(self, other: "WindowFindings") -> None:
        """Add the findings of another part of the window."""
        for name in ("ready", "incomplete", "validated", "left_out", "unmarked", "intaken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.recorded = self.recorded or other.recorded
        self.example = min(filter(None, (self.example, other.example)), default=None)


@dataclass(slots=True)
class AggregationFindings:
    """One aggregation. `windows` are in order of time; `wanted` are the batches with the searched ID."""

    aggregation: str
    intake: IntakeFindings = field(default_factory=IntakeFindings)
    windows: list[WindowFindings] = field(default_factory=list)
    malformed: int = 0
    wanted: list[Batch] = field(default_factory=list)


@dataclass(slots=True)
class SurveyReport:
    """A survey: the aggregations sorted by ID, and the errors that make it incomplete.

    `omitted` counts the aggregations that were not surveyed because there are too many.
    """

    rules: Rules
    aggregations: dict[str, AggregationFindings] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    omitted: int = 0

    def missed(self) -> Iterator[WindowFindings]:
        """The windows that could be aggregated, but that runs no longer schedule."""
        return (found for found in self._windows() if found.state(self.rules) is WindowState.MISSED)

    def with_batches_left_out(self) -> Iterator[WindowFindings]:
        """The scheduled windows whose task did not name all batches that can be aggregated now."""
        return (found for found in self._windows() if found.left_out)

    @property
    def too_old(self) -> int:
        """How many ready batches are too old for runs to schedule."""
        return sum(one.intake.too_old for one in self.aggregations.values())

    @property
    def surveyed_at(self) -> datetime:
        """The time for which the states are computed."""
        return self.rules.now

    def _windows(self) -> Iterator[WindowFindings]:
        return (found for one in self.aggregations.values() for found in one.windows)
