"""How events put tasks, windows and other people's names into words."""

from workflow_manager.core.tasks import AggregationTask, IntakeTask, Task
from workflow_manager.core.windows import Window

LONGEST = 200  # characters of a name that anyone needs to see


def describe(task: Task) -> str:
    """A task in words."""
    of = quote(task.aggregation)
    match task:
        case IntakeTask(batch=batch):
            return f"the intake of batch {quote(batch.id)} of {of} at {batch.time}"
        case AggregationTask(window=window, batches=batches):
            return f"the aggregation of {len(batches)} batches of {of} from {span(window)}"


def task_fields(task: Task) -> dict[str, object]:
    """The fields that every log line about a task has."""
    match task:
        case IntakeTask(batch=batch):
            return {"aggregation ID": task.aggregation, "batch ID": batch.id, "date": batch.time}
        case AggregationTask(window=window, batches=batches):
            return {
                "aggregation ID": task.aggregation,
                "batch count": len(batches),
                "aggregation window": iso_interval(window),
            }


def quote(name: str) -> str:
    """A name that others chose, in quotes, with nothing in it that could pass for our own words."""
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"


def span(window: Window) -> str:
    """A window for a person to read, UTC."""
    return f"{window.begin:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"


def iso_interval(window: Window) -> str:
    """A window as an ISO 8601 interval."""
    return f"{window.begin:%Y-%m-%dT%H:%MZ}/{window.end:%Y-%m-%dT%H:%MZ}"
