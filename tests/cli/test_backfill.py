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


def test_what_was_published_again_for_the_same_reason_is_told(deployment: Deployment) -> None:
    backfill(deployment, *RANGE, "--yes")
    again = (*RANGE, "--again", "--reason=queue purged", "--yes")
    assert backfill(deployment, *again).stdout.splitlines()[-1] == (
        "scheduled 2 intake tasks and 1 aggregation task"
    )
    assert backfill(deployment, *again).stdout.splitlines()[-1] == (
        "scheduled 0 intake tasks and 0 aggregation tasks; 3 already published again for this reason"
    )
    one = backfill(deployment, f"--marker={MISSED}", "--again", "--reason=queue purged", "--yes")
    assert (one.status, "already published again for this reason" in one.stdout) == (0, True)
    assert published(deployment) == 6


def test_a_marker_that_is_not_there_is_a_failure(deployment: Deployment) -> None:
    for marker in (MISSED, f"task-markers/intake-agg-2026-11-22-09-00-{ID.format(0)}"):
        outcome = backfill(deployment, f"--marker={marker}", "--again", "--reason=x", "--yes")
        assert outcome.status == 1
        assert "not planned: there is no marker" in outcome.stdout
    assert published(deployment) == 0


def test_a_window_that_begins_before_the_range_is_told(deployment: Deployment) -> None:
    outcome = backfill(deployment, "--from=2026-11-22T09:01:00Z", "--to=0h", "--yes")
    assert outcome.status == 0
    assert (
        "not planned: window 2026-11-22 08:00 to 2026-11-22 16:00 of 'agg': it begins before the range"
        in outcome.stdout.splitlines()
    )
    assert published(deployment) == 1


def test_a_window_is_scheduled_in_spite_of_an_overlap_where_runs_do_that(deployment: Deployment) -> None:
    backfill(deployment, *RANGE, "--yes", "--aggregation-period=1h")
    refused = backfill(deployment, *RANGE, "--yes")
    assert "it overlaps a scheduled window" in refused.stdout
    allowed = backfill(deployment, *RANGE, "--yes", "--allow-overlapping-windows")
    assert allowed.stdout.splitlines()[-1] == "scheduled 0 intake tasks and 1 aggregation task"


def test_a_misspelt_aggregation_is_told(deployment: Deployment) -> None:
    outcome = backfill(deployment, *RANGE, "--yes", "--aggregation-id=egg", "--aggregation-id=a*")
    assert outcome.stderr.splitlines()[0] == "workflow-manager: --aggregation-id=egg: matches no aggregation"
    assert "a*" not in outcome.stderr
