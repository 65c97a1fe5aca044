"""`status`, `explain` and `backfill` with a file of instances: all of them or the chosen ones, by name."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.test_run_many import tasks
from support.command import Outcome, call
from support.serving import Fleet

COMMAND = Path(sys.executable).with_name("workflow-manager")
NOW = "--now=2026-11-23T04:20:00Z"
ID = "b8a5579a-f984-460a-a42d-2813cbf57761"
DAY = ("--from=2026-11-22T00:00:00Z", "--to=2026-11-23T00:00:00Z")
MARKER = "aggregate-agg-2026-11-22-09-00-2026-11-22-10-00"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Two instances of a locality, in which a window was missed, and one in which nothing was uploaded."""
    made = Fleet(tmp_path)
    for name in ("na-1", "na-2", "eu"):
        made.add(name)
    for name in ("na-1", "na-2"):
        upload(made, name)
    return made


def upload(fleet: Fleet, name: str, batch: str = ID) -> None:
    for bucket, endings in (("in", ("batch", "batch.avro", "batch.sig")), ("peer", ("validity_0.sig",))):
        directory = fleet.directory / name / bucket / "agg/2026/11/22/09/05"
        directory.mkdir(parents=True, exist_ok=True)
        for ending in endings:
            (directory / f"{batch}.{ending}").write_bytes(b"")


def do(fleet: Fleet, command: str, *arguments: str) -> Outcome:
    return call(COMMAND, [command, *arguments, "--config", str(fleet.path), NOW])


def instances(outcome: Outcome) -> dict[str, Any]:
    document = json.loads(outcome.stdout)
    assert list(document) == ["instances"]
    found: dict[str, Any] = document["instances"]
    return found


class TestStatus:
    def test_each_instance_is_told_by_name_in_the_order_of_the_file(self, fleet: Fleet) -> None:
        outcome = do(fleet, "status", "--since=1d")
        assert outcome.status == 0, outcome.stderr
        lines = outcome.stdout.splitlines()
        missed = "agg  2026-11-22 09:00 to 10:00  missed  1 ready, 1 validated"
        assert [line for line in lines if line in ("na-1", "na-2", "eu", missed)] == [
            *("na-1", missed),
            *("na-2", missed),
            "eu",
        ]
        found = instances(do(fleet, "status", "--since=1d", "--json", "--instance=*-2,eu"))
        assert list(found) == ["na-2", "eu"]
        assert found["na-2"]["aggregations"][0]["intake"]["due"] == 1
        assert found["eu"]["aggregations"] == []

    def test_one_that_is_found_in_any_of_them_is_found(self, fleet: Fleet) -> None:
        assert do(fleet, "status", "--fail-on=missed").status == 4
        assert do(fleet, "status", "--fail-on=missed", "--instance=eu").status == 0

    def test_one_that_cannot_be_read_fails_and_the_others_are_told(self, fleet: Fleet) -> None:
        (fleet.directory / "na-1" / "in").rename(fleet.directory / "gone")
        outcome = do(fleet, "status", "--json")
        assert outcome.status == 1
        assert "workflow-manager: na-1: some aggregations are missing" in outcome.stderr
        assert instances(outcome)["na-2"]["aggregations"][0]["aggregation_id"] == "agg"

    def test_no_queue_is_needed_but_buckets_are(self, fleet: Fleet) -> None:
        fleet.path.write_text(fleet.text.replace("  task-queue-kind: sqlite\n", ""))
        assert do(fleet, "status").status == 0
        fleet.path.write_text(f"{fleet.text}  new:\n    ingestor-input: file:///new\n")
        outcome = do(fleet, "status")
        assert outcome.status == 2
        assert "new: own-validation-input: is required" in outcome.stderr

    def test_shards_by_aggregation_together_tell_everything_once(self, fleet: Fleet) -> None:
        for number in range(5):
            fleet.upload("eu", f"agg-{number}")
        told = [
            one["aggregation_id"]
            for index in range(3)
            for found in instances(
                do(fleet, "status", "--json", f"--shard={index}/3", "--shard-by=aggregation", "--instance=eu")
            ).values()
            for one in found["aggregations"]
        ]
        assert sorted(told) == [f"agg-{number}" for number in range(5)]


