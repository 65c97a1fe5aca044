"""What the status page shows of one instance, ready for a template."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from workflow_manager.core.names import aggregate_marker
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import DAY, EPOCH, HOUR, Window
from workflow_manager.report.ages import ago
from workflow_manager.report.display_states import RANKS, DisplayState, display_state
from workflow_manager.report.explanation_text import window_sentences
from workflow_manager.report.survey_rows import WindowRow, groups, row
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.survey.explanation import WindowExplanation, remedy
from workflow_manager.survey.findings import AggregationFindings, IntakeFindings, SurveyReport, WindowFindings
from workflow_manager.survey.subject import parse_batch_time

# Windows of one aggregation whose counts are shown one by one; of more, those of the last.
MOST_COUNTS = 400


@dataclass(frozen=True, slots=True)
class Moment:
    """A time with its age; both are empty for a time that is not known."""

    time: str
    age: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """The counts of windows by day; `columns` are the times at which windows begin, if all days agree."""

    columns: list[str]
    days: list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class GroupView:
    """One window, or several in a row that need no details."""

    row: WindowRow
    shown: DisplayState
    count: int
    sentences: list[str]
    remedies: list[tuple[str, str]]
    calendar: Calendar | None


@dataclass(frozen=True, slots=True)
class AggregationView:
    """One aggregation."""

    name: str
    intake: IntakeFindings
    malformed: int
    newest: Moment
    oldest_due: Moment
    groups: list[GroupView]
    windows: int
    rank: int

    @property
    def codes(self) -> str:
        """The letters of the states of its windows."""
        return "".join(sorted({group.shown.code for group in self.groups}))


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One instance."""

    given: SurveyedInstance
    surveyed: Moment
    aggregations: list[AggregationView]
    totals: IntakeFindings
    newest: Moment
    oldest_due: Moment
    problems: list[tuple[DisplayState, int]]
    codes: str


def instance_view(given: SurveyedInstance) -> InstanceView:
    """An instance as the page shows it. Ages are those at the time of the survey."""
    report = given.report
    if report is None:
        nothing = IntakeFindings()
        return InstanceView(given, _moment(None), [], nothing, _moment(None), _moment(None), [], "")
    views = [_aggregation(one, report.rules, given.target) for one in report.aggregations.values()]
    totals = IntakeFindings()
    for one in report.aggregations.values():
        totals.add(one.intake)
    now = report.rules.now
    return InstanceView(
        given,
        _moment(now),
        views,
        totals,
        _batch_moment(totals.newest, now),
        _batch_moment(totals.oldest_due, now),
        _problems(report),
        "".join(sorted({code for view in views for code in view.codes})),
    )


def worst_by_window(report: SurveyReport) -> dict[Window, DisplayState]:
    """The worst state of each window, of all aggregations of an instance."""
    worst: dict[Window, DisplayState] = {}
    for one in report.aggregations.values():
        for found in one.windows:
            _keep_worst(worst, found.window, display_state(found, report.rules))
    return worst


def by_window(found: AggregationFindings, rules: Rules) -> dict[Window, DisplayState]:
    """The state of each window of one aggregation."""
    return {one.window: display_state(one, rules) for one in found.windows}


def _keep_worst(worst: dict[Window, DisplayState], window: Window, shown: DisplayState) -> None:
    known = worst.get(window)
    if known is None or RANKS[shown.code] < RANKS[known.code]:
        worst[window] = shown


def _problems(report: SurveyReport) -> list[tuple[DisplayState, int]]:
    """How many windows are in each state that needs a person."""
    counts: dict[DisplayState, int] = {}
    for one in report.aggregations.values():
        for found in one.windows:
            shown = display_state(found, report.rules)
            if shown.needs_care:
                counts[shown] = counts.get(shown, 0) + 1
    return sorted(counts.items(), key=lambda item: RANKS[item[0].code])


def _aggregation(found: AggregationFindings, rules: Rules, target: str) -> AggregationView:
    views = [_group(found.aggregation, windows, rules, target) for windows in groups(found, rules)]
    return AggregationView(
        found.aggregation,
        found.intake,
        found.malformed,
        _batch_moment(found.intake.newest, rules.now),
        _batch_moment(found.intake.oldest_due, rules.now),
        views,
        len(found.windows),
        min((RANKS[view.shown.code] for view in views), default=len(RANKS)),
    )


def _group(aggregation: str, windows: Sequence[WindowFindings], rules: Rules, target: str) -> GroupView:
    first = windows[0]
    explained = WindowExplanation(
        aggregation, first, first.state(rules), aggregate_marker(aggregation, first.window), None
    )
    alone = len(windows) == 1
    sentences = list(window_sentences(explained))
    return GroupView(
        row(aggregation, windows, rules),
        display_state(first, rules),
        len(windows),
        sentences if alone else [sentences[0].replace("The window is", "Each window is", 1)],
        list(remedy(explained, target)) if alone else [],
        None if alone or not any(one.ready or one.incomplete for one in windows) else _calendar(windows),
    )


def _calendar(windows: Sequence[WindowFindings]) -> Calendar:
    length = windows[0].window.end - windows[0].window.begin
    aligned = HOUR <= length <= DAY and not DAY % length
    columns = [f"{EPOCH + length * number:%H:%M}" for number in range(DAY // length)] if aligned else []
    days = []
    for day, found in groupby(windows[-MOST_COUNTS:], lambda one: one.window.begin.date()):
        same_day = list(found)
        cells = [_counts(one, named=not aligned) for one in same_day]
        if aligned:
            cells = [""] * columns.index(f"{same_day[0].window.begin:%H:%M}") + cells
        days.append((f"{day:%a %m-%d}", cells))
    return Calendar(columns, days)


def _counts(found: WindowFindings, *, named: bool) -> str:
    counts = str(found.ready) if found.ready == found.validated else f"{found.validated}/{found.ready}"
    counts += f" +{found.incomplete}" if found.incomplete else ""
    return f"{found.window.begin:%H:%M} {counts}" if named else counts


def _batch_moment(time: str, now: datetime) -> Moment:
    return _moment(parse_batch_time(time), now) if time else _moment(None)


def _moment(time: datetime | None, now: datetime | None = None) -> Moment:
    if time is None:
        return Moment("", "")
    age = ago(now - time) if now else ""
    return Moment(f"{time:%Y-%m-%d %H:%M}", age)
