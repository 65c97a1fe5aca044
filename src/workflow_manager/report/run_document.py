"""The report of a run as one JSON document: what `run --json` prints."""

from dataclasses import dataclass
from typing import Any

from workflow_manager.core.report import Figures, RunReport
from workflow_manager.core.windows import Window
from workflow_manager.report.json_form import plain, record_schema

# Raised when a field is removed, or its meaning changes; fields may be added under the same version.
VERSION = 1

# The fields of RunReport that say less by their own names when they stand alone.
_NAMES = {"figures": "aggregations", "failed": "failures_by_kind"}


@dataclass(frozen=True, slots=True)
class RunDocument:
    """The envelope of the report of a run.

    `version` is the version of the format. `locality` and `ingestor` are empty if their flags are not set.
    Windows are half-open, UTC. `succeeded` says whether everything that was due is published and marked;
    `totals` has the sums over all aggregations.
    """

    exit_status: int
    locality: str
    ingestor: str
    intake_window: Window
    aggregation_window: Window
    succeeded: bool
    totals: Figures
    version: int = VERSION


def document(around: RunDocument, report: RunReport) -> dict[str, Any]:
    """The report in its envelope, as one JSON object."""
    told = {_NAMES.get(name, name): value for name, value in plain(report).items()}
    return {**plain(around), **told}


def schema() -> dict[str, Any]:
    """The JSON Schema of `document`."""
    definitions: dict[str, Any] = {}
    outer, inner = (record_schema(kind, definitions) for kind in (RunDocument, RunReport))
    told = {_NAMES.get(name, name): value for name, value in inner["properties"].items()}
    description = inner["description"]
    for name, ours in _NAMES.items():
        description = description.replace(f"`{name}`", f"`{ours}`")
    properties = outer["properties"] | told | {"version": {"const": VERSION}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report of a run",
        "type": "object",
        "description": f"{outer['description']} {description}",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": definitions,
    }
