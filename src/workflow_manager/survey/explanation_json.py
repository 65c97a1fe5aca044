"""An explanation as JSON."""

import json
from typing import Any

from workflow_manager.core.marker_record import MarkerRecord, marker_name
from workflow_manager.core.verdict import REASONS
from workflow_manager.survey.as_json import overlaps_json
from workflow_manager.survey.explanation import (
    BatchExplanation,
    Explanation,
    MalformedExplanation,
    WindowExplanation,
    remedy,
)


def explanation_json(explained: Explanation, target: str = "") -> dict[str, Any]:
    """An explanation of any kind; see `remedy` for the `target`."""
    match explained:
        case MalformedExplanation(name=name, problem=problem, buckets=buckets):
            return {
                "kind": "malformed",
                "name": name,
                "problem": problem,
                "buckets": buckets,
                "next": _next(explained, target),
            }
        case BatchExplanation():
            return batch_json(explained, target)
        case WindowExplanation():
            return window_explanation_json(explained, target)


def batch_json(explained: BatchExplanation, target: str) -> dict[str, Any]:
    """The explanation of a batch."""
    return {
        "kind": "batch",
        "aggregation_id": explained.aggregation,
        "batch_id": explained.batch.id,
        "time": explained.batch.time,
        "objects": {"ingestion": explained.ingestion, "peer": explained.peer, "own": explained.own},
        "ready": explained.ready,
        "validated": explained.validated,
        "intake": explained.state and {"state": explained.state.value, "why": REASONS[explained.state]},
        "marker": {"name": explained.marker, "record": _record(explained.record)},
        "window": window_explanation_json(explained.window, target),
        "named_by_its_window": explained.named,
        "next": _next(explained, target),
    }


def window_explanation_json(explained: WindowExplanation, target: str) -> dict[str, Any]:
    """The explanation of a window."""
    found = explained.findings
    return {
        "kind": "window",
        "aggregation_id": explained.aggregation,
        "begin": f"{found.window.begin:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{found.window.end:%Y-%m-%dT%H:%M:%SZ}",
        "state": explained.state.value,
        "why": REASONS[explained.state],
        "ready": found.ready,
        "incomplete": found.incomplete,
        "validated": found.validated,
        "left_out": found.left_out,
        "overlaps": overlaps_json(found),
        "marker": {"name": marker_name(explained.marker), "record": _record(explained.record)},
        "next": _next(explained, target),
    }


def _record(record: MarkerRecord | None) -> object:
    """The marker's record, with a count instead of its batches, which can be many."""
    if record is None:
        return None
    facts = json.loads(record.render())
    batches = facts.pop("batches", None)
    return facts | ({} if batches is None else {"batch_count": sum(map(len, batches.values()))})


def _next(explained: Explanation, target: str) -> list[dict[str, str | None]]:
    return [{"what": sentence, "command": command or None} for sentence, command in remedy(explained, target)]
