"""The messages as JSON Schema, for those who read them."""

from typing import Any

_TIME = {"type": "string", "pattern": "^[0-9]{4}(/[0-9]{2}){4}$", "description": "YYYY/MM/DD/HH/MM, UTC"}
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
