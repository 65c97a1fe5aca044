"""`status` at the command line: what it shows, its JSON and its exit statuses."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support.command import Deployment, Outcome, call
from workflow_manager.survey.as_json import STATUS_SCHEMA

NOW = "2026-11-23T04:20:00Z"
ID = "b8a5579a-f984-460a-a42d-2813cbf5776{}"
WINDOWS = ("--aggregation-period=8h", "--grace-period=4h", f"--now={NOW}")


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    """Batches in a window that was missed, in the one that is due, and one that is due for intake."""
    made = Deployment(installed, tmp_path)
    for number, time in enumerate(("2026/11/22/09/00", "2026/11/22/17/00", "2026/11/23/03/30")):
        made.put_batch(f"agg/{time}/{ID.format(number)}")
        made.put("peer", f"agg/{time}/{ID.format(number)}.validity_0.sig")
    return made


def buckets(deployment: Deployment) -> list[str]:
    return [
        f"--{flag}=file://{deployment.directory}/{name}"
        for flag, name in (
            ("ingestor-input", "ingestion"),
            ("own-validation-input", "own"),
            ("peer-validation-input", "peer"),
        )
    ]


def status(deployment: Deployment, *arguments: str) -> Outcome:
    return call(deployment.command, ["status", *buckets(deployment), *WINDOWS, *arguments])


def as_json(deployment: Deployment, *arguments: str) -> dict[str, Any]:
    outcome = status(deployment, "--json", *arguments)
    assert outcome.status == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    assert list(Draft202012Validator(STATUS_SCHEMA).iter_errors(found)) == []
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    (aggregation,) = found["aggregations"]
    return {window["begin"]: window["state"] for window in aggregation["windows"]}


def test_it_tells_what_became_of_batches_and_windows(deployment: Deployment) -> None:
    outcome = status(deployment, "--since=1d")
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.splitlines() == [
        "status at 2026-11-23T04:20:00Z",
        "agg  intake  3 ready, 0 scheduled, 1 due (oldest 11-23 03:30), 2 too old, newest 11-23 03:30",
        "agg  2026-11-22 00:00 to 08:00  empty",
        "agg  2026-11-22 08:00 to 16:00  missed  1 ready, 1 validated",
        "agg  2026-11-22 16:00 to 11-23 00:00  due  1 ready, 1 validated",
        "agg  2026-11-23 00:00 to 08:00  filling  1 ready, 1 validated",
    ]


def test_after_a_run_what_was_due_is_scheduled(deployment: Deployment) -> None:
    assert call(deployment.command, ["run", *deployment.flags(), *WINDOWS]).status == 0
    found = as_json(deployment, "--since=1d")
    assert states(found)["2026-11-22T16:00:00Z"] == "scheduled"
    assert found["aggregations"][0]["intake"]["due"] == 0
    deployment.put_batch(f"agg/2026/11/22/18/00/{ID.format(9)}")
    deployment.put("peer", f"agg/2026/11/22/18/00/{ID.format(9)}.validity_0.sig")
    assert "scheduled, 1 left out" in status(deployment).stdout
    (window,) = [one for one in as_json(deployment)["aggregations"][0]["windows"] if one["left_out"]]
    assert window["left_out_example"] == f"2026/11/22/18/00/{ID.format(9)}"
    assert status(deployment, "--fail-on=left-out").status == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--fail-on=missed"], 4),
        (["--fail-on=too-old"], 4),
        (["--fail-on=left-out"], 0),
        (["--fail-on=left-out,missed"], 4),
        (["--fail-on=missed", "--since=2026-11-22T16:00:00Z"], 0),
        (["--fail-on=missed", "--aggregation-id=other-*"], 0),
    ],
)
def test_scripts_can_ask_for_a_status_of_4(
    deployment: Deployment, arguments: list[str], expected: int
) -> None:
    assert status(deployment, *arguments).status == expected


def test_the_range_can_be_given_by_its_ends(deployment: Deployment) -> None:
    found = as_json(deployment, "--since=2026-11-22T08:00:00Z", "--until=2026-11-22T16:00:00Z")
    assert states(found) == {"2026-11-22T08:00:00Z": "missed"}
    assert found["aggregations"][0]["intake"]["ready"] == 1


def test_aggregations_are_chosen_by_patterns_that_may_be_repeated(deployment: Deployment) -> None:
    for name in ("b-1", "b-2", "c"):
        deployment.put_batch(f"{name}/2026/11/23/03/30/{ID.format(0)}")
    found = as_json(deployment, "--aggregation-id=b-*", "--aggregation-id", "agg")
    assert [one["aggregation_id"] for one in found["aggregations"]] == ["agg", "b-1", "b-2"]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("--since=yesterday", "--since='yesterday': not an RFC 3339 time or a duration such as 3d or 8h"),
        ("--until=2020-01-01T00:00:00Z", "--until=2020-01-01T00:00:00Z"),
        ("--since=999999d", "--since"),
        ("--fail-on=all", "'all' is not one of missed, left-out, too-old"),
    ],
)
def test_mistakes_are_told(deployment: Deployment, argument: str, problem: str) -> None:
    outcome = status(deployment, argument)
    assert outcome.status == 2
    assert problem.partition("=2020")[0] in outcome.stderr


def test_the_flags_of_a_run_are_taken_with_those_of_its_queue(deployment: Deployment) -> None:
    outcome = call(deployment.command, ["status", *deployment.flags(), "--gcp-project-id=p", *WINDOWS])
    assert outcome.status == 0, outcome.stderr


def test_what_cannot_be_read_is_told_and_fails(deployment: Deployment) -> None:
    outcome = call(
        deployment.command,
        ["status", *buckets(deployment)[:2], "--peer-validation-input=file:///missing", *WINDOWS],
    )
    assert outcome.status == 1
    assert "the report on 'agg' is incomplete" in outcome.stderr


def test_the_table_fits_80_columns_and_names_of_others_are_escaped(deployment: Deployment) -> None:
    hostile = "evil\u202ename-" + "x" * 100
    deployment.put_batch(f"{hostile}/2026/11/22/17/00/{ID.format(0)}")
    deployment.put("ingestion", f"agg/2026/11/23/03/61/{ID.format(0)}.batch")
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    command = [str(deployment.command), "status", *buckets(deployment), *WINDOWS]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # the end of a terminal
        pass
    os.close(ours)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert "\u202e" not in plain
    assert "evil\\u202ename" in plain.replace("\r\n", "")
    assert max(len(line) for line in plain.splitlines()) <= 80
    assert "missed" in plain
    assert "agg: 1 malformed name skipped" in plain


WITH_YAML = Path(sys.executable).with_name("workflow-manager")  # the wheel is installed without extras
FLEET = """\
defaults:
  task-queue-kind: sqlite
  intake-tasks-topic: intake
  aggregate-tasks-topic: aggregate
  aggregation-period: 8h
  grace-period: 4h
