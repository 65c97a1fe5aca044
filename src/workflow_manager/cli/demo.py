"""`workflow-manager demo`: run and explain three passes over a sample deployment."""

import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from workflow_manager import flag_types
from workflow_manager.assembly import assemble, read_flags, run_spec
from workflow_manager.cli.page_file import write_page
from workflow_manager.cli.sample import sample
from workflow_manager.cli.summary import figures_table
from workflow_manager.cli.surveying import survey_one
from workflow_manager.config.flags import Flags
from workflow_manager.config.run_config import Given
from workflow_manager.config.run_flags import Group
from workflow_manager.config.survey_flags import STATUS
from workflow_manager.core.report import RunReport
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.observe.event import Event
from workflow_manager.pipeline.scheduler import Scheduler
from workflow_manager.ports import Option

SUMMARY = "Create a sample deployment, run three passes over it, and show what each pass did."
FLAGS = Flags(
    "demo",
    SUMMARY,
    [
        Group(
            "Where",
            (
                Option(
                    "directory",
                    "an empty or new directory to work in (default: a temporary directory)",
                    parse=flag_types.path,
                ),
            ),
        )
    ],
)
BUCKETS = (
    ("--ingestor-input", "ingestion"),
    ("--own-validation-input", "own"),
    ("--peer-validation-input", "peer"),
)
WINDOWS = ("--intake-max-age", "6h", "--aggregation-period", "2h", "--grace-period", "1h")
PAGE = "status.html"
END = "2026-01-15T12:00:00Z"
NOTHING_ELSE: Mapping[str, str] = {}  # of the environment, which may name an operator's own buckets


@dataclass(frozen=True, slots=True)
class Act:
    """One pass of the demo: when it is, what there is to see, and which buckets were written to before."""

    now: str
    title: str
    story: str
    arrivals: tuple[tuple[str, str], ...] = ()


INTRODUCTION = """\
Phones in this story report how often kittens were seen. So that nobody can learn
what one phone reported, each report is split into two shares that say nothing by
themselves, and two independent "data share processors" get one share each. We are
one of them; the other is our "peer".

Shares arrive as batches of files, in folders by aggregation (what is counted) and
time. Each processor checks every batch ("intake") and tells its peer what it found
("validation"). When the peer has validated the batches of a stretch of time
(a "window"), they are summed up ("aggregation"). The two sums together give the number
of kittens, and nothing about anyone.

workflow-manager finds out what is due and puts it as tasks on a queue, for the
workers that do the checks and the sums. A "marker" says that a task is scheduled."""

ACTS = (
    Act(
        "2026-01-15T12:10:00Z",
        "12:10 - batches have arrived: take them in",
        "Each batch that is ready - all its three files are there - becomes an intake task.\n"
        "Incomplete batches wait; malformed names are skipped and counted.\n"
        "Nothing can be aggregated yet, because the peer has validated nothing.",
        BUCKETS[:1],
    ),
    Act(
        "2026-01-15T12:40:00Z",
        "12:40 - the peer's validations have arrived: aggregate",
        "The window from 08:00 to 10:00 ended long enough ago: its ready batches that the\n"
        "peer has validated become one task for each aggregation. One that the peer has not\n"
        "validated stays out. The intake tasks have markers, and are skipped.",
        BUCKETS[1:],
    ),
    Act(
        "2026-01-15T12:50:00Z",
        "12:50 - nothing new",
        "Everything that is due has a marker, so nothing is scheduled twice.",
    ),
)


LATER = """\
The window from 10:00 to 12:00 was due from 13:00 until 15:00. No pass ran then, so later ones
do not look at it any more: it was missed. A status page shows what became of each window, and
the command that schedules what was missed."""


class Silence:
    """An observer that says nothing: the demo shows tables instead."""

    def notify(self, *events: Event) -> None:
        """Say nothing."""


def flags() -> Flags:
    """The flags of `demo`."""
    return FLAGS


def demo(arguments: Sequence[str]) -> int:
    """Play the three passes; 0 if each did what it is meant to show."""
    parsed = FLAGS.parse(arguments, os.environ)
    if mistakes := parsed.all_mistakes():
        raise ConfigError(mistakes)
    directory = _directory(Given(parsed.values).text("directory"))
    console = Console(highlight=False)
    console.print(Text(f"{INTRODUCTION}\n"), soft_wrap=True)
    reports = [_play(number, act, directory, console) for number, act in enumerate(ACTS, start=1)]
    _show_status(directory, console)
    _show_commands(directory, console)
    return 0 if all(report.succeeded for report in reports) else 1


