"""Make what is derived in this folder: `make chart`.

- the chart's values.schema.json, from the flags of the program, and which of them only `serve` has;
- its copies of the alerts and of the dashboard, because a chart can include only its own files;
- the bases in kustomize/, from the chart.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from workflow_manager import __version__
from workflow_manager.assembly import flags_of_kind
from workflow_manager.cli import serve
from workflow_manager.config.flags import Flags
from workflow_manager.config.fleet_flags import FLEET, SERVED
from workflow_manager.config.instances_schema import schema
from workflow_manager.fleet import PROCESS_FLAGS

DEPLOY = Path(__file__).parent
CHART = DEPLOY / "helm" / "workflow-manager"
KUSTOMIZE = DEPLOY / "kustomize"
COPIES = {
    DEPLOY / "prometheus" / "alerts.yaml": CHART / "files" / "alerts.yaml",
    DEPLOY / "grafana" / "workflow-manager.json": CHART / "files" / "workflow-manager.json",
}
# Set by the chart itself, or not for pods.
_CHARTS_OWN = {"config", "instance", "listen", "shard", "shard-count"}
_HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance")

_MADE = "# Made by 'make chart'.\n"
_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1}
_BOOLEAN = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_LIST = {"type": "array"}
_TEXTS = {"type": "array", "items": _TEXT}
_OBJECT = {"type": "object"}
_STRINGS = {"type": "object", "additionalProperties": _TEXT}


def values_schema() -> str:
    """The schema of the chart's values: strict, and with every flag that an instance can have."""
    run = flags_of_kind("run", "", "", FLEET, SERVED)
    instances = schema(run, PROCESS_FLAGS)
    defs: Any = instances["$defs"]
    of_instances: Any = instances["properties"]
    defs["reference"] = {"anyOf": [defs["reference"], _key_ref("secretKeyRef"), _key_ref("configMapKeyRef")]}
    _allow_empty(defs["flags"])
    of_instances["instances"].pop("minProperties")  # an existing file of instances takes their place
    properties = {
        **{name: of_instances[name] for name in ("defaults", "instances")},
        "process": _plain_flags(run, only=PROCESS_FLAGS - {option.name for option in FLEET.options}),
        **_chart_properties(_plain_flags(serve.FLAGS, but=_CHARTS_OWN)),
    }
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart workflow-manager",
        **_closed(properties),
        "$defs": defs,
    }
    return json.dumps(document, indent=2) + "\n"


def serve_flags() -> str:
    """The flags of an instance that a run does not have."""
    return _yaml([[option.name for option in SERVED.options]])


def _chart_properties(serve_flags: dict[str, object]) -> dict[str, object]:
    return {
        "mode": {"enum": ["cronjob", "serve"]},
        "extraArgs": _TEXTS,
        "image": _closed(
            {
                "repository": _NAME,
                "tag": _TEXT,
                "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            }
        ),
        "imagePullSecrets": {"type": "array", "items": _closed({"name": _NAME})},
        "nameOverride": _TEXT,
        "fullnameOverride": _TEXT,
        "cronJob": _closed(
            {
                "schedule": _TEXT,
                "schedules": {"type": "object", "additionalProperties": _NAME},
                "suspend": _BOOLEAN,
                "startingDeadlineSeconds": {"type": "integer", "minimum": 10},
                "backoffLimit": _COUNT,
                "startupSeconds": _COUNT,
                "successfulJobsHistoryLimit": _COUNT,
                "failedJobsHistoryLimit": _COUNT,
            }
        ),
        "serve": _closed(
            {
                "replicas": _COUNT,
                "shards": {"type": "integer", "minimum": 1, "maximum": 9999},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "flags": serve_flags,
                "file": _closed({"kind": {"enum": ["ConfigMap", "Secret"]}, "existing": _TEXT}),
            }
        ),
        "jobTemplates": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"},
            "additionalProperties": {"type": "object", "required": ["spec"]},
        },
        "rbac": _closed({"create": _BOOLEAN, "namespaces": _TEXTS}),
        "serviceAccount": _closed({"create": _BOOLEAN, "name": _TEXT, "annotations": _STRINGS}),
        "check": _closed({"enabled": _BOOLEAN, "timeoutSeconds": {"type": "integer", "minimum": 1}}),
        "networkPolicy": _closed({"enabled": _BOOLEAN, "ingressFrom": _LIST, "egress": _LIST}),
        "resources": _closed({"requests": _OBJECT, "limits": _OBJECT, "claims": _LIST}),
        "podSecurityContext": _OBJECT,
        "securityContext": _OBJECT,
        "extraEnv": _LIST,
        "extraEnvFrom": _LIST,
        "extraVolumes": _LIST,
        "extraVolumeMounts": _LIST,
        "podLabels": _STRINGS,
        "podAnnotations": _STRINGS,
        "nodeSelector": _STRINGS,
        "tolerations": _LIST,
        "affinity": _OBJECT,
        "topologySpreadConstraints": _LIST,
        "priorityClassName": _TEXT,
        "commonLabels": _STRINGS,
        "prometheusRule": _closed({"enabled": _BOOLEAN, "labels": _STRINGS, "runbookBase": _TEXT}),
        "grafanaDashboard": _closed({"enabled": _BOOLEAN, "labels": _STRINGS, "annotations": _STRINGS}),
        "serviceMonitor": _closed({"enabled": _BOOLEAN, "interval": _NAME, "labels": _STRINGS}),
        "global": _OBJECT,  # what a parent chart gives to all its charts
    }


