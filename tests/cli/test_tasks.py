"""`tasks`: looking at the queue, and playing the worker."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.command import Deployment, Outcome, call

NOW = ("--now", "2026-11-23T04:20:00Z")


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    deployment = Deployment(installed, tmp_path)
    for batch in "bcd":
        deployment.put_batch(f"agg/2026/11/23/04/05/{batch}")
    assert deployment.run(*NOW).status == 0
    return deployment


def tasks(deployment: Deployment, *arguments: str) -> Outcome:
    return call(deployment.command, ["tasks", *arguments, "--sqlite-path", str(deployment.database)])


def test_list_prints_bodies_as_they_were_published_and_takes_nothing(deployment: Deployment) -> None:
    for _ in range(2):
        outcome = tasks(deployment, "list", "--topic", "intake", "--json")
        listed = [json.loads(line) for line in outcome.stdout.splitlines()]
        assert [task["message"]["batch-id"] for task in listed] == ["b", "c", "d"]
        assert [task["id"] for task in listed] == [1, 2, 3]


def test_list_shows_age_state_and_leases(deployment: Deployment) -> None:
    tasks(deployment, "pull", "--topic", "intake")
    listed = [
        json.loads(line)
        for line in tasks(deployment, "list", "--topic", "intake", "--json").stdout.splitlines()
    ]
    assert [(task["state"], task["leases"]) for task in listed] == [
        ("leased", 1),
        ("waiting", 0),
        ("waiting", 0),
    ]
    for task in listed:
        published = datetime.fromisoformat(task["published"])
        assert timedelta() <= datetime.now(UTC) - published - timedelta(seconds=task["age_seconds"])
    text = tasks(deployment, "list", "--topic", "intake").stdout.splitlines()
    assert "leased   1 lease " in text[0]
    assert "waiting  0 leases" in text[1]


def test_list_without_a_topic_counts(deployment: Deployment) -> None:
    assert tasks(deployment, "list").stdout.split() == ["0", "aggregate", "3", "intake"]


@pytest.mark.parametrize("action", ["list", "pull"])
def test_an_unknown_topic_is_an_error_that_names_those_there_are(action: str, deployment: Deployment) -> None:
    outcome = tasks(deployment, action, "--topic", "intak")
    assert outcome.status == 1
    assert "topic intak: there is no such topic; there are aggregate, intake" in outcome.stderr


def test_a_topic_with_nothing_in_it_is_no_error(deployment: Deployment) -> None:
    outcome = tasks(deployment, "list", "--topic", "aggregate", "--json")
    assert (outcome.status, outcome.stdout) == (0, "")


def test_pulled_tasks_are_not_given_twice_and_acknowledged_ones_are_gone(deployment: Deployment) -> None:
    pulled = tasks(deployment, "pull", "--topic", "intake", "--max", "2", "--json").stdout.splitlines()
    ids = [json.loads(line)["ack-id"] for line in pulled]
    assert len(tasks(deployment, "pull", "--topic", "intake", "--max", "9").stdout.splitlines()) == 1
    assert tasks(deployment, "ack", *ids).stdout == "acknowledged 2 tasks\n"
    assert "leased" in tasks(deployment, "list", "--topic", "intake").stdout
    assert tasks(deployment, "list").stdout.split() == ["0", "aggregate", "1", "intake"]


def test_a_lease_that_runs_out_makes_tasks_visible_again(deployment: Deployment) -> None:
    first = tasks(deployment, "pull", "--topic", "intake", "--max", "3", "--lease", "1ms").stdout
    again = tasks(deployment, "pull", "--topic", "intake", "--max", "3").stdout
    assert len(first.splitlines()) == len(again.splitlines()) == 3


def test_an_unknown_id_is_told(deployment: Deployment) -> None:
    outcome = tasks(deployment, "ack", "17-nonsense")
    assert outcome.status == 1
    assert "'17-nonsense' names no task" in outcome.stderr


def test_a_queue_that_is_not_there_is_told(deployment: Deployment, tmp_path: Path) -> None:
    outcome = call(deployment.command, ["tasks", "list", "--sqlite-path", str(tmp_path / "missing.db")])
    assert outcome.status == 1
    assert "there is no such file" in outcome.stderr
    assert not (tmp_path / "missing.db").exists()