def _show_status(directory: Path, console: Console) -> None:
    """Write the status page as of a time at which something was missed, and say where it is."""
    console.rule("15:10 - no pass has run since", align="left")
    console.print(Text(LATER), soft_wrap=True)
    parsed = read_flags("status", SUMMARY, _status_flags(str(directory)), NOTHING_ELSE, STATUS, queue=False)
    page = directory / PAGE
    write_page("--directory", str(page), [survey_one(parsed, NOTHING_ELSE, datetime.now(UTC))])
    console.print(Text(f"\nThe status page: {page.as_uri()}\n"), soft_wrap=True)


def _directory(given: str) -> Path:
    if not given:
        return Path(tempfile.mkdtemp(prefix="workflow-manager-demo-"))
    directory = Path(given).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except OSError as error:
        raise ConfigError([Mistake("--directory", given, str(error.strerror))]) from None
    if occupied:
        raise ConfigError([Mistake("--directory", given, "is not empty")])
    return directory


def _play(number: int, act: Act, directory: Path, console: Console) -> RunReport:
    console.rule(f"Pass {number} of {len(ACTS)}: {act.title}", align="left")
    console.print(Text(act.story), soft_wrap=True)
    _prepare(act, directory)
    with ExitStack() as opened:
        flags = read_flags("run", SUMMARY, _run_flags(act, str(directory)), NOTHING_ELSE)
        parts = assemble(flags, NOTHING_ELSE, datetime.now(UTC), opened)
        report = Scheduler(parts.buckets, parts.queue, run_spec(parts), Silence()).run()
    console.print(figures_table(report))
    return report


def _prepare(act: Act, directory: Path) -> None:
    for name in ("ingestion", "own", "peer"):
        (directory / name).mkdir(exist_ok=True)
    if act.arrivals:
        with redirect_stdout(None):
            sample(_sample_flags(act, str(directory)), NOTHING_ELSE)


def _sample_flags(act: Act, directory: str) -> list[str]:
    recipe = ["--seed", "3", "--end", END, "--hours", "4", "--batches-per-hour", "3", "--incomplete", "0.1"]
    urls = [word for flag, name in act.arrivals for word in (flag, f"file://{directory}/{name}")]
    return [*recipe, *urls]


def _status_flags(directory: str) -> list[str]:
    return [*_buckets(directory), *WINDOWS, "--now", "2026-01-15T15:10:00Z", "--since", "12h"]


def _buckets(directory: str) -> list[str]:
    return [word for flag, name in BUCKETS for word in (flag, f"file://{directory}/{name}")]


def _run_flags(act: Act, directory: str) -> list[str]:
    topics = ["--intake-tasks-topic", "intake", "--aggregate-tasks-topic", "aggregate"]
    queue = ["--task-queue-kind", "sqlite", "--sqlite-path", f"{directory}/tasks.db"]
    return [*_buckets(directory), *WINDOWS, "--now", act.now, *topics, *queue]


def _show_commands(directory: Path, console: Console) -> None:
    """Print what to type for the same by hand; a shell's variable stands for the directory."""
    console.rule("The same by hand", align="left")
    lines = ['D="$(mktemp -d)"', 'mkdir "$D/ingestion" "$D/own" "$D/peer"']
    for act in ACTS:
        if act.arrivals:
            lines.append(_command("sample", _sample_flags(act, "$D")))
        lines.append(_command("run", _run_flags(act, "$D")))
    lines.append(_command("status", [*_status_flags("$D"), "--html", f"$D/{PAGE}"]))
    lines.append(_command("tasks list", ["--sqlite-path", "$D/tasks.db", "--topic", "aggregate", "--json"]))
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    where = f"\nThe buckets and the queue of this demo are in {directory}; delete it when you are done."
    console.print(Text(where), soft_wrap=True)


def _command(name: str, flags: Sequence[str]) -> str:
    quoted = (f'"{word}"' if "$" in word else shlex.quote(word) for word in flags)
    return f"workflow-manager {name} {' '.join(quoted)}"
