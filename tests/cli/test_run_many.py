"""`run --config`: one pass over each instance of a file; one that fails touches no other."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from support.command import call
from support.serving import Fleet

COMMAND = Path(sys.executable).with_name("workflow-manager")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def tasks(fleet: Fleet, name: str) -> int:
    with sqlite3.connect(fleet.directory / name / "tasks.db") as database:
        return int(database.execute("SELECT count(*) FROM messages").fetchone()[0])


def test_each_instance_has_a_pass_and_is_reported_by_name(fleet: Fleet) -> None:
    for name in ("na-1", "na-2", "eu-1"):
        fleet.add(name)
        fleet.upload(name)
    done = call(COMMAND, ["run", "--config", str(fleet.path), "--instance=na-*", "--json"])
    assert done.status == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["exit_status"], list(document["instances"])) == (0, ["na-1", "na-2"])
    for name, report in document["instances"].items():
        assert report["locality"] == name
        assert report["totals"]["intake_tasks_scheduled"] == 1
    scheduled = [event for event in done.events if event["event"] == "task.scheduled"]
    assert sorted(event["instance"] for event in scheduled) == ["na-1", "na-2"]
    assert tasks(fleet, "na-1") == 1
    assert not (fleet.directory / "eu-1" / "tasks.db").exists()


def test_one_that_fails_touches_no_other_and_the_status_says_so(fleet: Fleet) -> None:
    for name in ("bad", "good"):
        fleet.add(name)
        fleet.upload(name)
    (fleet.directory / "bad" / "own").rmdir()
    done = call(COMMAND, ["run", "--config", str(fleet.path), "--json"])
    assert done.status == 1
    instances = json.loads(done.stdout)["instances"]
    assert [instances[name]["exit_status"] for name in ("bad", "good")] == [1, 0]
    assert tasks(fleet, "good") == 1


def test_flags_on_the_command_line_hold_for_all(fleet: Fleet) -> None:
    fleet.add("one")
    fleet.upload("one")
    done = call(COMMAND, ["run", "--config", str(fleet.path), "--dry-run"])
    assert done.status == 0
    assert [event["event"] for event in done.events].count("task.would_be_scheduled") == 1
    assert not (fleet.directory / "one" / "tasks.db").exists()


def test_shards_together_do_everything_once(fleet: Fleet) -> None:
    names = [f"i{number}" for number in range(6)]
    for name in names:
        fleet.add(name)
        fleet.upload(name)
    for index in range(3):
        assert call(COMMAND, ["run", "--config", str(fleet.path), f"--shard={index}/3"]).status == 0
    assert [tasks(fleet, name) for name in names] == [1] * 6


def test_shards_by_aggregation_together_do_everything_once(fleet: Fleet) -> None:
    fleet.add("one")
    for number in range(8):
        fleet.upload("one", f"agg-{number}")
    counts = []
    for index in range(3):
        flags = [f"--shard={index}/3", "--shard-by=aggregation"]
        assert call(COMMAND, ["run", "--config", str(fleet.path), *flags]).status == 0
        counts.append(tasks(fleet, "one"))
    assert counts[-1] == 8
    assert counts[0] < 8


def test_mistakes_end_it_before_anything_is_done(fleet: Fleet) -> None:
    fleet.add("one")
    fleet.upload("one")
    fleet.add("two", "grace-period: soon")
    done = call(COMMAND, ["run", "--config", str(fleet.path)])
    assert done.status == 2
    assert "two: grace-period='soon': not a duration" in done.stderr
    assert not (fleet.directory / "one" / "tasks.db").exists()


def test_check_looks_at_each_instance(fleet: Fleet) -> None:
    fleet.add("bad")
    fleet.add("good")
    (fleet.directory / "bad" / "in").rmdir()
    done = call(COMMAND, ["check", "--config", str(fleet.path), "--json"])
    assert done.status == 1
    findings = json.loads(done.stdout)
    assert {one["check"].partition(":")[0] for one in findings} == {"bad", "good"}
    assert [one["check"] for one in findings if not one["ok"]] == ["bad: list the ingestion bucket"]
