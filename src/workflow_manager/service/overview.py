"""What the process knows of its instances, as JSON and as a plain page."""

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from workflow_manager import __version__
from workflow_manager.service.records import Record, Records
from workflow_manager.service.timing import Outcome

FORMAT = 1  # of the JSON document; raised when a field changes its meaning or goes


def overview(records: Records, shard: str, started: float, now: float) -> dict[str, object]:
    """The state of all instances; times in RFC 3339, ages in seconds."""
    return {
        "format": FORMAT,
        "version": __version__,
        "time": _time(now),
        "started": _time(started),
        "shard": shard,
        "instances": [_instance(record, now) for record in records.all()],
    }


def page(document: Mapping[str, object]) -> str:
    """The overview as a page of HTML, with nothing from elsewhere and all names escaped."""
    instances = document["instances"]
    rows = "".join(_row(one) for one in instances) if isinstance(instances, list) else ""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>workflow-manager</title></head>'
        f"<body><h1>workflow-manager {_text(document['version'])}</h1><p>{_text(document['time'])}, shard "
        f'{_text(document["shard"])}. <a href="metrics">Metrics</a>, <a href="status.json">JSON</a>.</p>'
        "<table><thead><tr><th>Instance</th><th>State</th><th>Last pass</th><th>Last success</th>"
        "<th>Intake tasks</th><th>Aggregation tasks</th><th>Failures</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>\n"
    )


def _instance(record: Record, now: float) -> dict[str, object]:
    return {
        "name": record.name,
        "labels": dict(record.labels),
        "state": _state(record),
        "interval_seconds": record.interval,
        "running": record.running,
        "last_pass": _time(record.ended),
        "last_pass_age_seconds": round(now - record.ended, 3) if record.ended else None,
        "last_success": _time(record.succeeded),
        "last_failure": _time(record.failed),
        "passes": {outcome.value: count for outcome, count in record.passes.items()},
        "passes_after_notifications": record.hinted,
        "intake_tasks_scheduled": record.intake_tasks,
        "aggregation_tasks_scheduled": record.aggregation_tasks,
        "backlog_tasks": record.backlog(),
        "aggregations": len(record.report.figures) if record.report else None,
        "failures": list(record.failures),
    }


def _state(record: Record) -> str:
    match record.last:
        case None:
            return "waiting for its first pass"
        case Outcome.DONE:
            return "ok"
        case Outcome.SUPERSEDED:
            return "another process holds the lease"
        case Outcome.FAILED:
            return "failing"


def _row(instance: Mapping[str, object]) -> str:
    failures = instance["failures"]
    shown: Sequence[object] = failures if isinstance(failures, list) else ()
    cells = (
        *(instance["name"], instance["state"], instance["last_pass"], instance["last_success"]),
        *(instance["intake_tasks_scheduled"], instance["aggregation_tasks_scheduled"]),
        "; ".join(map(str, shown[:3])),
    )
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return html.escape("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text))


def _time(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
