"""`markers` at the command line: what is listed, and what may be removed."""

import json
from pathlib import Path

import pytest

from support.command import Deployment, Outcome, call

NOW = "2026-11-23T04:20:00Z"
# A run looks back to 16:00 on the day before: the window that is due begins then.
WINDOWS = ("--aggregation-period=8h", "--grace-period=4h", f"--now={NOW}")
ID = "b8a5579a-f984-460a-a42d-2813cbf57761"
OLD_INTAKE = f"task-markers/intake-agg-2026-11-20-10-00-{ID}"
OLD_SUM = "task-markers/aggregate-agg-2026-11-20-08-00-2026-11-20-16-00"
DUE_SUM = "task-markers/aggregate-agg-2026-11-22-16-00-2026-11-23-00-00"
RECENT = f"task-markers/intake-other-2026-11-23-03-30-{ID}"
LEASE = "task-markers/workflow-manager-lease-x-1-2"
ALL = [OLD_SUM, DUE_SUM, OLD_INTAKE, RECENT]


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    made = Deployment(installed, tmp_path)
    made.put("own", *ALL, LEASE, "task-markers/intake-what", "agg/2026/11/20/10/00/b.validity_1.sig")
    return made


def markers(deployment: Deployment, *arguments: str) -> Outcome:
    return call(deployment.command, ["markers", *arguments, *deployment.flags(), *WINDOWS])


def left(deployment: Deployment) -> set[str]:
    own = deployment.directory / "own"
    return {str(path.relative_to(own)) for path in own.rglob("*") if path.is_file()}


def test_markers_are_listed_with_their_time(deployment: Deployment) -> None:
    outcome = markers(deployment, "list")
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.splitlines() == [
        f"2026-11-20T16:00Z  aggregate  {OLD_SUM}",
        f"2026-11-23T00:00Z  aggregate  {DUE_SUM}",
        f"2026-11-20T10:00Z  intake     {OLD_INTAKE}",
        f"2026-11-23T03:30Z  intake     {RECENT}",
    ]
    lines = markers(deployment, "list", "--json", "--older-than=1d", "--aggregation-id=a*").stdout
    assert [json.loads(line)["marker"] for line in lines.splitlines()] == [OLD_SUM, OLD_INTAKE]


def test_old_markers_are_removed_and_nothing_else(deployment: Deployment) -> None:
    before = left(deployment)
    assert markers(deployment, "prune", "--older-than=1d", "--dry-run").stdout == "would delete 2 markers\n"
    assert left(deployment) == before
    assert markers(deployment, "prune", "--older-than=1d").stdout == "deleted 2 markers\n"
    assert left(deployment) == before - {OLD_SUM, OLD_INTAKE}


@pytest.mark.parametrize(
    ("flags", "least"),
    [
        ([], "12h20m"),
        (["--intake-max-age=48h"], "48h"),
        (["--aggregation-override-timestamp=202611200900"], "68h20m"),
        (["--aggregation-override-timestamp=202611221700"], "12h20m"),
    ],
)
def test_what_a_run_could_schedule_again_is_refused(
    deployment: Deployment, flags: list[str], least: str
) -> None:
    before = left(deployment)
    outcome = markers(deployment, "prune", "--older-than=11h", *flags)
    assert outcome.status == 2
    assert f"--older-than='11h': must be at least {least}" in outcome.stderr
    assert left(deployment) == before
    assert markers(deployment, "prune", f"--older-than={least}", *flags, "--dry-run").status == 0


@pytest.mark.parametrize("words", [[], ["remove"], ["list", "prune"]])
def test_an_action_has_to_be_named(deployment: Deployment, words: list[str]) -> None:
    outcome = markers(deployment, *words)
    assert outcome.status == 2
    assert "one of markers list, markers prune" in outcome.stderr


def test_pruning_has_to_say_from_which_age(deployment: Deployment) -> None:
    assert "--older-than: is required by markers prune" in markers(deployment, "prune").stderr
