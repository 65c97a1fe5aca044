"""The messages as JSON Schema, for those who read them."""

from typing import Any

from workflow_manager.core.marker_record import VERSION

_TIME = {"type": "string", "pattern": "^[0-9]{4}(/[0-9]{2}){4}$", "description": "YYYY/MM/DD/HH/MM, UTC"}
_STAMP = {"type": "string", "format": "date-time"}
_TRACE = {"type": "string", "format": "uuid", "description": "new for each message; log lines have it, too"}
_AGGREGATION = {"type": "string", "minLength": 1, "description": "what is aggregated"}
_BATCH = {
    "type": "string",
    "minLength": 1,
    "pattern": "^[^/]+$",
    "description": "a UUID, unless run with --batch-ids=any",
}


def _message(title: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": {"trace-id": _TRACE, "aggregation-id": _AGGREGATION, **properties},
        "required": ["trace-id", "aggregation-id", *properties],
        "additionalProperties": False,
    }


MARKER: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "marker",
    "type": "object",
    "properties": {
        "version": {"const": VERSION},
        "marker": {"type": "string", "description": "the marker's name without `task-markers/`"},
        "trace-id": _TRACE | {"description": "trace ID of the task's first message"},
        "time": _STAMP | {"description": "when the marker was first written, UTC"},
        "topic": {"type": "string", "description": "where the task was published"},
        "writer": {
            "type": "object",
            "properties": {"host": {"type": "string"}, "version": {"type": "string"}},
            "required": ["host", "version"],
        },
        "batches": {
            "type": "object",
            "description": "of an aggregation: the IDs of the batches that its last message named, by time",
            "propertyNames": {"pattern": _TIME["pattern"]},
            "additionalProperties": {"type": "array", "minItems": 1, "items": _BATCH},
        },
        "scheduled-again": {
            "type": "array",
            "description": "each time that the task was published again, in order",
            "items": {
                "type": "object",
                "properties": {
                    "time": _STAMP,
                    "trace-id": _TRACE,
                    "host": {"type": "string"},
                    "reason": {"type": "string"},
                },
                "required": ["time", "trace-id", "host", "reason"],
            },
        },
    },
    "required": ["version", "marker"],
}
INTAKE = _message("intake task", {"batch-id": _BATCH, "date": _TIME})
AGGREGATION = _message(
    "aggregation task",
    {
        "aggregation-start": _TIME,
        "aggregation-end": _TIME | {"description": "the window is without this time"},
        "batches": {
            "type": "array",
            "minItems": 1,
            "description": "in order of time",
            "items": {
                "type": "object",
                "properties": {"id": _BATCH, "time": _TIME},
                "required": ["id", "time"],
                "additionalProperties": False,
            },
        },
    },
)
