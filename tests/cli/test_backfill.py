"""`backfill` at the command line: it shows a plan, asks, and works as runs do."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.command import Deployment, Outcome, call

NOW = "2026-11-23T04:20:00Z"
WINDOWS = ("--aggregation-period=8h", "--grace-period=4h", f"--now={NOW}")
RANGE = ("--from=2d", "--to=0h")
ID = "b8a5579a-f984-460a-a42d-2813cbf5776{}"
MISSED = "aggregate-agg-2026-11-22-08-00-2026-11-22-16-00"


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    """A window that was missed, with two batches that were not taken in either."""
    made = Deployment(installed, tmp_path)
    for number in (0, 1):
        made.put_batch(f"agg/2026/11/22/09/0{number}/{ID.format(number)}")
        made.put("peer", f"agg/2026/11/22/09/0{number}/{ID.format(number)}.validity_0.sig")
    return made


def backfill(deployment: Deployment, *arguments: str) -> Outcome:
    return call(deployment.command, ["backfill", *deployment.flags(), *WINDOWS, *arguments])


def published(deployment: Deployment) -> int:
    if not deployment.database.exists():
        return 0
    outcome = call(deployment.command, ["tasks", "list", f"--sqlite-path={deployment.database}", "--json"])
    return sum(json.loads(line)["tasks"] for line in outcome.stdout.splitlines())


def test_it_shows_the_plan_and_carries_it_out(deployment: Deployment) -> None:
    outcome = backfill(deployment, *RANGE, "--yes")
    assert outcome.status == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert "agg  2026-11-22 08:00 to 16:00  missed  2 ready, 2 validated" in lines
    assert "planned: 2 intake tasks and 1 aggregation task in 1 step" in lines
    assert lines[-1] == "scheduled 2 intake tasks and 1 aggregation task"
    assert published(deployment) == 3
    again = backfill(deployment, *RANGE, "--yes")
    assert again.status == 0
    assert again.stdout.splitlines()[-1] == "planned: 0 intake tasks and 0 aggregation tasks in 0 steps"
    assert published(deployment) == 3


def test_a_dry_run_stops_after_the_plan(deployment: Deployment) -> None:
    outcome = backfill(deployment, *RANGE, "--dry-run")
    assert outcome.status == 0
    assert outcome.stdout.splitlines()[-1].startswith("planned: 2 intake tasks")
    assert published(deployment) == 0
    assert not list((deployment.directory / "own").rglob("*"))


def test_where_nobody_can_be_asked_it_needs_yes(deployment: Deployment) -> None:
    outcome = backfill(deployment, *RANGE)
    assert outcome.status == 2
    assert "--yes: is required unless stdin and stdout are a terminal" in outcome.stderr
    assert published(deployment) == 0


@pytest.mark.parametrize(("answer", "tasks"), [("y", 3), ("n", 0), ("", 0)])
def test_on_a_terminal_it_asks(deployment: Deployment, answer: str, tasks: int) -> None:
    ours, theirs = pty.openpty()
    command = [str(deployment.command), "backfill", *deployment.flags(), *WINDOWS, *RANGE]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ})
    os.close(theirs)
    shown = b""
    answered = False
    try:
        while data := os.read(ours, 65536):
            shown += data
            if b"[y/N]" in shown and not answered:
                os.write(ours, f"{answer}\n".encode())
                answered = True
    except OSError:  # the end of a terminal
        pass
    os.close(ours)
    assert process.wait() == 0
    assert answered
    assert published(deployment) == tasks


def test_one_marker_is_published_again_with_its_reason(deployment: Deployment) -> None:
    backfill(deployment, *RANGE, "--yes")
    outcome = backfill(deployment, f"--marker={MISSED}", "--again", "--reason=queue purged", "--yes")
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1] == "scheduled 0 intake tasks and 1 aggregation task"
    marker: dict[str, Any] = json.loads((deployment.directory / "own/task-markers" / MISSED).read_text())
    assert [entry["reason"] for entry in marker["scheduled-again"]] == ["queue purged"]
    assert published(deployment) == 4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--from: is required"),
        (["--from=2d", "--to=3d"], "must be after --from"),
        ([*RANGE, "--again"], "--reason: is required with --again"),
        ([*RANGE, "--reason=x"], "--again: is required with --reason"),
        ([*RANGE, "--again", "--reason=x\ny"], "must be printable text"),
        ([*RANGE, "--recompute"], "--again: is required with --recompute"),
        ([*RANGE, "--only=both"], "not one of intake, aggregate"),
        (["--marker=x", "--again", "--reason=x"], "is not a valid marker name"),
        (["--marker=agg/2026/11/22/09/00/b", "--again", "--reason=x"], "is not a valid marker name"),
        ([f"--marker={MISSED}", *RANGE, "--again", "--reason=x"], "cannot be combined"),
    ],
)
def test_mistakes_are_told_and_nothing_is_done(
    deployment: Deployment, arguments: list[str], problem: str
) -> None:
    outcome = backfill(deployment, *arguments, "--yes")
    assert outcome.status == 2
    assert problem in outcome.stderr
    assert published(deployment) == 0


def test_nothing_is_scheduled_if_a_part_of_the_plan_is_missing(deployment: Deployment) -> None:
    flags = [flag for flag in deployment.flags() if not flag.endswith("/peer")]
    flags.insert(flags.index("--peer-validation-input") + 1, "file:///missing")
    outcome = call(deployment.command, ["backfill", *flags, *WINDOWS, *RANGE, "--yes"])
    assert outcome.status == 1
    assert "nothing was scheduled" in outcome.stderr
    assert published(deployment) == 0


def test_what_the_queue_refuses_is_told_and_can_be_done_later(deployment: Deployment) -> None:
    deployment.database.mkdir()
    outcome = backfill(deployment, *RANGE, "--yes")
    assert outcome.status == 1
    assert "failure" in outcome.stdout
    deployment.database.rmdir()
    assert backfill(deployment, *RANGE, "--yes").status == 0
    assert published(deployment) == 3
