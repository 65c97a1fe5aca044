"""A survey in rows, which tables and plain text share."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from workflow_manager.core.verdict import Rules, WindowState, described
from workflow_manager.core.windows import Window
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted
from workflow_manager.survey.findings import AggregationFindings, SurveyReport, WindowFindings

NEEDS_CARE = (WindowState.MISSED,)


class WindowRow(NamedTuple):
    """One window, or several consecutive ones in the same state. `care` marks rows that need attention."""

    aggregation: str
    window: str
    state: str
    ready: int
    validated: int
    note: str
    care: bool


class IntakeRow(NamedTuple):
    """The intake of one aggregation."""

    aggregation: str
    ready: int
    scheduled: int
    due: int
    too_old: int
    oldest_due: str
    newest: str


def intake_rows(report: SurveyReport) -> Iterator[IntakeRow]:
    """The intake, one row per aggregation."""
    for name, found in report.aggregations.items():
        intake = found.intake
        yield IntakeRow(
            printable(name),
            intake.ready,
            intake.scheduled,
            intake.due,
            intake.too_old,
            short_time(intake.oldest_due),
            short_time(intake.newest),
        )


def window_rows(report: SurveyReport) -> Iterator[WindowRow]:
    """The windows; consecutive ones that need no details share a row."""
    for found in report.aggregations.values():
        for windows in groups(found, report.rules):
            yield row(found.aggregation, windows, report.rules)


def report_lines(report: SurveyReport) -> Iterator[str]:
    """The whole survey as plain text."""
    yield f"status at {report.rules.now:%Y-%m-%dT%H:%M:%SZ}"
    for intake in intake_rows(report):
        due = f" (oldest {intake.oldest_due})" if intake.oldest_due else ""
        newest = f", newest {intake.newest}" if intake.newest else ""
        yield (
            f"{intake.aggregation}  intake  {intake.ready} ready, {intake.scheduled} scheduled,"
            f" {intake.due} due{due}, {intake.too_old} too old{newest}"
        )
        if malformed := _malformed(report, intake.aggregation):
            yield f"{intake.aggregation}  {counted(malformed, 'malformed name')} skipped"
    for row in window_rows(report):
        counts = f"{row.ready} ready, {row.validated} validated" if row.ready else ""
        parts = (row.aggregation, row.window, row.state, ", ".join(filter(None, (counts, row.note))))
        yield "  ".join(filter(None, parts))


def _malformed(report: SurveyReport, shown: str) -> int:
    return sum(one.malformed for name, one in report.aggregations.items() if printable(name) == shown)


def groups(found: AggregationFindings, rules: Rules) -> Iterator[list[WindowFindings]]:
    """The windows of an aggregation; consecutive ones that need no details are together."""
    for (_, quiet), alike in groupby(found.windows, lambda one: (one.state(rules), _quiet(one, rules))):
        if quiet:
            yield list(alike)
        else:
            yield from ([one] for one in alike)


def row(aggregation: str, windows: Sequence[WindowFindings], rules: Rules) -> WindowRow:
    """One group of windows as a row."""
    name = printable(aggregation)
    one = windows[0]
    state = one.state(rules)
    if len(windows) > 1:
        window = Window(one.window.begin, windows[-1].window.end)
        ready, validated = sum(each.ready for each in windows), sum(each.validated for each in windows)
        note = f"{len(windows)} windows"
        return WindowRow(name, short_span(window), str(state), ready, validated, note, care=False)
    care = state in NEEDS_CARE or bool(one.left_out) or one.overlaps is not None
    note = counted(one.incomplete, "incomplete batch") if one.incomplete else ""
    if one.overlaps is not None and not one.marked:
        note = f"overlaps the scheduled window {short_span(one.overlaps)}"
    text = described(state, one.left_out)
    return WindowRow(name, short_span(one.window), text, one.ready, one.validated, note, care)


def _quiet(found: WindowFindings, rules: Rules) -> bool:
    """Whether a window's state says everything about it."""
    state = found.state(rules)
    return state in (WindowState.EMPTY, WindowState.SCHEDULED) and not found.left_out and not found.overlaps


def short_span(window: Window) -> str:
    """A window without what its begin and end have in common."""
    same_day = window.begin.date() == window.end.date()
    return f"{window.begin:%Y-%m-%d %H:%M} to {window.end:{'%H:%M' if same_day else '%m-%d %H:%M'}}"


def short_time(time: str) -> str:
    """A batch time without the year: `11-23 04:05`."""
    if not time:
        return ""
    _, month, day, hour, minute = time.split("/")
    return f"{month}-{day} {hour}:{minute}"
