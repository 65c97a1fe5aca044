"""Jobs as a table for people, and as JSON for programs."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workflow_manager.observe.logs import printable
from workflow_manager.queues.job_records import JobRecord, JobState
from workflow_manager.report.json_form import plain

if TYPE_CHECKING:
    from rich.table import Table

_HEADINGS = ("NAME", "TASK", "AGGREGATION", "STATE", "AGE", "WHY")
_STYLES = {JobState.FAILED: "red", JobState.COMPLETE: "green", JobState.RUNNING: "cyan"}


def print_json(records: Sequence[JobRecord]) -> None:
    """Print one object per line."""
    for record in records:
        print(json.dumps(plain(record)))


def show(records: Sequence[JobRecord], now: datetime) -> None:
    """Print a table, in columns that fit the terminal if there is one."""
    rows = [row(record, now) for record in records]
    if not rows:
        print("no Jobs", file=sys.stderr)
    elif sys.stdout.isatty():
        from workflow_manager.cli.summary import console  # noqa: PLC0415 (rich is for terminals only)

        console().print(table(records, rows))
    else:
        lines = [_HEADINGS, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
        for line in lines:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def age(duration: timedelta) -> str:
    """How long something is ago, in its two largest units: 3d4h, 2h5m, 12s."""
    seconds = max(0, int(duration.total_seconds()))
    parts = (
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
    )
    shown = [f"{count}{unit}" for count, unit in parts if count][:2]
    return "".join(shown) or "0s"


def row(record: JobRecord, now: datetime) -> tuple[str, ...]:
    """The cells of a record, with nothing in them that moves the cursor."""
    told = (record.name, record.task, record.aggregation, record.state, age(now - record.created))
    return tuple(printable(text) for text in (*told, record.reason))


def table(records: Sequence[JobRecord], rows: Sequence[tuple[str, ...]]) -> "Table":
    """The rows as a table in 80 columns; names stay whole, as they are copied."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 (rich is for terminals only)
    from rich.table import Table  # noqa: PLC0415 (as above)
    from rich.text import Text  # noqa: PLC0415 (as above)

    found = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("job", "state", "age"):
        found.add_column(heading, overflow="fold", no_wrap=heading != "job")
    for record, (name, task, aggregation, state, since, why) in zip(records, rows, strict=True):
        job = Text(name)
        job.append(f"\n  {task} of {aggregation}", style="dim")
        if why:
            job.append(f"\n  {why}", style="yellow")
        found.add_row(job, Text(state, style=_STYLES.get(record.state, "")), Text(since))
    return found
