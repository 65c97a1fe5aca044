"""From a template and a message to a Job: its name, labels, annotations and environment.

A Job's name is made from its marker alone, so that whoever publishes the same task again meets the first.
"""

import base64
import copy
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from workflow_manager.clouds.yaml_files import read_document
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Message

# Names, label values and labels derived from names have at most so many characters.
LONGEST_NAME = 63
# An environment string has at most 128 KiB on Linux, with the variable's name.
LONGEST_VARIABLE = 100_000
PREFIX = "workflow-manager/"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "workflow-manager"
TASK = f"{PREFIX}task"
AGGREGATION = f"{PREFIX}aggregation-id"
MARKER_BUCKET = f"{PREFIX}marker-bucket"
MARKER = f"{PREFIX}marker"
TRACE_ID = f"{PREFIX}trace-id"
FILE_NAME = "task.json"
VOLUME = "workflow-manager-task"

_FOLDER = "/var/run/workflow-manager"
_HASH_LENGTH = 12  # 60 bits
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_FIELD = re.compile("[a-z][a-z0-9-]*")
_UNUSABLE = re.compile("[^a-z0-9]+")
_MARKERS = "task-markers/"

Json = dict[str, Any]


def label_value(text: str) -> str:
    """A text as the value of a label: itself, or its hash if it is none."""
    return text if _LABEL.fullmatch(text) else f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def selector(labels: Mapping[str, str]) -> str:
    """What selects the Jobs and pods of tasks that have these labels."""
    return ",".join(f"{key}={value}" for key, value in {MANAGED_BY: OURS, **labels}.items())


def job_name(marker: str, key: str) -> str:
    """The name of the Job for a marker: the readable part of its `key`, and the hash of all of it."""
    digest = hashlib.sha256(marker.encode("utf-8", "surrogateescape")).digest()
    suffix = base64.b32encode(digest).decode().lower()[:_HASH_LENGTH]
    readable = _UNUSABLE.sub("-", key.removeprefix(_MARKERS).lower()).strip("-")
    readable = readable[: LONGEST_NAME - _HASH_LENGTH - 1].rstrip("-")
    return f"{readable}-{suffix}" if readable[:1].isalpha() else f"task-{suffix}"


