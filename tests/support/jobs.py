"""Jobs made of tasks: templates, an open queue on a control plane, and what containers would see."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers.kubernetes import ControlPlane
from workflow_manager.ports import RetryPolicy, Settings
from workflow_manager.queues.kubernetes import KubernetesJobs

TEMPLATE = """\
apiVersion: batch/v1
kind: Job
metadata:
  labels: {team: statistics}
spec:
  backoffLimit: 2
  template:
    metadata:
      annotations: {example.com/started: 2020-10-31}
    spec:
      restartPolicy: Never
      containers:
        - name: facilitator
          image: facilitator
          args: ["--batch-id=$(BATCH_ID)"]
          env:
            - {name: RUST_LOG, value: info}
"""
# What a run needs, as the how-to page grants it.
RULES = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get"]},
)
# What those need who use the command `jobs`.
OPERATOR_RULES = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "get", "list"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
)


def templates(folder: Path, text: str = TEMPLATE) -> dict[str, object]:
    """The options that name a template of each topic; both are this text."""
    found: dict[str, object] = {}
    for topic in ("intake", "aggregate"):
        path = folder / f"{topic}.yaml"
        path.write_text(text)
        found[f"kubernetes-job-template-{topic}"] = str(path)
    return found


def jobs_queue(
    plane: ControlPlane,
    namespace: str,
    folder: Path,
    *,
    token: str = "",
    text: str = TEMPLATE,
    labels: Mapping[str, str] | None = None,
    marker_bucket: str = "",
    options: Mapping[str, object] | None = None,
) -> KubernetesJobs:
    """A queue whose Jobs are in a namespace of a control plane."""
    kubeconfig = plane.kubeconfig_for(token or plane.token, namespace)
    given = {**templates(folder, text), "kubernetes-kubeconfig": str(kubeconfig), **(options or {})}
    settings = Settings(given, retry_policy=RetryPolicy(), labels=labels or {}, marker_bucket=marker_bucket)
    return KubernetesJobs.open(settings)


def jobs(plane: ControlPlane, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """The Jobs in a namespace."""
    query = f"?labelSelector={selector}" if selector else ""
    found = plane.ask("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs{query}")
    return list(found["items"])


def environment(job: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a Job's first container as the container sees them."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: expanded(entry["value"]) for entry in container["env"]}


def message_of(plane: ControlPlane, job: Mapping[str, Any]) -> bytes:
    """The message that a Job was made of."""
    variables = environment(job)
    if "TASK" in variables:
        return variables["TASK"].encode()
    metadata = job["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/configmaps/{metadata['name']}"
    return str(plane.ask("GET", path)["data"][Path(variables["TASK_FILE"]).name]).encode()


def expanded(text: str, variables: Mapping[str, str] | None = None) -> str:
    """A text as Kubernetes expands it: `$$` is a dollar, and references to nothing stay as they are."""
    known = variables or {}

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else known.get(match[1][1:-1], match[0])

    return re.sub(r"\$(\$|\([^)]*\))", replaced, text)


def task_body(**fields: object) -> bytes:
    """A message with these fields, `_` for `-`."""
    return json.dumps({name.replace("_", "-"): value for name, value in fields.items()}).encode()
