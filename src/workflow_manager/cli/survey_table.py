"""A survey as tables for a person at a terminal, in 80 columns."""

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from workflow_manager.cli.summary import console
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted
from workflow_manager.report.survey_rows import intake_rows, window_rows
from workflow_manager.survey.findings import SurveyReport

NUMBERS = ("ready", "scheduled", "due", "too old", "by peer")
WINDOW = "window (UTC)"
_CARE = "yellow"


def show(report: SurveyReport, name: str = "") -> None:
    """Print the tables."""
    console().print(tables(report, name))


def tables(report: SurveyReport, name: str = "") -> Group:
    """The intake of each aggregation, what was skipped, and the windows of the instance called `name`."""
    intake = _table("aggregation", "ready", "scheduled", "due", "too old", "oldest due", "newest")
    for row in intake_rows(report):
        cells = [Text(str(cell)) for cell in row]
        if row.too_old:
            cells[4].stylize(_CARE)
        intake.add_row(*cells)
    windows = _table("aggregation", WINDOW, "state", "ready", "by peer")
    last = ""
    for one in window_rows(report):
        again = one.aggregation if one.aggregation != last else ""
        style = _CARE if one.care else ""
        state = Text(f"{one.state}\n{one.note}" if one.note else one.state, style=style)
        windows.add_row(Text(again), Text(one.window[5:]), state, str(one.ready), str(one.validated))
        last = one.aggregation
    skipped = (
        Text(f"{printable(name)}: {counted(found.malformed, 'malformed name')} skipped", style=_CARE)
        for name, found in report.aggregations.items()
        if found.malformed
    )
    of = f" of {name}" if name else ""
    return Group(Text(f"Status{of} at {report.rules.now:%Y-%m-%d %H:%M} UTC"), intake, *skipped, windows)


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        number = heading in NUMBERS
        whole = number or heading == WINDOW
        table.add_column(heading, overflow="fold", justify="right" if number else "left", no_wrap=whole)
    return table
