"""`check`: what can be used, and as whom, without publishing anything."""

import json
from pathlib import Path

import pytest

from support.command import Deployment, Outcome, call


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    return Deployment(installed, tmp_path)


def check(deployment: Deployment, *arguments: str) -> Outcome:
    return call(deployment.command, ["check", *deployment.flags(), *arguments])


def test_everything_is_checked_and_nothing_is_left_behind(deployment: Deployment, tmp_path: Path) -> None:
    outcome = check(deployment, "--json")
    assert outcome.status == 0, outcome.stdout
    findings = json.loads(outcome.stdout)
    assert [finding["check"] for finding in findings] == [
        "list the ingestion bucket",
        "list the own validation bucket",
        "list the peer validation bucket",
        "write markers",
        "read markers",
        "find the intake topic",
        "find the aggregate topic",
    ]
    assert all(finding["ok"] for finding in findings)
    assert findings[0]["detail"].startswith("as user ")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_cannot_be_used_is_told_and_the_rest_is_still_checked(
    deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "peer").rmdir()
    outcome = check(deployment)
    assert outcome.status == 1
    failed = [line for line in outcome.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert "list the peer validation bucket" in failed[0]
    assert "create the directory" in failed[0]


def test_bad_flags_are_bad_usage(installed: Path) -> None:
    assert call(installed, ["check", "--intake-max-age", "x"]).status == 2


def test_a_queue_that_cannot_be_made_is_told(deployment: Deployment) -> None:
    outcome = check(deployment, "--sqlite-path", "/no/such/directory/tasks.db")
    assert outcome.status == 1
    assert "correct --sqlite-path" in outcome.stdout