def _closed(properties: dict[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _key_ref(kind: str) -> dict[str, object]:
    reference = {"name": _NAME, "key": _NAME, "optional": _BOOLEAN}
    return {**_closed({kind: {**_closed(reference), "required": ["name", "key"]}}), "required": [kind]}


def _plain_flags(
    flags: Flags, *, only: frozenset[str] | None = None, but: set[str] | None = None
) -> dict[str, object]:
    """Flags that hold for the process, whose values are no references."""
    names = {option.name for _, options in flags.groups for option in options}
    chosen = (names if only is None else only) - (but or set())
    defs: Any = schema(flags, names - chosen)["$defs"]
    for flag in defs["flags"]["properties"].values():
        flag["anyOf"] = [choice for choice in flag["anyOf"] if "$ref" not in choice]
    _allow_empty(defs["flags"])
    found: dict[str, object] = defs["flags"]
    return found


def _allow_empty(flags: Any) -> None:  # noqa: ANN401 (a JSON Schema)
    """An empty value means "not given", and removes a default; Helm drops a null instead of passing it on."""
    for flag in flags["properties"].values():
        flag["anyOf"] = [
            {"enum": ["", None]} if choice == {"type": "null"} else choice for choice in flag["anyOf"]
        ]


def kustomize_files(folder: Path, helm: str) -> dict[Path, str]:
    """What the chart makes of a folder's values.yaml, as bases without hooks and what else is Helm's own.

    The CronJob is a base of its own, which an overlay takes once for each instance. The data of ConfigMaps
    are files, for Kustomize to generate the ConfigMaps from: a change then replaces the pods.
    """
    command = [helm, "template", "workflow-manager", str(CHART), "--kube-version", "1.36.0", "--no-hooks"]
    command += ["--namespace", "default", "--values", str(folder / "values.yaml")]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bases: dict[str, list[Any]] = {}
    files: dict[Path, str] = {}
    generators: dict[str, list[Any]] = {}
    for document in filter(None, yaml.safe_load_all(rendered)):
        _strip(document)
        base = "instance" if document["kind"] == "CronJob" else "common" if folder.name != "serve" else ""
        if document["kind"] == "ConfigMap":
            files |= {folder / base / name: text for name, text in document["data"].items()}
            generator = {"name": document["metadata"]["name"], "files": list(document["data"])}
            generators.setdefault(base, []).append(generator)
        else:
            bases.setdefault(base, []).append(document)
    for base, documents in bases.items():
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["resources.yaml"],
            **({"configMapGenerator": generators[base]} if base in generators else {}),
            # A CronJob's pods read the newest anyway; a hash in the name would not reach the other base.
            **({"generatorOptions": {"disableNameSuffixHash": True}} if base in generators and base else {}),
        }
        files[folder / base / "kustomization.yaml"] = _yaml([kustomization])
        files[folder / base / "resources.yaml"] = _yaml(documents)
    return files


def _yaml(documents: list[Any]) -> str:
    return _MADE + yaml.safe_dump_all(documents, sort_keys=False, width=110)


def _strip(value: Any) -> None:  # noqa: ANN401 (a YAML document)
    """Remove labels of Helm and the namespace, which a kustomization sets."""
    if isinstance(value, list):
        for item in value:
            _strip(item)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("metadata"), dict):
        value["metadata"].pop("namespace", None)
    for key, item in value.items():
        if key in ("labels", "matchLabels") and isinstance(item, dict):
            for label in _HELM_LABELS:
                item.pop(label, None)
        elif key == "subjects":
            for subject in item:
                subject.pop("namespace", None)
        _strip(item)


def main() -> int:
    """Write all of it; the path of Helm is the environment's HELM."""
    (CHART / "values.schema.json").write_text(values_schema())
    (CHART / "files" / "serve-flags.yaml").write_text(serve_flags())
    for source, copy in COPIES.items():
        if source.exists():
            shutil.copyfile(source, copy)
    manifest = CHART / "Chart.yaml"
    lines = manifest.read_text().splitlines()
    versioned = {"version": __version__, "appVersion": __version__}
    manifest.write_text(
        "".join(
            f"{name}: {versioned[name]}\n" if (name := line.partition(":")[0]) in versioned else f"{line}\n"
            for line in lines
        )
    )
    helm = os.environ.get("HELM") or shutil.which("helm")
    if helm is None:
        print("kustomize/ is not made: Helm is not installed, and HELM does not name it", file=sys.stderr)
        return 1
    for values in sorted(KUSTOMIZE.glob("*/values.yaml")):
        for path, text in kustomize_files(values.parent, helm).items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
