"""The chart as Helm renders it, each set of values once."""

import functools
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from servers.kubernetes import ControlPlane, kubectl, tool

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "workflow-manager"
VALUES = ROOT / "tests" / "deploy" / "values"
KINDS_OF_VALUES = ("one", "many", "serve", "jobs", "everything")
# A Helm that is built from the module proxy does not know which Kubernetes it was made for.
KUBE_VERSION = "--kube-version=1.36.3"
RELEASE, NAMESPACE = "prio", "scheduling"
INSTANCE = {
    "ingestor-input": "gs://na-ingestor-1",
    "own-validation-input": "gs://na-ingestor-1-own",
    "peer-validation-input": "gs://na-ingestor-1-peer",
    "task-queue-kind": "gcp-pubsub",
    "gcp-project-id": "prio-prod",
    "intake-tasks-topic": "na-ingestor-1-intake",
    "aggregate-tasks-topic": "na-ingestor-1-aggregate",
}
Document = dict[str, Any]


class RefusedError(Exception):
    """Helm refused the values."""


def values_file(name: str) -> Path:
    """One of the five kinds of values that CI installs."""
    return VALUES / f"{name}.yaml"


def helm(*arguments: str | Path, content: str = "", environ: Mapping[str, str] | None = None) -> str:
    """What a command of Helm's prints; raises RefusedError if it fails."""
    command = [tool("helm"), *map(str, arguments)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **(environ or {})}
    done = subprocess.run(command, input=content, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def kubectl_on(plane: ControlPlane, *arguments: str, content: str = "") -> "subprocess.CompletedProcess[str]":
    """A command of kubectl's, as the administrator."""
    command = [kubectl(), f"--kubeconfig={plane.kubeconfig}", *arguments]
    return subprocess.run(command, input=content, capture_output=True, text=True, check=False)


def render(
    values: Mapping[str, object] | None = None, *, name: str = "", flags: Sequence[str] = ()
) -> "Rendered":
    """What the chart makes of values, or of those in a file of tests/deploy/values."""
    return _render(json.dumps(values or {}), name, tuple(flags))


def with_instance(flags: Mapping[str, object] | None = None, /, **values: object) -> dict[str, object]:
    """Values with one instance."""
    return {"instances": {"na-ingestor-1": {**INSTANCE, **(flags or {})}}, **values}


@functools.cache
def _render(values: str, name: str, flags: tuple[str, ...]) -> "Rendered":
    files = ["--values", str(values_file(name))] if name else []
    arguments: list[str | Path] = [
        "template",
        RELEASE,
        CHART,
        "--namespace",
        NAMESPACE,
        KUBE_VERSION,
        *files,
        "--values=-",
        *flags,
    ]
    return Rendered(helm(*arguments, content=values))


class Rendered:
    """The objects of a release, found by kind and name."""

    def __init__(self, text: str) -> None:
        self.text = text
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.documents: list[Document] = [one for one in yaml.load_all(text, loader) if one]

    def find(self, kind: str, name: str = "", *, hook: bool = False) -> list[Document]:
        """The objects of a kind, and of a name if one is given; those that are hooks only with `hook`."""
        return [
            one
            for one in self.documents
            if one["kind"] == kind and name in ("", one["metadata"]["name"]) and hook is is_hook(one)
        ]

    def one(self, kind: str, name: str = "", *, hook: bool = False) -> Document:
        """The only such object."""
        (found,) = self.find(kind, name, hook=hook)
        return found

    def workload(self) -> Document:
        """The only CronJob or Deployment."""
        (found,) = [*self.find("CronJob"), *self.find("Deployment")]
        return found

    def pod(self) -> Document:
        """The pod template of the only CronJob or Deployment."""
        return pod_template(self.workload())

    def container(self) -> Document:
        """The container of the only CronJob or Deployment."""
        return container(self.workload())

    def pods(self) -> list[Document]:
        """The pods, and the pod templates of everything that makes pods."""
        return [pod_template(one) for one in self.documents if one["kind"] in _WORKLOADS]


_WORKLOADS = ("CronJob", "Deployment", "Job", "Pod")


def is_hook(document: Document) -> bool:
    """Whether an object is a hook of Helm's, and so no part of the release."""
    return "helm.sh/hook" in (document["metadata"].get("annotations") or {})


def pod_template(document: Document) -> Document:
    """The pod template of a workload; a pod is its own."""
    spec = document["spec"]
    if document["kind"] == "Pod":
        return document
    found: Document = (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]
    return found


def container(document: Document) -> Document:
    """The container of a workload."""
    (found,) = pod_template(document)["spec"]["containers"]
    return dict(found)
