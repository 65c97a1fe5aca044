"""What a Job and its pods say: the state of the task, and why it is in it."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from workflow_manager.cli.jobs_output import age, row, table
from workflow_manager.queues.job_records import JobState, pod_record, record_of

CREATED = "2026-11-23T04:20:00Z"
NOW = datetime(2026, 11, 23, 6, 25, 7, tzinfo=UTC)


def job(*conditions: str, name: str = "intake-kittens-seen", **status: object) -> dict[str, Any]:
    """A Job for which these conditions hold."""
    found = [{"type": kind, "status": "True", "lastTransitionTime": CREATED} for kind in conditions]
    metadata = {
        "name": name,
        "creationTimestamp": CREATED,
        "labels": {"workflow-manager/task": "intake"},
        "annotations": {"workflow-manager/aggregation-id": "kittens-seen"},
    }
    return {"metadata": metadata, "status": {"conditions": found, **status}}


def pod(created: str = CREATED, **status: object) -> dict[str, Any]:
    labels = {"batch.kubernetes.io/job-name": "intake-kittens-seen"}
    metadata = {"name": f"pod-{created}", "creationTimestamp": created, "labels": labels}
    return {"metadata": metadata, "spec": {"containers": [{"name": "facilitator"}]}, "status": status}


def container(**state: object) -> list[dict[str, object]]:
    return [{"name": "facilitator", "state": state}]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (job(), JobState.PENDING),
        (job(active=1, ready=0), JobState.PENDING),
        (job(active=1, ready=1), JobState.RUNNING),
        (job("Suspended"), JobState.SUSPENDED),
        (job("SuccessCriteriaMet", "Complete"), JobState.COMPLETE),
        (job("FailureTarget", "Failed"), JobState.FAILED),
    ],
)
def test_a_job_is_in_one_state(found: dict[str, Any], state: JobState) -> None:
    assert record_of(found).state is state
    found["metadata"]["deletionTimestamp"] = CREATED
    assert record_of(found).state is JobState.DELETING


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            {
                "containerStatuses": container(
                    waiting={"reason": "ImagePullBackOff", "message": "no such image"}
                )
            },
            "container facilitator waits: ImagePullBackOff: no such image",
        ),
        ({"containerStatuses": container(waiting={"reason": ""})}, ""),
        (
            {"initContainerStatuses": container(terminated={"exitCode": 2, "reason": "Error"})},
            "container facilitator exited with 2 (Error)",
        ),
        ({"containerStatuses": container(terminated={"exitCode": 0, "reason": "Completed"})}, ""),
        (
            {
                "containerStatuses": [
                    {"name": "c", "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
                ]
            },
            "container c exited with 137 (OOMKilled)",
        ),
        (
            {"reason": "Evicted", "message": "the node was low on memory"},
            "Evicted: the node was low on memory",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
                ]
            },
            "not scheduled: 0/3 nodes are available",
        ),
        ({}, ""),
    ],
)
def test_a_pod_says_why_a_job_gets_no_further(status: dict[str, Any], reason: str) -> None:
    assert record_of(job(), [pod_record(pod(**status))]).reason == reason


def test_the_last_pod_that_knows_is_asked() -> None:
    pods = [
        pod("2026-11-23T04:21:00Z", reason="First"),
        pod("2026-11-23T04:23:00Z"),
        pod("2026-11-23T04:22:00Z", reason="Second"),
    ]
    assert record_of(job(), [pod_record(one) for one in pods]).reason == "Second"


def test_a_job_that_is_complete_has_nothing_to_explain() -> None:
    assert record_of(job("Complete"), [pod_record(pod(reason="Evicted"))]).reason == ""


def test_names_stay_whole_in_80_columns() -> None:
    name = "n" * 63
    record = record_of(job("Failed", name=name), [pod_record(pod(reason="Evicted", message="x " * 100))])
    screen = Console(file=io.StringIO(), width=80)
    screen.print(table([record], [row(record, NOW)]))
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == [name, "failed", "2h5m"] for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (7507, "2h5m"), (90_000, "1d1h"), (-5, "0s")]
)
def test_ages_have_two_units(seconds: int, text: str) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert age(datetime.fromtimestamp(begin.timestamp() + seconds, UTC) - begin) == text
