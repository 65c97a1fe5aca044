"""`explain` at the command line: what is there, what is not, and what to do."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support.command import Deployment, Outcome, call
from workflow_manager.survey.explanation_schema import EXPLAIN_SCHEMA

NOW = "2026-11-23T04:20:00Z"
WINDOWS = ("--aggregation-period=8h", "--grace-period=4h", f"--now={NOW}")
ID = "b8a5579a-f984-460a-a42d-2813cbf57761"
LATE = "b8a5579a-f984-460a-a42d-2813cbf57762"


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    return Deployment(installed, tmp_path)


def add(deployment: Deployment, time: str, batch: str, *, validated: bool = True, of: str = "agg") -> None:
    deployment.put_batch(f"{of}/{time}/{batch}")
    if validated:
        deployment.put("peer", f"{of}/{time}/{batch}.validity_0.sig")


def explain(deployment: Deployment, *words: str) -> Outcome:
    return call(deployment.command, ["explain", *deployment.flags(), *WINDOWS, *words])


def as_json(deployment: Deployment, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(explain(deployment, "--json", *words).stdout)
    assert list(Draft202012Validator(EXPLAIN_SCHEMA).iter_errors(found)) == []
    return found


def test_a_batch_is_told_with_its_objects_marker_and_window(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/17/05", ID)
    deployment.put("own", f"agg/2026/11/22/17/05/{ID}.validity_1.sig")
    lines = explain(deployment, f"agg/2026/11/22/17/05/{ID}.batch.avro").stdout.splitlines()
    assert lines == [
        f"Batch '{ID}' of 'agg' at 2026/11/22/17/05 (UTC).",
        "In the ingestion bucket: .batch, .batch.avro, .batch.sig (ready).",
        "In the peer's bucket: .validity_0.sig (validated by the peer).",
        "In the own bucket: .validity_1.sig (validated by us).",
        f"Its intake marker 'intake-agg-2026-11-22-17-05-{ID}' does not exist.",
        (
            "Its intake is too old: it has no marker and is older than the intake window,"
            " so runs no longer schedule it."
        ),
        "Window 2026-11-22 16:00 to 2026-11-23 00:00 of 'agg': 1 ready, 1 validated by the peer.",
        "The window is due: it has ended and has no marker, so the next run schedules it.",
        "Its marker 'aggregate-agg-2026-11-22-16-00-2026-11-23-00-00' does not exist.",
        "As of 2026-11-23T04:20:00Z:",
        "  Runs no longer schedule its intake; run a backfill.",
        (
            "    workflow-manager backfill --from 2026-11-22T17:05:00Z --to 2026-11-22T17:06:00Z"
            " --aggregation-id agg --only intake"
        ),
        "  The next run schedules the window.",
        "    workflow-manager run",
    ]


def test_a_batch_that_its_task_did_not_name_is_told_with_the_command(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/17/05", ID)
    assert call(deployment.command, ["run", *deployment.flags(), *WINDOWS]).status == 0
    add(deployment, "2026/11/22/18/00", LATE)
    (late,) = as_json(deployment, LATE)
    assert (late["named_by_its_window"], late["validated"]) == (False, True)
    assert late["window"]["left_out"] == 1
    assert late["window"]["marker"]["record"]["batch_count"] == 1
    assert late["next"][-1]["command"] == (
        "workflow-manager backfill --marker aggregate-agg-2026-11-22-16-00-2026-11-23-00-00"
        " --again --recompute --reason 'batches came late'"
    )
    (first,) = as_json(deployment, f"agg/2026/11/22/17/05/{ID}")
    assert first["named_by_its_window"] is True
    assert "trace ID" in explain(deployment, ID).stdout


def test_a_batch_id_is_searched_for_in_every_aggregation(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/17/05", ID)
    add(deployment, "2026/11/23/03/05", ID, of="other")
    deployment.put("ingestion", f"third/2026/11/23/03/05/{ID}.batch")
    found = as_json(deployment, ID)
    assert [(one["aggregation_id"], one["time"], one["ready"]) for one in found] == [
        ("agg", "2026/11/22/17/05", True),
        ("other", "2026/11/23/03/05", True),
        ("third", "2026/11/23/03/05", False),
    ]
    missing = explain(deployment, LATE)
    assert missing.status == 1
    assert f"no batch has the ID '{LATE}' since" in missing.stdout


def test_a_window_that_was_missed_is_told_with_the_command(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/09/00", ID)
    (window,) = as_json(deployment, "agg", "2026-11-22T08:00Z")
    assert (window["state"], window["ready"], window["validated"]) == ("missed", 1, 1)
    assert window["next"][0]["command"] == (
        "workflow-manager backfill --from 2026-11-22T08:00:00Z --to 2026-11-22T16:00:00Z"
        " --aggregation-id agg --only aggregate"
    )


def test_what_is_not_there_is_explained_too(deployment: Deployment) -> None:
    outcome = explain(deployment, f"agg/2026/11/22/17/05/{ID}")
    assert outcome.status == 0, outcome.stderr
    assert "In the ingestion bucket: nothing." in outcome.stdout
    assert "The window is empty" in outcome.stdout
    malformed = explain(deployment, "agg/2026/11/22/17/61/x.batch")
    assert "is malformed: '61' is not a minute" in malformed.stdout


@pytest.mark.parametrize("name", ["it's", "$(reboot)", "a b;c", "evil\u202e'\"\\", "ü"])
def test_a_command_is_safe_to_paste_whatever_the_names(deployment: Deployment, name: str) -> None:
    add(deployment, "2026/11/22/09/00", ID, of=name)
    outcome = explain(deployment, name, "2026-11-22T08:00Z")
    assert "\u202e" not in outcome.stdout
    (command,) = [
        line.strip() for line in outcome.stdout.splitlines() if "backfill" in line and "--from" in line
    ]
    echo = f"printf '%s\\0' {command.removeprefix('workflow-manager ')}"
    words = subprocess.run(["bash", "-c", echo], capture_output=True, text=True, check=True).stdout.split(
        "\0"
    )
    assert words[words.index("--aggregation-id") + 1] == name


def test_nothing_to_explain_is_a_mistake(deployment: Deployment) -> None:
    outcome = explain(deployment)
    assert outcome.status == 2
    assert "name an object, a batch ID, a marker" in outcome.stderr


def test_a_malformed_name_is_told_as_it_was_given_with_the_buckets_that_have_it(
    deployment: Deployment,
) -> None:
    name = "agg/2026/11/22/17/61/x.batch"
    deployment.put("ingestion", name)
    outcome = explain(deployment, name)
    assert outcome.stdout.splitlines()[:2] == [
        f"'{name}' is malformed: '61' is not a minute.",
        "It is in the ingestion bucket.",
    ]
    (found,) = as_json(deployment, name)
    assert (found["kind"], found["name"], found["buckets"]) == ("malformed", name, ["ingestion"])
    assert "No bucket has an object with this name." in explain(deployment, f"{name}x").stdout


def test_the_url_of_an_object_is_taken_as_its_name(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/17/05", ID)
    key = f"agg/2026/11/22/17/05/{ID}.batch"
    url = f"file://{deployment.directory}/ingestion/{key}"
    assert explain(deployment, url).stdout == explain(deployment, key).stdout
    elsewhere = explain(deployment, f"gs://elsewhere/{key}")
    assert elsewhere.status == 2
    assert "is not an object in one of the buckets" in elsewhere.stderr


def test_an_aggregation_that_is_not_there_is_probably_misspelt(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/17/05", ID)
    assert "has no aggregation 'egg'; check its spelling" in explain(deployment, "egg", "202611221600").stdout
    assert "spelling" not in explain(deployment, "agg", "202611221600").stdout


def test_a_window_that_overlaps_a_scheduled_one_is_refused_and_has_no_command(deployment: Deployment) -> None:
    add(deployment, "2026/11/22/17/05", ID)
    assert call(deployment.command, ["run", *deployment.flags(), *WINDOWS]).status == 0
    add(deployment, "2026/11/22/15/30", LATE)
    marker = "aggregate-agg-2026-11-22-15-00-2026-11-22-16-30"
    (window,) = as_json(deployment, marker)
    assert window["overlaps"] == {"begin": "2026-11-22T16:00:00Z", "end": "2026-11-23T00:00:00Z"}
    assert [one["command"] for one in window["next"]] == [None]
    assert "refuse the window" in window["next"][0]["what"]
    (allowed,) = as_json(deployment, marker, "--allow-overlapping-windows")
    command = allowed["next"][0]["command"]
    assert "--aggregation-period 1h30m" in command
    flags = [flag for flag in (*deployment.flags(), *WINDOWS) if not flag.startswith("--aggregation-period")]
    words = [
        *command.removeprefix("workflow-manager ").split(),
        *flags,
        "--allow-overlapping-windows",
        "--yes",
    ]
    done = call(deployment.command, words)
    assert "scheduled 0 intake tasks and 1 aggregation task" in done.stdout


def test_with_json_what_is_not_found_is_told_beside_it(deployment: Deployment) -> None:
    missing = explain(deployment, "--json", LATE)
    assert (missing.status, json.loads(missing.stdout)) == (1, [])
    assert f"no batch has the ID '{LATE}' since" in missing.stderr
