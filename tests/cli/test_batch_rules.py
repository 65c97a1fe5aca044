"""Which batches are scheduled, through the command line: what one side refuses, the other does too."""

from pathlib import Path

import pytest

from support.command import Deployment, metrics

NOW = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=24h")
WINDOW = ("--aggregation-period=8h", "--grace-period=4h")
TIME = "2026/11/22/17/05"
GOOD = "9d0a4a36-4b6c-4e0c-9d5a-2b1f0c3d4e5f"


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    return Deployment(installed, tmp_path)


def put_validated(deployment: Deployment, batch: str, aggregation: str = "agg") -> None:
    deployment.put_batch(f"{aggregation}/{TIME}/{batch}")
    deployment.put("peer", f"{aggregation}/{TIME}/{batch}.validity_0.sig")


def scheduled(deployment: Deployment) -> tuple[list[str], list[str]]:
    """The batches of the intake tasks, and those of the only aggregation task."""
    (aggregation,) = deployment.tasks("aggregate")
    intake = sorted(task["batch-id"] for task in deployment.tasks("intake"))
    return intake, [batch["id"] for batch in aggregation["batches"]]


def test_a_batch_whose_marker_no_file_can_have_is_neither_taken_in_nor_aggregated(
    deployment: Deployment,
) -> None:
    for batch in (GOOD, "x" * 230):
        put_validated(deployment, batch)
    outcome = deployment.run(*NOW, *WINDOW, "--batch-ids=any")
    assert outcome.status == 0, outcome.stderr
    assert scheduled(deployment) == ([GOOD], [GOOD])
    assert "no marker for it can be written" in outcome.event("objects.malformed")["message"]


def test_a_batch_whose_id_is_no_uuid_is_malformed_unless_any_is_accepted(
    deployment: Deployment, tmp_path: Path
) -> None:
    for batch in (GOOD, GOOD.upper(), "b"):
        put_validated(deployment, batch)
    figures = tmp_path / "metrics.prom"
    outcome = deployment.run(*NOW, *WINDOW, f"--metrics-file={figures}")
    assert outcome.status == 0, outcome.stderr
    uuids = sorted([GOOD, GOOD.upper()])
    assert scheduled(deployment) == (uuids, uuids)
    assert outcome.event("objects.malformed")["count"] == 4
    assert metrics(figures.read_text())["workflow_manager_malformed_objects_found"] == {"agg": 4}
    assert deployment.run(*NOW, *WINDOW, "--batch-ids", "any").status == 0
    assert scheduled(deployment) == ([*uuids, "b"], uuids)


@pytest.mark.parametrize("ids", ["uuid", "any"])
def test_names_that_queues_refuse_are_malformed_in_either_case(deployment: Deployment, ids: str) -> None:
    for batch in (GOOD, "b\ufffe", "b\uffff", f"{GOOD}\x7f"):
        put_validated(deployment, batch)
    put_validated(deployment, GOOD, aggregation="odd\ufffe")
    outcome = deployment.run(*NOW, *WINDOW, f"--batch-ids={ids}")
    assert outcome.status == 0, outcome.stderr
    assert scheduled(deployment) == ([GOOD], [GOOD])


def test_other_choices_are_a_mistake_in_the_configuration(deployment: Deployment) -> None:
    outcome = deployment.run("--batch-ids=some")
    assert outcome.status == 2
    assert "--batch-ids" in outcome.stderr


def test_a_changed_period_is_found_before_batches_are_summed_twice(deployment: Deployment) -> None:
    put_validated(deployment, GOOD)
    assert deployment.run(*NOW, *WINDOW).status == 0
    changed = ("--aggregation-period=3h", "--aggregation-override-timestamp=202611221700")
    outcome = deployment.run(*NOW, *changed)
    assert outcome.status == 1
    message = outcome.event("aggregation.overlaps")["message"]
    assert "2026-11-22 16:00 to 2026-11-23 00:00" in message
    assert outcome.event("run.finished")["aggregation_tasks_failed"] == 1
    assert len(deployment.tasks("aggregate")) == 1
    assert deployment.run(*NOW, *changed, "--allow-overlapping-windows").status == 0
    assert len(deployment.tasks("aggregate")) == 2


def test_a_wrong_url_is_found_before_there_is_anything_to_schedule(deployment: Deployment) -> None:
    outcome = deployment.run(*NOW)
    assert outcome.status == 0
    assert outcome.event("aggregations.none")["severity"] == "WARNING"
    (deployment.directory / "peer").rmdir()
    outcome = deployment.run(*NOW)
    assert outcome.status == 1
    assert "create the directory" in outcome.event("part.failed")["message"]


def test_incomplete_batches_are_named_at_debug_level(deployment: Deployment) -> None:
    deployment.put("ingestion", f"agg/{TIME}/{GOOD}.batch", f"agg/{TIME}/{GOOD}.batch.sig")
    told = deployment.run(*NOW, "--log-level=debug").event("batch.incomplete")
    assert (told["batch_id"], told["parts"]) == (GOOD, ["header", "signature"])
    assert not [event for event in deployment.run(*NOW).events if event["event"] == "batch.incomplete"]
