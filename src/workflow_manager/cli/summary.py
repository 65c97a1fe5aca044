"""What a run did, as a table for a person at a terminal."""

import os
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workflow_manager.core.report import Figures, RunReport
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted

SHOWN_AGGREGATIONS = 50


def show(report: RunReport) -> None:
    """Print the figures of each aggregation, their sum, and the failures."""
    terminal = console()
    terminal.print(figures_table(report))
    hidden = len(report.figures) + report.unnamed - SHOWN_AGGREGATIONS
    if hidden > 0:
        terminal.print(f"… and {counted(hidden, 'more aggregation')}, which the totals include.")
    for failure in report.failures:
        of = f"{failure.aggregation}: " if failure.aggregation else ""
        terminal.print(Text(f"failed: {printable(of + failure.message)}", style="red"))
    hidden = report.failure_count - len(report.failures)
    if hidden > 0:
        terminal.print(Text(f"… and {counted(hidden, 'more failure')}", style="red"))
    if report.stopped:
        style = "yellow" if report.interrupted or report.left_to_another else "red"
        terminal.print(Text(f"stopped early: {printable(report.stopped)}", style=style))


def show_findings(findings: Iterable[tuple[bool, str, str, str]]) -> None:
    """Print what checks have found: whether it is good, what was checked, on what, and the detail."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("", "check", "on", "found"):
        table.add_column(heading, overflow="fold")
    for good, *cells in findings:
        mark = Text("ok", style="green") if good else Text("FAILED", style="red")
        table.add_row(mark, *(Text(printable(cell)) for cell in cells))
    console().print(table)


def figures_table(report: RunReport) -> Table:
    """The figures as a table: a row for each aggregation, and one for their sum."""
    title = "Dry run: nothing was published or written" if report.dry_run else None
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("aggregation", overflow="fold")
    table.add_column("ready", justify="right")
    table.add_column("incom-\nplete", justify="right")
    table.add_column("mal-\nformed", justify="right")
    table.add_column("intake tasks", no_wrap=True)
    table.add_column("aggregation task", no_wrap=True)
    for aggregation, figures in list(report.figures.items())[:SHOWN_AGGREGATIONS]:
        table.add_row(*_row(printable(aggregation), figures, _aggregation(figures)))
    if len(report.figures) > 1:
        total = report.total()
        table.add_section()
        table.add_row(*_row("all", total, f"{total.aggregation_tasks_scheduled} scheduled"))
    return table


def console() -> Console:
    """The terminal that standard output is."""
    # Without this rich leaves colours away for NO_COLOR, but not bold type.
    return Console(highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")


def _row(name: str, figures: Figures, aggregation: str) -> list[Text]:
    counts = (
        figures.ingestions_found,
        figures.incomplete_ingestions_found,
        figures.malformed_objects_found,
    )
    return [Text(str(cell)) for cell in (name, *counts, _intake(figures), aggregation)]


def _intake(figures: Figures) -> str:
    outcomes = (
        (figures.intake_tasks_scheduled, "scheduled"),
        (figures.intake_tasks_skipped_due_to_marker, "skipped: marked"),
        (figures.intake_tasks_failed, "failed"),
        (figures.intake_tasks_left, "left for the next run"),
    )
    return "\n".join(f"{count} {outcome}" for count, outcome in outcomes if count) or "none due"


def _aggregation(figures: Figures) -> str:
    missing = figures.aggregate_ingestions_missing_peer_validation
    lacking = f"{missing} await the peer" if missing else ""
    if figures.aggregation_tasks_failed:
        return "failed"
    if figures.aggregation_tasks_scheduled:
        batches = f"{counted(figures.number_of_batches_in_aggregation, 'batch')} scheduled"
        return f"{batches}\n{lacking}" if lacking else batches
    if figures.aggregation_tasks_skipped_due_to_marker:
        left_out = figures.aggregate_batches_left_out
        return f"skipped: marked\n{left_out} left out" if left_out else "skipped: marked"
    if figures.aggregation_tasks_left:
        return "left for the next run"
    return lacking or "none due"