class TestExplain:
    def test_those_instances_are_shown_that_have_anything(self, fleet: Fleet) -> None:
        for word in (ID, f"agg/2026/11/22/09/05/{ID}", "agg 2026-11-22T09:00Z"):
            outcome = do(fleet, "explain", *word.split(), "--json")
            assert outcome.status == 0, outcome.stderr
            assert list(instances(outcome)) == ["na-1", "na-2"]
        text = do(fleet, "explain", "agg", "2026-11-22T09:00Z").stdout
        assert "\nna-1\n" in text
        assert "\neu\n" not in text

    def test_a_command_chooses_the_instance(self, fleet: Fleet) -> None:
        found = instances(do(fleet, "explain", "agg", "2026-11-22T09:00Z", "--json"))
        command = found["na-2"][0]["next"][0]["command"]
        assert f"--config {fleet.path} --instance na-2 " in command
        done = call(COMMAND, [*command.removeprefix("workflow-manager ").split(), NOW, "--yes"])
        assert done.status == 0, done.stderr
        assert (tasks(fleet, "na-2"), (fleet.directory / "na-1" / "tasks.db").exists()) == (1, False)

    def test_the_url_of_an_object_is_explained_in_its_instance(self, fleet: Fleet) -> None:
        url = f"file://{fleet.directory}/na-1/in/agg/2026/11/22/09/05/{ID}.batch"
        assert list(instances(do(fleet, "explain", url, "--json"))) == ["na-1"]

    def test_where_no_instance_has_anything_that_is_told(self, fleet: Fleet) -> None:
        for words in (["none", "2026-11-22T09:00Z"], ["gs://nowhere/x"], [f"x/2026/11/22/09/05/{ID}"]):
            outcome = do(fleet, "explain", *words)
            assert outcome.status == 1
            assert "none of 3 instances has anything of" in outcome.stdout
            empty = do(fleet, "explain", *words, "--json")
            assert (empty.status, instances(empty)) == (1, {})
            assert "none of 3 instances" in empty.stderr

    def test_one_that_cannot_be_read_is_a_warning(self, fleet: Fleet) -> None:
        (fleet.directory / "na-1" / "own").rename(fleet.directory / "gone")
        outcome = do(fleet, "explain", f"agg/2026/11/22/09/05/{ID}")
        assert outcome.status == 0
        assert "warning: na-1: " in outcome.stdout
        assert "\nna-2\n" in outcome.stdout


class TestBackfill:
    def test_all_plans_are_shown_and_then_carried_out(self, fleet: Fleet) -> None:
        outcome = do(fleet, "backfill", *DAY, "--dry-run")
        assert outcome.status == 0, outcome.stderr
        assert outcome.stdout.count("planned: 1 intake task and 1 aggregation task in 1 step") == 2
        assert not (fleet.directory / "na-1" / "tasks.db").exists()
        asked = do(fleet, "backfill", *DAY)
        assert (asked.status, "--yes: is required" in asked.stderr) == (2, True)
        done = do(fleet, "backfill", *DAY, "--yes")
        assert done.status == 0, done.stderr
        assert (tasks(fleet, "na-1"), tasks(fleet, "na-2")) == (2, 2)
        assert {event["instance"] for event in done.events if event["event"] == "task.scheduled"} == {
            "na-1",
            "na-2",
        }
        assert do(fleet, "status", "--since=1d", "--fail-on=missed").status == 0

    def test_one_that_fails_touches_no_other(self, fleet: Fleet) -> None:
        (fleet.directory / "na-1" / "peer").rename(fleet.directory / "gone")
        outcome = do(fleet, "backfill", *DAY, "--yes")
        assert outcome.status == 1
        assert "na-1: nothing was scheduled, because the plan is incomplete" in outcome.stderr
        assert tasks(fleet, "na-2") == 2
        (fleet.directory / "gone").rename(fleet.directory / "na-1" / "peer")
        (fleet.directory / "na-1" / "tasks.db").mkdir()
        upload(fleet, "na-2", ID.replace("61", "62"))
        outcome = do(fleet, "backfill", *DAY, "--yes")
        assert outcome.status == 1
        assert tasks(fleet, "na-2") == 3

    def test_a_marker_is_published_again_in_the_instances_that_have_it(self, fleet: Fleet) -> None:
        do(fleet, "backfill", *DAY, "--yes", "--instance=na-2")
        again = ("--marker", MARKER, "--again", "--reason=purged", "--yes")
        outcome = do(fleet, "backfill", *again)
        assert outcome.status == 0, outcome.stderr
        assert outcome.stdout.count("not planned: there is no marker") == 2
        assert tasks(fleet, "na-2") == 3
        assert not (fleet.directory / "na-1" / "tasks.db").exists()
        assert do(fleet, "backfill", *again, "--instance=na-1").status == 1


@pytest.mark.parametrize(
    "command", ["status", "explain agg 2026-11-22T09:00Z", f"backfill {' '.join(DAY)} --yes"]
)
def test_mistakes_in_the_file_are_told_with_their_lines(fleet: Fleet, command: str) -> None:
    fleet.add("bad", "grace-period: soon")
    outcome = do(fleet, *command.split())
    assert outcome.status == 2
    assert f"{fleet.path}:" in outcome.stderr
    assert "bad: grace-period='soon': not a duration" in outcome.stderr
    assert not (fleet.directory / "na-1" / "tasks.db").exists()
