"""What a Job of ours says of its task: which it is, what has become of it, and why it failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from workflow_manager.queues.job_manifest import AGGREGATION, MARKER, PREFIX, TASK, TRACE_ID, Json

# The label that a pod has of its Job.
JOB_OF_POD = "batch.kubernetes.io/job-name"


class JobState(StrEnum):
    """What has become of a Job. A pending one has no pod that is ready."""

    SUSPENDED = "suspended"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    DELETING = "deleting"


FINISHED = frozenset({JobState.COMPLETE, JobState.FAILED})


class PodRecord(NamedTuple):
    """A pod of a Job. `reason` says why it failed or does not start; `container` is its first one."""

    created: str
    name: str
    job: str
    container: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One Job. `reason` says why it failed, or what keeps its pod from starting; empty if nothing does.

    `started` and `finished` are None as long as it has not.
    """

    name: str
    task: str
    aggregation: str
    locality: str
    ingestor: str
    state: JobState
    created: datetime
    started: datetime | None
    finished: datetime | None
    reason: str
    trace_id: str
    marker: str

    @property
    def since(self) -> datetime:
        """When it finished or, as long as it has not, when it was created."""
        return self.finished or self.created


def pod_record(pod: Json) -> PodRecord:
    """What a pod says."""
    metadata = pod["metadata"]
    return PodRecord(
        metadata["creationTimestamp"],
        metadata["name"],
        (metadata.get("labels") or {}).get(JOB_OF_POD, ""),
        pod["spec"]["containers"][0]["name"],
        _pod_reason(pod.get("status") or {}),
    )


def record_of(job: Json, pods: Sequence[PodRecord] = ()) -> JobRecord:
    """What a Job and its pods say."""
    metadata, status = job["metadata"], job.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or () if one["status"] == "True"}
    state = _state(metadata, status, conditions)
    return JobRecord(
        metadata["name"],
        labels.get(TASK, ""),
        annotations.get(AGGREGATION, labels.get(AGGREGATION, "")),
        annotations.get(f"{PREFIX}locality", ""),
        annotations.get(f"{PREFIX}ingestor", ""),
        state,
        moment(metadata["creationTimestamp"]) or datetime.now(UTC),
        moment(status.get("startTime")),
        _finished(status, conditions),
        "" if state is JobState.COMPLETE else _reason(conditions, pods),
        annotations.get(TRACE_ID, ""),
        annotations.get(MARKER, ""),
    )


def moment(text: str | None) -> datetime | None:
    """A time of the API's."""
    return datetime.fromisoformat(text) if text else None


def _state(metadata: Json, status: Json, conditions: Mapping[str, Json]) -> JobState:
    if metadata.get("deletionTimestamp"):
        return JobState.DELETING
    if "Complete" in conditions:
        return JobState.COMPLETE
    if "Failed" in conditions:
        return JobState.FAILED
    if "Suspended" in conditions:
        return JobState.SUSPENDED
    return JobState.RUNNING if status.get("ready") else JobState.PENDING


def _finished(status: Json, conditions: Mapping[str, Json]) -> datetime | None:
    failed = conditions.get("Failed", {}).get("lastTransitionTime")
    return moment(status.get("completionTime") or failed)


def _reason(conditions: Mapping[str, Json], pods: Sequence[PodRecord]) -> str:
    """Why a Job failed, or its pod does not start: what its condition says, and the last pod that knows."""
    failed = conditions.get("Failed", {})
    told = [": ".join(part for part in (failed.get("reason"), failed.get("message")) if part)]
    told.append(next((pod.reason for pod in sorted(pods, reverse=True) if pod.reason), ""))
    return "; ".join(filter(None, told))


def _pod_reason(status: Json) -> str:
    said = [": ".join(part for part in (status.get("reason"), status.get("message")) if part)]
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        state: dict[str, Any] = one.get("state") or {}
        ended = state.get("terminated") or (one.get("lastState") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            why = ": ".join(part for part in (ended.get("reason"), ended.get("message")) if part)
            said.append(
                f"container {one['name']} exited with {ended['exitCode']}" + (f" ({why})" if why else "")
            )
        elif waiting := state.get("waiting"):
            why = ": ".join(part for part in (waiting.get("reason"), waiting.get("message")) if part)
            said.append(f"container {one['name']} waits: {why}" if why else "")
    said += [
        f"not scheduled: {condition.get('message', '')}"
        for condition in status.get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return "; ".join(" ".join(part.split()) for part in said if part)
