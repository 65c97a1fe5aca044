"""A survey as JSON, and its schema."""

from typing import Any

from workflow_manager.core.marker_record import timestamp
from workflow_manager.core.verdict import Rules, WindowState
from workflow_manager.core.windows import Window
from workflow_manager.survey.findings import AggregationFindings, SurveyReport, WindowFindings

STAMP = {"type": "string", "format": "date-time"}
COUNT = {"type": "integer", "minimum": 0}
BATCH_TIME = {"type": ["string", "null"], "description": "a batch time, YYYY/MM/DD/HH/MM, UTC"}
_WINDOW = {
    "type": "object",
    "properties": {"begin": STAMP, "end": STAMP},
    "required": ["begin", "end"],
}


def object_schema(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 (a schema is any JSON)
    """An object that has all these properties, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


OVERLAPS = {
    "anyOf": [_WINDOW, {"type": "null"}],
    "description": "a scheduled window of another length that overlaps it",
}
WINDOW_SCHEMA = object_schema(
    begin=STAMP,
    end=STAMP,
    state={"enum": [state.value for state in WindowState]},
    ready=COUNT | {"description": "batches that are ready in the ingestion bucket"},
    incomplete=COUNT,
    validated=COUNT | {"description": "ready batches that the peer has validated"},
    left_out=COUNT | {"description": "validated batches that the task of a scheduled window did not name"},
    left_out_known={
        "type": "boolean",
        "description": "false if the marker does not record which batches the task named",
    },
    left_out_example={"type": ["string", "null"]},
    overlaps=OVERLAPS,
)
STATUS_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "status",
    **object_schema(
        now=STAMP | {"description": "the time for which the states are computed"},
        since=STAMP,
        until=STAMP,
        aggregations={
            "type": "array",
            "items": object_schema(
                aggregation_id={"type": "string"},
                malformed=COUNT,
                intake=object_schema(
                    ready=COUNT,
                    incomplete=COUNT,
                    scheduled=COUNT,
                    due=COUNT,
                    too_old=COUNT | {"description": "ready, unmarked, and before the intake window"},
                    too_early=COUNT | {"description": "ready, unmarked, and after the intake window"},
                    oldest_due=BATCH_TIME,
                    newest=BATCH_TIME,
                ),
                windows={"type": "array", "items": WINDOW_SCHEMA},
            ),
        },
        failures={
            "type": "array",
            "items": {"type": "string"},
            "description": "why the report is incomplete",
        },
    ),
}


def report_json(report: SurveyReport, period: Window) -> dict[str, Any]:
    """A survey of `period` in the format of `STATUS_SCHEMA`."""
    return {
        "now": timestamp(report.rules.now),
        "since": timestamp(period.begin),
        "until": timestamp(period.end),
        "aggregations": [_aggregation(one, report.rules) for one in report.aggregations.values()],
        "failures": report.failures,
    }


def window_json(found: WindowFindings, rules: Rules) -> dict[str, Any]:
    """One window in the format of `WINDOW_SCHEMA`."""
    example = found.example
    return {
        "begin": timestamp(found.window.begin),
        "end": timestamp(found.window.end),
        "state": found.state(rules).value,
        "ready": found.ready,
        "incomplete": found.incomplete,
        "validated": found.validated,
        "left_out": found.left_out,
        "left_out_known": found.recorded or not found.marked,
        "left_out_example": f"{example.time}/{example.id}" if example else None,
        "overlaps": overlaps_json(found),
    }


def overlaps_json(found: WindowFindings) -> dict[str, str] | None:
    """The scheduled window of another length that overlaps this one, if any."""
    other = found.overlaps
    return None if other is None else {"begin": timestamp(other.begin), "end": timestamp(other.end)}


def _aggregation(found: AggregationFindings, rules: Rules) -> dict[str, Any]:
    intake = found.intake
    return {
        "aggregation_id": found.aggregation,
        "malformed": found.malformed,
        "intake": {
            "ready": intake.ready,
            "incomplete": intake.incomplete,
            "scheduled": intake.scheduled,
            "due": intake.due,
            "too_old": intake.too_old,
            "too_early": intake.too_early,
            "oldest_due": intake.oldest_due or None,
            "newest": intake.newest or None,
        },
        "windows": [window_json(one, rules) for one in found.windows],
    }
