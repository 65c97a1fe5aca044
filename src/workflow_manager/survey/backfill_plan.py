"""Plans a backfill from a survey: which passes to run, and which windows to skip."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from workflow_manager.core.verdict import WindowState
from workflow_manager.core.windows import Window
from workflow_manager.survey.findings import SurveyReport, WindowFindings


class Only(StrEnum):
    """The only kind of task that a backfill schedules."""

    INTAKE = "intake"
    AGGREGATE = "aggregate"


@dataclass(frozen=True, slots=True)
class PlannedPass:
    """One pass over some aggregations, and the most tasks it schedules. An empty window has no tasks."""

    aggregations: tuple[str, ...]
    intake: Window
    aggregation: Window
    intake_tasks: int
    aggregation_tasks: int


@dataclass(frozen=True, slots=True)
class RefusedWindow:
    """A window in the range that the backfill does not schedule, and why."""

    aggregation: str
    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class BackfillRange:
    """What to schedule: batches with times in `times`, and windows that begin in it.

    Two adjacent ranges give the same tasks as one range that covers both.
    """

    times: Window
    only: Only | None
    again: bool

    def plan(self, report: SurveyReport) -> list[PlannedPass]:
        """The passes, in order of time. Passes are short, so normal runs can work in between."""
        windows = sorted({found.window for one in report.aggregations.values() for found in one.windows})
        return [planned for window in windows for planned in self._passes(report, window)]

    def refused(self, report: SurveyReport) -> Iterator[RefusedWindow]:
        """The windows that overlap the range and have validated batches, but are not scheduled."""
        if self.only is Only.INTAKE or self.again:
            return
        for name, found in report.aggregations.items():
            for one in found.windows:
                if one.marked or not one.validated:
                    continue
                if one.state(report.rules) in (WindowState.FILLING, WindowState.IN_GRACE):
                    yield RefusedWindow(name, one.window, f"it is {one.state(report.rules)}")
                elif one.window.begin not in self.times:
                    yield RefusedWindow(name, one.window, "it begins before the range")
                elif one.overlaps is not None:
                    yield RefusedWindow(name, one.window, "it overlaps a scheduled window")

    def _passes(self, report: SurveyReport, window: Window) -> Iterator[PlannedPass]:
        found = {
            name: one
            for name, all_of in report.aggregations.items()
            for one in all_of.windows
            if one.window == window
        }
        taken_in = window.overlap(self.times)
        intake = taken_in and taken_in.overlap(Window(self.times.begin, report.rules.intake.end))
        nothing = Window(window.begin, window.begin)
        batches = {name: self._intake_tasks(one) for name, one in found.items()} if intake else {}
        batches = {name: count for name, count in batches.items() if count}
        sums = {name for name, one in found.items() if self._aggregates(report, one)}
        if intake and batches and set(batches) == sums:
            yield PlannedPass(tuple(sorted(sums)), intake, window, sum(batches.values()), len(sums))
            return
        if intake and batches:
            yield PlannedPass(tuple(sorted(batches)), intake, nothing, sum(batches.values()), 0)
        if sums:
            yield PlannedPass(tuple(sorted(sums)), nothing, window, 0, len(sums))

    def _intake_tasks(self, found: WindowFindings) -> int:
        if self.only is Only.AGGREGATE:
            return 0
        return found.intaken if self.again else found.unmarked

    def _aggregates(self, report: SurveyReport, found: WindowFindings) -> bool:
        if self.only is Only.INTAKE or found.window.begin not in self.times:
            return False
        if self.again:
            return found.marked
        due = found.state(report.rules) in (WindowState.DUE, WindowState.MISSED)
        return due and found.overlaps is None
