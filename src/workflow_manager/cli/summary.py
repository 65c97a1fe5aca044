"""What a run did, as a table for a person at a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workflow_manager.core.report import Figures, RunReport
from workflow_manager.observe.logs import printable

SHOWN_AGGREGATIONS = 50


def show(report: RunReport) -> None:
    """Print the figures of each aggregation, their sum, and the failures."""
    console = Console()
    console.print(figures_table(report))
    hidden = len(report.figures) - SHOWN_AGGREGATIONS
    if hidden > 0:
        console.print(f"… and {hidden} more aggregations, which the totals include.")
    for failure in report.failures:
        of = f"{failure.aggregation}: " if failure.aggregation else ""
        console.print(Text(f"failed: {printable(of + failure.message)}", style="red"))
    hidden = report.failure_count - len(report.failures)
    if hidden > 0:
        console.print(Text(f"… and {hidden} more failures", style="red"))
    if report.stopped:
        console.print(Text(f"stopped early: {printable(report.stopped)}", style="red"))


def figures_table(report: RunReport) -> Table:
    """The figures as a table: a row for each aggregation, and one for their sum."""
    table = Table(title="Dry run: nothing was published or written" if report.dry_run else None)
    table.add_column("aggregation", overflow="fold")
    for heading in ("found", "incomplete", "intake\nscheduled", "intake\nskipped", "intake\nfailed"):
        table.add_column(heading, justify="right")
    table.add_column("aggregation task", overflow="fold")
    table.add_column("malformed", justify="right")
    for aggregation, figures in list(report.figures.items())[:SHOWN_AGGREGATIONS]:
        table.add_row(*_row(printable(aggregation), figures, _aggregation_outcome(figures)))
    if len(report.figures) > 1:
        total = report.total()
        table.add_section()
        table.add_row(*_row("all", total, f"{total.aggregation_tasks_scheduled} scheduled"))
    return table


def _row(name: str, figures: Figures, outcome: str) -> list[Text]:
    counts = (
        figures.ingestions_found,
        figures.incomplete_ingestions_found,
        figures.intake_tasks_scheduled,
        figures.intake_tasks_skipped_due_to_marker,
        figures.intake_tasks_failed,
    )
    return [
        Text(name),
        *(Text(str(count)) for count in counts),
        Text(outcome),
        Text(str(figures.malformed_objects_found)),
    ]


def _aggregation_outcome(figures: Figures) -> str:
    if figures.aggregation_tasks_failed:
        return "failed"
    if figures.aggregation_tasks_scheduled:
        missing = figures.aggregate_ingestions_missing_peer_validation
        without = f", {missing} without peer validation" if missing else ""
        return f"scheduled: {figures.number_of_batches_in_aggregation} batches{without}"
    if figures.aggregation_tasks_skipped_due_to_marker:
        return "skipped: scheduled before"
    if figures.aggregate_ingestions_missing_peer_validation:
        return f"none: {figures.aggregate_ingestions_missing_peer_validation} batches lack a peer validation"
    return "none: no batches in the window"