instances:
"""


def fleet(deployment: Deployment, *names: str) -> str:
    """A file of instances: the first is the deployment, and the others are empty."""
    text = FLEET
    for number, name in enumerate(names):
        at = deployment.directory if number == 0 else deployment.directory / name
        for bucket in ("ingestion", "own", "peer"):
            (at / bucket).mkdir(parents=True, exist_ok=True)
        text += f"  {name}:\n    sqlite-path: {at}/tasks.db\n" + "".join(
            f"    {flag}: file://{at}/{bucket}\n"
            for flag, bucket in (
                ("ingestor-input", "ingestion"),
                ("own-validation-input", "own"),
                ("peer-validation-input", "peer"),
            )
        )
    path = deployment.directory / "fleet.yaml"
    path.write_text(text)
    return str(path)


def test_the_page_is_written_to_a_file(deployment: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    found = status(deployment, "--html", str(path), "--fail-on=missed")
    assert (found.status, found.stdout) == (4, f"the status page is in {path}\n")
    page = path.read_text()
    assert "1 window of &#39;agg&#39; was missed: 2026-11-22 08:00 to 2026-11-22 16:00." in page
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".tmp")] == []
    both = status(deployment, "--html", str(path), "--json")
    assert json.loads(both.stdout)["aggregations"][0]["aggregation_id"] == "agg"


def test_a_page_that_cannot_be_written_is_a_mistake(deployment: Deployment) -> None:
    found = status(deployment, "--html", "/nowhere/at/all.html")
    assert found.status == 2
    assert "--html='/nowhere/at/all.html': cannot be written: No such file or directory" in found.stderr


def test_many_instances_are_told_by_name(deployment: Deployment, tmp_path: Path) -> None:
    file = fleet(deployment, "na-1", "eu-1")
    arguments = ["status", f"--config={file}", f"--now={NOW}"]
    found = call(WITH_YAML, arguments)
    assert found.status == 0, found.stderr
    first, second = found.stdout.split("\n\n")
    assert first.splitlines()[:2] == ["na-1", f"status at {NOW}"]
    assert "agg  2026-11-22 08:00 to 16:00  missed  1 ready, 1 validated" in first
    assert second.splitlines() == ["eu-1", f"status at {NOW}"]
    document = json.loads(call(WITH_YAML, [*arguments, "--json"]).stdout)
    assert list(document["instances"]) == ["na-1", "eu-1"]
    for one in document["instances"].values():
        assert list(Draft202012Validator(STATUS_SCHEMA).iter_errors(one)) == []
    page = tmp_path / "status.html"
    done = call(WITH_YAML, [*arguments, f"--html={page}", "--instance=na-*", "--fail-on=missed"])
    assert done.status == 4
    assert f"workflow-manager backfill --config {file} --instance na-1 --from" in page.read_text()
    assert "eu-1" not in page.read_text()


def test_an_instance_that_cannot_be_read_leaves_the_others(deployment: Deployment, tmp_path: Path) -> None:
    file = fleet(deployment, "na-1", "eu-1")
    (deployment.directory / "eu-1" / "ingestion").rmdir()
    page = tmp_path / "status.html"
    found = call(WITH_YAML, ["status", f"--config={file}", f"--now={NOW}", f"--html={page}"])
    assert found.status == 1
    assert found.stderr.startswith("workflow-manager: eu-1: ")
    assert "The buckets of eu-1 could not be read completely" in page.read_text()
    assert "was missed" in page.read_text()
