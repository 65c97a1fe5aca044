"""What an operator does with the Jobs of tasks: list, make anew, delete, read logs."""

import copy
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from workflow_manager.clouds.http import CloudError
from workflow_manager.clouds.kubernetes_api import CONFIG_MAPS, JOBS, MERGE_PATCH, PODS, Cluster, Resource
from workflow_manager.errors import QueueError
from workflow_manager.queue_ports import TopicStats
from workflow_manager.queues.job_manifest import (
    LONGEST_NAME,
    MANAGED_BY,
    OURS,
    PREFIX,
    VOLUME,
    Json,
    owned_config_map,
    owner,
    selector,
)
from workflow_manager.queues.job_records import (
    FINISHED,
    JOB_OF_POD,
    JobRecord,
    JobState,
    PodRecord,
    pod_record,
    record_of,
)

RETRIES = f"{PREFIX}retries"
_SET_BY_THE_SERVER = frozenset(
    {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", JOB_OF_POD}
)
_DELETED_WITHIN = 30.0  # seconds
_PAUSE = 0.2


class JobAdministration:
    """The Jobs of tasks in one namespace. Safe for use by many threads; methods raise QueueError."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.pods_unreadable = ""

    def records(self, labels: Mapping[str, str], *, why: bool = True) -> Iterator[JobRecord]:
        """The Jobs with these labels. With `why`, pods are read to say why those fail that do."""
        chosen = selector(labels)
        pods = self._pods(chosen) if why else {}
        try:
            for page in self._cluster.pages(JOBS, labelSelector=chosen):
                for job in page:
                    yield record_of(job, pods.get(job["metadata"]["name"], ()))
        except CloudError as error:
            raise self._failed("list", JOBS, f"Jobs in namespace {self._cluster.namespace}", error) from error

    def record(self, name: str) -> JobRecord:
        """The Job of this name."""
        return record_of(self._job(name))

    def retry(self, name: str) -> None:
        """Make a failed Job anew under its name."""
        job = self._job(name)
        state = record_of(job).state
        if state is not JobState.FAILED:
            advice = "only failed Jobs are retried; 'workflow-manager backfill --again' repeats a task"
            raise QueueError("retry", self._subject(name), f"it is {state}", advice)
        again = renewed(job)
        message = self._copied_message(name, again)
        try:
            self._rehearse(again)
            self.delete(name, job["metadata"]["uid"])
            self._wait_until_gone(name)
            created = self._cluster.ask("POST", self._cluster.path(JOBS), again)
            if message:
                reference = {"metadata": {"ownerReferences": [owner(name, created["metadata"]["uid"])]}}
                path = self._cluster.path(CONFIG_MAPS, message)
                self._cluster.ask("PATCH", path, reference, content_type=MERGE_PATCH)
        except CloudError as error:
            raise self._failed("create", JOBS, self._subject(name), error) from error

    def delete(self, name: str, uid: str = "") -> None:
        """Delete a Job and its pods; only if it is the one with this `uid`, if that is given."""
        options: Json = {"propagationPolicy": "Background"}
        options |= {"preconditions": {"uid": uid}} if uid else {}
        if not uid:
            self._job(name)  # which has to be one of ours
        try:
            self._cluster.ask("DELETE", self._cluster.path(JOBS, name), options)
        except CloudError as error:
            raise self._failed("delete", JOBS, self._subject(name), error) from error

    def stream_logs(
        self, name: str, container: str, write: Callable[[bytes], object], *, follow: bool
    ) -> str:
        """Have `write` called with the log of a Job's latest pod as it comes; the pod's name."""
        self._job(name)
        pods = self._pods(f"{JOB_OF_POD}={name}", tolerant=False).get(name, ())
        pod = max(pods, default=None)
        if pod is None:
            cause = "it has no pod: it was not started yet, or its pods are deleted"
            raise QueueError("read the log of", self._subject(name), cause)
        query = {"container": container or pod.container, "follow": str(follow).lower()}
        try:
            self._cluster.stream(self._cluster.path(PODS, pod.name, "log"), query, write)
        except CloudError as error:
            resource = PODS._replace(plural="pods/log")
            raise self._failed("get", resource, f"the log of pod {pod.name}", error) from error
        return pod.name

    def _job(self, name: str) -> Json:
        """The Job of this name, which is one of ours."""
        try:
            job = self._cluster.ask("GET", self._cluster.path(JOBS, name))
        except CloudError as error:
            raise self._failed("get", JOBS, self._subject(name), error) from error
        if (job["metadata"].get("labels") or {}).get(MANAGED_BY) != OURS:
            cause = f"it is no task's Job: its label {MANAGED_BY} is not {OURS}"
            raise QueueError("use", self._subject(name), cause, "use kubectl")
        return job

    def _pods(self, chosen: str, *, tolerant: bool = True) -> dict[str, list[PodRecord]]:
        """Pods by the names of their Jobs. If `tolerant`, there may be no permission to read them."""
        found: dict[str, list[PodRecord]] = defaultdict(list)
        try:
            for page in self._cluster.pages(PODS, labelSelector=chosen):
                for pod in map(pod_record, page):
                    found[pod.job].append(pod)
        except CloudError as error:
            where = f"pods in namespace {self._cluster.namespace}"
            failure = self._failed("list", PODS, where, error)
            if not tolerant or error.status != HTTPStatus.FORBIDDEN:
                raise failure from error
            self.pods_unreadable = str(failure)
        return found

    def _copied_message(self, name: str, again: Json) -> str:
        """A copy of the ConfigMap with the Job's message, which goes with the old Job; its name, or nothing.

        Nobody owns it until the new Job is there, so that no kill in between can lose it.
        """
        for volume in again["spec"]["template"]["spec"].get("volumes") or ():
            if volume["name"] != VOLUME:
                continue
            try:
                path = self._cluster.path(CONFIG_MAPS, volume["configMap"]["name"])
                data = self._cluster.ask("GET", path)["data"]
                copied = owned_config_map(_another_name(name), data, name, "")
                del copied["metadata"]["ownerReferences"]
                self._cluster.ask("POST", self._cluster.path(CONFIG_MAPS), copied)
            except CloudError as error:
                what = f"{self._subject(name)}: the ConfigMap with its message"
                raise self._failed("get", CONFIG_MAPS, what, error) from error
            volume["configMap"]["name"] = copied["metadata"]["name"]
            return str(copied["metadata"]["name"])
        return ""

    def _rehearse(self, again: Json) -> None:
        """Find out whether the API server would take a Job, before the old one is deleted."""
        other = {**again, "metadata": {**again["metadata"], "name": _another_name(again["metadata"]["name"])}}
        try:
            self._cluster.ask("POST", self._cluster.path(JOBS), other, query={"dryRun": "All"})
        except CloudError as error:
            if "exceeded quota" not in error.cause:  # the old one, which still counts, makes room
                raise

    def _wait_until_gone(self, name: str) -> None:
        until = time.monotonic() + _DELETED_WITHIN
        while time.monotonic() < until:
            try:
                self._cluster.ask("GET", self._cluster.path(JOBS, name))
            except CloudError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return
                raise
            time.sleep(_PAUSE)
        cause = f"it is still being deleted after {_DELETED_WITHIN:.0f} s: finalizers keep it"
        raise QueueError(
            "retry", self._subject(name), cause, "when it is gone, backfill --again repeats its task"
        )

    def _subject(self, name: str) -> str:
        return f"Job {self._cluster.namespace}/{name}"

    def _failed(self, verb: str, resource: Resource, subject: str, error: CloudError) -> QueueError:
        return QueueError(verb, subject, error.cause, self._cluster.advice(error, verb, resource))


def task_stats(cluster: Cluster, labels: Mapping[str, str]) -> TopicStats:
    """How many tasks there are in each state, by the Jobs with these labels; raises QueueError."""
    waiting, leased, dead = 0, 0, 0
    oldest: datetime | None = None
    for record in JobAdministration(cluster).records(labels, why=False):
        if record.state in FINISHED or record.state is JobState.DELETING:
            dead += record.state is JobState.FAILED
            continue
        leased += record.state is JobState.RUNNING
        waiting += record.state is not JobState.RUNNING
        oldest = min(oldest or record.created, record.created)
    age = None if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())
    return TopicStats(waiting, leased, age, dead, "failed Jobs: 'workflow-manager jobs list --failed'")


def renewed(job: Json) -> Json:
    """The same Job once more: without what the API server has added."""
    metadata = job["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations[RETRIES] = str(int(annotations.get(RETRIES) or 0) + 1)
    spec = copy.deepcopy(job["spec"])
    if not spec.pop("manualSelector", None):
        spec.pop("selector", None)
    template = spec["template"].get("metadata") or {}
    template.pop("creationTimestamp", None)
    template["labels"] = _own_labels(template.get("labels"))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": metadata["name"],
            "labels": _own_labels(metadata.get("labels")),
            "annotations": annotations,
        },
        "spec": spec,
    }


def _own_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (labels or {}).items() if key not in _SET_BY_THE_SERVER}


def _another_name(name: str) -> str:
    suffix = secrets.token_hex(3)
    return f"{name[: LONGEST_NAME - len(suffix) - 1]}-{suffix}"
