"""What a survey finds out, as values."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from workflow_manager.core.names import Batch
from workflow_manager.core.verdict import Rules, WindowFacts, WindowState, window_state
from workflow_manager.core.windows import Window


@dataclass(slots=True)
class IntakeFindings:
    """The intake side of one aggregation: how many batches are in each state.

    `oldest_due` and `newest` are batch times (`yyyy/mm/dd/HH/MM`, UTC), empty if there is none.
    """

    ready: int = 0
    incomplete: int = 0
    scheduled: int = 0
    due: int = 0
    too_old: int = 0
    too_early: int = 0
    oldest_due: str = ""
    newest: str = ""

    def add(self, other: "IntakeFindings") -> None:
        """Add the findings of another part of the range."""
        for name in ("ready", "incomplete", "scheduled", "due", "too_old", "too_early"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        known = [time for time in (self.oldest_due, other.oldest_due) if time]
        self.oldest_due = min(known, default="")
        self.newest = max(self.newest, other.newest)


@dataclass(slots=True)
class WindowFindings:
    """One aggregation window. `example` is one of the batches that its task left out.

    `unmarked` and `intaken` are its ready batches whose intake a backfill could schedule, and whose
    intake is scheduled. `recorded` says whether the marker tells which batches the task named.
    `overlaps` is a scheduled window of another length that overlaps this one, if there is any.
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
        """What the verdict depends on."""
        return WindowFacts(
            self.window, self.ready, self.incomplete, self.validated, self.marked, self.left_out
        )

    def state(self, rules: Rules) -> WindowState:
        """What became of the window."""
        return window_state(self.facts, rules)

    def add(self, other: "WindowFindings") -> None:
        """Add the findings of another part of the window."""
        for name in ("ready", "incomplete", "validated", "left_out", "unmarked", "intaken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.recorded = self.recorded or other.recorded
        self.example = min(filter(None, (self.example, other.example)), default=None)


@dataclass(slots=True)
class AggregationFindings:
    """Everything about one aggregation. `windows` are in order of time, `wanted` the batches searched for."""

    aggregation: str
    intake: IntakeFindings = field(default_factory=IntakeFindings)
    windows: list[WindowFindings] = field(default_factory=list)
    malformed: int = 0
    wanted: list[Batch] = field(default_factory=list)


@dataclass(slots=True)
class SurveyReport:
    """A survey: the aggregations by ID in order, and why parts of them are unknown, if any are."""

    rules: Rules
    aggregations: dict[str, AggregationFindings] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def missed(self) -> Iterator[WindowFindings]:
        """The windows that no run will schedule although they could be summed."""
        return (found for found in self._windows() if found.state(self.rules) is WindowState.MISSED)

    def with_batches_left_out(self) -> Iterator[WindowFindings]:
        """The scheduled windows whose task did not name all batches that can be summed now."""
        return (found for found in self._windows() if found.left_out)

    @property
    def too_old(self) -> int:
        """How many ready batches no run will take in any more."""
        return sum(one.intake.too_old for one in self.aggregations.values())

    @property
    def surveyed_at(self) -> datetime:
        """The time that the verdicts hold for."""
        return self.rules.now

    def _windows(self) -> Iterator[WindowFindings]:
        return (found for one in self.aggregations.values() for found in one.windows)
