"""What the process knows of its instances, as JSON."""

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


def _instance(record: Record, now: float) -> dict[str, object]:
    return {
        "name": record.name,
        "labels": dict(record.labels),
        "state": state(record),
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


def state(record: Record) -> str:
    """What became of the last pass of an instance, in words."""
    match record.last:
        case None:
            return "waiting for its first pass"
        case Outcome.DONE:
            return "ok"
        case Outcome.SUPERSEDED:
            return "another process holds the lease"
        case Outcome.FAILED:
            return "failing"


def _time(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
