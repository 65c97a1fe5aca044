"""The JSON Schema of what `explain --json` prints."""

from typing import Any

from workflow_manager.core.schema import MARKER
from workflow_manager.core.verdict import BatchState, WindowState
from workflow_manager.survey.as_json import BATCH_TIME, COUNT, OVERLAPS, STAMP, object_schema

_TEXT = {"type": "string"}
_NAMES = {"type": "array", "items": _TEXT}
_RECORD: dict[str, Any] = {
    "type": "object",
    "description": "what the marker records; see the schema of markers",
    "properties": {
        **{name: about for name, about in MARKER["properties"].items() if name != "batches"},
        "batch_count": COUNT | {"description": "batches that an aggregation's last message named"},
    },
    "required": ["version", "marker"],
    "additionalProperties": False,
}
_MARKER = object_schema(
    name=_TEXT,
    record={"anyOf": [_RECORD, {"type": "null"}], "description": "null if the marker does not exist"},
)
_NEXT = {
    "type": "array",
    "description": "what it takes to schedule it; empty if nothing is left to schedule",
    "items": object_schema(
        what=_TEXT, command={"type": ["string", "null"], "description": "quoted for a shell"}
    ),
}
_WINDOW = object_schema(
    kind={"const": "window"},
    aggregation_id=_TEXT,
    begin=STAMP,
    end=STAMP,
    state={"enum": [state.value for state in WindowState]},
    why=_TEXT,
    ready=COUNT,
    incomplete=COUNT,
    validated=COUNT,
    left_out=COUNT,
    overlaps=OVERLAPS,
    marker=_MARKER,
    next=_NEXT,
)
_BATCH = object_schema(
    kind={"const": "batch"},
    aggregation_id=_TEXT,
    batch_id=_TEXT,
    time=BATCH_TIME | {"type": "string"},
    objects=object_schema(ingestion=_NAMES, peer=_NAMES, own=_NAMES),
    ready={"type": "boolean"},
    validated={"type": "boolean"},
    intake={
        "anyOf": [
            object_schema(state={"enum": [state.value for state in BatchState]}, why=_TEXT),
            {"type": "null"},
        ],
        "description": "null unless the batch is ready",
    },
    marker=_MARKER,
    window={"$ref": "#/$defs/window"},
    named_by_its_window={
        "type": ["boolean", "null"],
        "description": "whether the task of its window named it; null if that is unknown or there is no task",
    },
    next=_NEXT,
)
_MALFORMED = object_schema(
    kind={"const": "malformed"},
    name=_TEXT,
    problem=_TEXT,
    buckets={"type": "array", "items": {"enum": ["ingestion", "own", "peer"]}},
    next=_NEXT,
)
EXPLAIN_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "explain",
    "type": "array",
    "items": {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("batch", "window", "malformed")]},
    "$defs": {"window": _WINDOW, "batch": _BATCH, "malformed": _MALFORMED},
}
