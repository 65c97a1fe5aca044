"""`tasks`: looking at the queue, and playing the worker."""

import json
import sys
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.command import Deployment, Outcome, call
from workflow_manager.ports import Settings
from workflow_manager.queues.redis import RedisQueue
from workflow_manager.testing.redrive_contract import publish_all

# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
DEAD = "intake.dead-letters"
NOW = ("--now", "2026-11-23T04:20:00Z", "--batch-ids=any")


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
    assert "topic intak: it does not exist; existing topics: aggregate, intake" in outcome.stderr


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
    assert "no leased task has the ID '17-nonsense'" in outcome.stderr


def test_a_queue_that_is_not_there_is_told(deployment: Deployment, tmp_path: Path) -> None:
    outcome = call(deployment.command, ["tasks", "list", "--sqlite-path", str(tmp_path / "missing.db")])
    assert outcome.status == 1
    assert "it does not exist" in outcome.stderr
    assert not (tmp_path / "missing.db").exists()


def redrive(deployment: Deployment, *arguments: str) -> Outcome:
    return tasks(deployment, "redrive", "--from", DEAD, "--to", "intake", *arguments)


def give_up(deployment: Deployment) -> None:
    """Have all three tasks leased too often."""
    for _ in range(2):
        flags = ("--topic", "intake", "--max", "3", "--lease", "1ms", "--sqlite-max-deliveries", "1")
        tasks(deployment, "pull", *flags)
        time.sleep(0.01)


def stats(deployment: Deployment, *arguments: str) -> dict[str, dict[str, Any]]:
    lines = tasks(deployment, "stats", "--json", *arguments).stdout.splitlines()
    return {found.pop("topic"): found for found in map(json.loads, lines)}


def test_stats_shows_all_topics_or_one(deployment: Deployment) -> None:
    tasks(deployment, "pull", "--topic", "intake")
    found = stats(deployment)
    assert set(found) == {"aggregate", "intake"}
    intake = found["intake"]
    assert (intake["waiting"], intake["leased"], intake["dead"]) == (2, 1, 0)
    assert 0 <= intake["oldest_seconds"] < 3600
    assert set(stats(deployment, "--topic", "aggregate")) == {"aggregate"}
    assert set(stats(deployment, "--intake-tasks-topic", "intake")) == {"intake"}
    head, aggregate, intake_row = tasks(deployment, "stats").stdout.splitlines()
    assert head.split() == ["TOPIC", "WAITING", "LEASED", "OLDEST", "DEAD", "DEAD", "LETTERS"]
    assert aggregate.split() == ["aggregate", "0", "0", "-", "0", "aggregate.dead-letters"]
    assert intake_row.split()[:3] == ["intake", "2", "1"]


def test_tasks_that_were_given_up_are_put_back(deployment: Deployment) -> None:
    give_up(deployment)
    assert stats(deployment)["intake"]["dead"] == 3
    dry = redrive(deployment, "--dry-run")
    assert (dry.status, dry.stdout) == (0, "would move 3 tasks to intake\n")
    assert stats(deployment)["intake"]["dead"] == 3
    assert redrive(deployment, "--max", "1").stdout == "moved 1 task to intake\n"
    again = redrive(deployment)
    assert (again.status, again.stdout) == (0, "moved 2 tasks to intake\n")
    found = stats(deployment)["intake"]
    assert (found["waiting"], found["dead"]) == (3, 0)
    assert sorted(task["batch-id"] for task in deployment.tasks("intake")) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("flags", "redriven"),
    [
        (("--aggregation-id", "agg"), 3),
        (("--aggregation-id", "a*", "--aggregation-id", "other"), 3),
        (("--aggregation-id", "ag"), 0),
    ],
)
def test_aggregations_can_be_chosen(flags: tuple[str, ...], redriven: int, deployment: Deployment) -> None:
    give_up(deployment)
    report = json.loads(redrive(deployment, "--json", *flags).stdout)
    assert (report["redriven"], report["not_chosen"]) == (redriven, 3 - redriven)
    assert (report["from"], report["to"], report["dry_run"]) == (DEAD, "intake", False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("redrive", "--from", "nowhere", "--to", "intake"), "topic nowhere: it does not exist"),
        (("redrive", "--from", "intake", "--to", "intak"), "topic intak: it does not exist"),
        (("redrive", "--from", "intake", "--to", "intake"), "tasks are published to it"),
        (("stats", "--topic", "intak"), "existing topics: aggregate, intake"),
    ],
)
def test_a_place_that_cannot_be_used_is_told(
    arguments: tuple[str, ...], told: str, deployment: Deployment
) -> None:
    outcome = tasks(deployment, *arguments)
    assert outcome.status == 1
    assert told in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("redrive", "--sqlite-path", "x"), "--from: is required by tasks redrive"),
        (("stats",), "--task-queue-kind: is required"),
        (("stats", "--task-queue-kind", "carrier-pigeon"), "unknown kind of queue; use one of: aws-sns"),
        (("stats", "--task-queue-kind", "sqlite"), "--sqlite-path: is required"),
        (("frobnicate", "--sqlite-path", "x"), "unknown action 'frobnicate'"),
        (
            ("pull", "--task-queue-kind", "memory", "--topic", "t"),
            "this kind of queue does not support 'tasks pull'",
        ),
    ],
)
def test_mistakes_are_bad_usage(arguments: tuple[str, ...], told: str, installed: Path) -> None:
    outcome = call(installed, ["tasks", *arguments])
    assert outcome.status == 2, outcome.stderr
    assert told in outcome.stderr


def test_other_kinds_of_queue_are_inspected_and_redriven_too(redis_url: str) -> None:
    topic, dead = uuid.uuid4().hex, uuid.uuid4().hex
    with closing(RedisQueue.open(Settings(options={"redis-url": redis_url}))) as queue:
        body = b'{"trace-id":"t","aggregation-id":"a","batch-id":"b","date":"2026/11/22/16/05"}'
        publish_all(queue, topic, [body])
        publish_all(queue, dead, [body, b"{}"])
    flags = ["--task-queue-kind", "redis", "--redis-url", redis_url]
    outcome = call(COMMAND, ["tasks", "redrive", *flags, "--from", dead, "--to", topic])
    assert (outcome.status, outcome.stdout) == (0, f"moved 1 task to {topic}; 1 left: not a task\n")
    shown = call(COMMAND, ["tasks", "stats", *flags, "--topic", topic, "--json"])
    assert json.loads(shown.stdout)["waiting"] == 2
    listed = call(COMMAND, ["tasks", "list", *flags, "--topic", dead, "--json"])
    assert [json.loads(line)["message"] for line in listed.stdout.splitlines()] == [{}]
    unlisted = call(COMMAND, ["tasks", "list", *flags])
    assert unlisted.status == 2
    assert "--topic: is required: redis queues cannot list their topics" in unlisted.stderr
