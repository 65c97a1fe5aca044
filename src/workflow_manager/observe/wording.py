"""How events put tasks, windows and other people's names into words."""

from datetime import datetime

from workflow_manager.core.names import Part
from workflow_manager.core.plan import Skip
from workflow_manager.core.report import FIGURES, Kind, RunReport
from workflow_manager.core.task_messages import AggregationTask, IntakeTask, Task
from workflow_manager.core.windows import Window

AGAIN = "the next run publishes it again"
LONGEST = 200  # characters of a name that anyone needs to see
# The figures that the last line of a run has.
_ALSO_TOLD = ("malformed_objects_found", "aggregate_batches_left_out")
_TOLD = tuple(name for name in FIGURES if "tasks" in name or name in _ALSO_TOLD)
_PARTS = {
    Part.HEADER: "header",
    Part.PACKETS: "packets",
    Part.SIGNATURE: "signature",
    Part.OTHER: "other",
}
# The fields of an event that have another name in a log line.
_LABELS = {"aggregation": "aggregation_id"}


def describe(task: Task) -> str:
    """A task in words."""
    of = quote(task.aggregation)
    match task:
        case IntakeTask(batch=batch):
            return f"the intake of batch {quote(batch.id)} of {of} at {batch.time}"
        case AggregationTask(window=window, batches=batches):
            return f"the aggregation of {counted(len(batches), 'batch')} of {of} from {span(window)}"


def overlap(marked: Window) -> str:
    """Why a window that overlaps `marked` is not aggregated, and what to do."""
    return (
        f"the window {span(marked)} overlaps it and is already scheduled, so batches would be summed"
        " twice; restore --aggregation-period, or set --allow-overlapping-windows"
    )


def as_fields(name: str, value: object) -> dict[str, object]:
    """A field of an event as JSON log lines have it: plain values, under names in snake_case."""
    label = _LABELS.get(name, name)
    match value:
        case str() if not isinstance(value, Skip):
            pass  # the most frequent, so that the others are not tried first
        case IntakeTask() | AggregationTask():
            return task_fields(value)
        case Window():
            return {f"{'aggregation' if name == 'window' else name}_window": iso_interval(value)}
        case Skip():
            return {label: value.name.lower()}
        case tuple():
            return {label: [quote(example.key) for example in value]}
    return {label: moment(value) if isinstance(value, datetime) else value}


def task_fields(task: Task) -> dict[str, object]:
    """A task for machines."""
    if isinstance(task, AggregationTask):
        about = {"batch_count": len(task.batches), "aggregation_window": iso_interval(task.window)}
        return {"aggregation_id": task.aggregation, **about, "marker": task.marker}
    time, batch_id = task.batch
    return {"aggregation_id": task.aggregation, "batch_id": batch_id, "date": time, "marker": task.marker}


def outcome(report: RunReport) -> str:
    """What a run did, and what failed and how often."""
    total = report.total()
    did = "would schedule" if report.dry_run else "scheduled"
    text = (
        f"{did} {counted(total.intake_tasks_scheduled, 'intake task')}"
        f" and {counted(total.aggregation_tasks_scheduled, 'aggregation task')}"
        f" of {counted(report.aggregations, 'aggregation')}"
    )
    if total.aggregate_batches_left_out:
        text += f"; {counted(total.aggregate_batches_left_out, 'batch')} left out of scheduled aggregations"
    if total.malformed_objects_found:
        text += f"; {counted(total.malformed_objects_found, 'malformed object')}"
    if report.failure_count:
        kinds = (f"{count} {kind}" for kind, count in report.failed.items() if count)
        text += f"; {counted(report.failure_count, 'failure')} ({', '.join(kinds)})"
    if total.intake_tasks_left or total.aggregation_tasks_left:
        text += f"; {tasks(total.intake_tasks_left, total.aggregation_tasks_left)} left for the next run"
    return f"{text}; stopped early: {report.stopped}" if report.stopped else text


def outcome_fields(report: RunReport) -> dict[str, object]:
    """The same for machines."""
    total = report.total()
    return {
        "succeeded": report.succeeded,
        **{figure: getattr(total, figure) for figure in _TOLD},
        "failures": report.failure_count,
        **{f"{kind}_failures": report.failed.get(kind, 0) for kind in Kind},
        "stopped": report.stopped,
        "interrupted": report.interrupted,
        "superseded": report.superseded,
        "runtime_seconds": round(report.runtime_seconds, 3),
    }


def parts_of(parts: int) -> list[str]:
    """The names of the objects that a batch has, for machines."""
    return [name for part, name in _PARTS.items() if parts & part]


def only(parts: int) -> str:
    """The objects that an incomplete batch has, for people."""
    named = " and ".join(name for name in parts_of(parts & Part.ALL))
    return f"only its {named}" if named else "only an unknown object"


def counted(count: int, what: str) -> str:
    """A number of things, in the singular if it is one: `what` is the singular."""
    if count == 1:
        return f"1 {what}"
    return f"{count} {what}{'es' if what.endswith('ch') else 's'}"


def tasks(intake: int, aggregation: int) -> str:
    """Numbers of tasks of both kinds, without those of which there is none."""
    counts = ((intake, "intake task"), (aggregation, "aggregation task"))
    return " and ".join(counted(count, what) for count, what in counts if count)


def quote(name: str) -> str:
    """A name that others chose, in quotes, with nothing in it that could pass for our own words."""
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"


def span(window: Window) -> str:
    """A window for a person to read, UTC."""
    return f"{window.begin:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"


def moment(time: datetime) -> str:
    """A time as RFC 3339 has it, UTC."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def iso_interval(window: Window) -> str:
    """A window as an ISO 8601 interval."""
    return f"{window.begin:%Y-%m-%dT%H:%MZ}/{window.end:%Y-%m-%dT%H:%MZ}"