@dataclass(frozen=True, slots=True)
class JobTask:
    """A message as a Job needs it. `marker` is its marker with the bucket, and unique."""

    topic: str
    aggregation: str
    marker: str
    name: str
    body: str
    labels: Mapping[str, str] = field(default_factory=dict)
    marker_bucket: str = ""

    @classmethod
    def of(cls, topic: str, message: Message, labels: Mapping[str, str], marker_bucket: str) -> Self:
        """The task of a message; raises ValueError if its body is not text."""
        marker = f"{marker_bucket}/{message.key}" if marker_bucket else message.key
        name = job_name(marker, message.key)
        body = message.body.decode()
        return cls(topic, message.group, marker, name, body, labels, marker_bucket)

    @property
    def in_file(self) -> bool:
        """Whether the message is too long for a variable, and goes into a ConfigMap."""
        return len(self.body.encode()) > LONGEST_VARIABLE

    def fields(self) -> dict[str, str]:
        """The fields of the message that have text, as variables: `batch-id` is BATCH_ID."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            key.replace("-", "_").upper(): value
            for key, value in found.items()
            if isinstance(value, str) and _FIELD.fullmatch(key)
        }


class JobTemplate:
    """A Job of the operator's, to which each task adds what is its own."""

    def __init__(self, path: Path, labels: Json, annotations: Json, spec: Json) -> None:
        self.path = path
        self._labels = labels
        self._annotations = annotations
        self._spec = spec

    @classmethod
    def read(cls, path: Path, namespace: str) -> Self:
        """The template in a file: a Job, or a CronJob, of which its `jobTemplate` is taken.

        Raises ConfigError.
        """
        document = read_document(path, "the Job template")
        kind = document.get("kind")
        if kind not in (None, "Job", "CronJob"):
            raise _mistake(path, f"it is a {kind}, not a Job or a CronJob")
        version = document.get("apiVersion", "batch/v1")
        if version != "batch/v1":
            raise _mistake(path, f"its apiVersion is {version!r}, not 'batch/v1'")
        metadata = _mapping(document.get("metadata"), path, "metadata")
        if metadata.get("namespace") not in (None, namespace):
            raise _mistake(
                path,
                f"metadata.namespace is {metadata['namespace']!r}, and Jobs are created in {namespace!r}; "
                "leave it out, or give --kubernetes-namespace",
            )
        job: Mapping[str, object] = document
        outer = _mapping(document.get("spec"), path, "spec")
        nested = outer.get("jobTemplate") if kind == "CronJob" else document.get("jobTemplate")
        if kind == "CronJob" or nested is not None:
            job = _mapping(nested, path, "jobTemplate")
        return cls._checked(path, job)

    @classmethod
    def _checked(cls, path: Path, job: Mapping[str, object]) -> Self:
        metadata = _mapping(job.get("metadata"), path, "metadata")
        spec = _mapping(job.get("spec"), path, "spec")
        template = _mapping(spec.get("template"), path, "spec.template")
        pod = _mapping(template.get("spec"), path, "spec.template.spec")
        containers = pod.get("containers")
        if not isinstance(containers, list) or not containers:
            raise _mistake(path, "spec.template.spec.containers has no container")
        for container in [*containers, *_sequence(pod, "initContainers", path)]:
            _mapping(container, path, "a container")
            _sequence(container, "env", path)
            _sequence(container, "volumeMounts", path)
        _mapping(template.get("metadata"), path, "spec.template.metadata")
        return cls(
            path,
            _mapping(metadata.get("labels"), path, "metadata.labels"),
            _mapping(metadata.get("annotations"), path, "metadata.annotations"),
            spec,
        )

    def job(self, task: JobTask) -> Json:
        """The Job of a task."""
        labels = {
            "app.kubernetes.io/name": "workflow-manager-task",
            **self._labels,
            MANAGED_BY: OURS,
            "app.kubernetes.io/component": label_value(task.topic),
            TASK: label_value(task.topic),
            **{f"{PREFIX}{name}": label_value(value) for name, value in task.labels.items()},
            AGGREGATION: label_value(task.aggregation),
            **({MARKER_BUCKET: label_value(task.marker_bucket)} if task.marker_bucket else {}),
        }
        fields = task.fields()
        annotations = {
            **self._annotations,
            **{f"{PREFIX}{name}": value for name, value in task.labels.items()},
            AGGREGATION: task.aggregation,
            MARKER: task.marker,
            **({TRACE_ID: fields["TRACE_ID"]} if "TRACE_ID" in fields else {}),
        }
        spec = copy.deepcopy(self._spec)
        template = spec["template"]
        metadata = template["metadata"] = dict(template.get("metadata") or {})
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        _hand_over(template["spec"], task, fields)
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": task.name, "labels": labels, "annotations": annotations},
            "spec": spec,
        }


def config_map(task: JobTask, uid: str) -> Json:
    """The ConfigMap with the message of a task that is too long for a variable; the Job `uid` owns it."""
    return owned_config_map(task.name, {FILE_NAME: task.body}, task.name, uid)


def owned_config_map(name: str, data: Mapping[str, str], job: str, uid: str) -> Json:
    """A ConfigMap that is removed with its Job."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {MANAGED_BY: OURS}, "ownerReferences": [owner(job, uid)]},
        "immutable": True,
        "data": dict(data),
    }


def owner(job: str, uid: str) -> Json:
    """The reference to the Job that owns something."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}


def literal(text: str) -> str:
    """A text as the value of a variable: Kubernetes would expand `$(NAME)` in it."""
    return text.replace("$", "$$")


def _hand_over(pod: Json, task: JobTask, fields: Mapping[str, str]) -> None:
    """Give every container of a pod the task."""
    variables = dict(fields)
    if task.in_file:
        variables["TASK_FILE"] = f"{_FOLDER}/{FILE_NAME}"
        volume = {"name": VOLUME, "configMap": {"name": task.name}}
        pod["volumes"] = [*(pod.get("volumes") or []), volume]
    else:
        variables["TASK"] = task.body
    # First, so that the template's own variables can refer to them.
    ours = [{"name": name, "value": literal(value)} for name, value in variables.items()]
    for container in [*pod["containers"], *(pod.get("initContainers") or [])]:
        theirs = [entry for entry in container.get("env") or [] if entry.get("name") not in variables]
        container["env"] = [*ours, *theirs]
        if task.in_file:
            mount = {"name": VOLUME, "mountPath": _FOLDER, "readOnly": True}
            container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def _mapping(value: object, path: Path, what: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _mistake(path, f"{what} must have keys with values")
    return value


def _sequence(owner: Mapping[str, object], key: str, path: Path) -> list[Any]:
    value = owner.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _mistake(path, f"{key} must be a list of objects")
    return value


def _mistake(path: Path, problem: str) -> ConfigError:
    return ConfigError([Mistake("", "", f"the Job template {str(path)!r} cannot be used: {problem}")])
