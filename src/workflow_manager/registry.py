"""Finds the adapter for a URL scheme or a kind of queue: the only door to them.

Adapters are entry points, those that come with this package as well as anyone else's:
`workflow_manager.stores` by URL scheme, `workflow_manager.queues` by kind.
"""

from importlib.metadata import EntryPoint, entry_points

from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import ObjectStore, TaskQueue

STORES = "workflow_manager.stores"
QUEUES = "workflow_manager.queues"


def store(scheme: str) -> type[ObjectStore]:
    """The kind of store for URLs with this scheme; raises ConfigError if there is none."""
    found: type[ObjectStore] = _load(STORES, scheme, "a bucket's URL begins with")
    return found


def queue(kind: str) -> type[TaskQueue]:
    """The kind of queue of this name; raises ConfigError if there is none."""
    found: type[TaskQueue] = _load(QUEUES, kind, "kinds of queue are")
    return found


def queue_kinds() -> list[str]:
    """The names of all kinds of queue that are installed."""
    return sorted(entry_points(group=QUEUES).names)


def _load(group: str, name: str, introduction: str) -> type:
    points = entry_points(group=group)
    point: EntryPoint | None = next(iter(points.select(name=name)), None)
    if point is None:
        ending = "://" if group == STORES else ""
        known = ", ".join(f"{known}{ending}" for known in sorted(points.names))
        raise ConfigError([Mistake("", "", f"there is no {name!r}: {introduction} {known}")])
    loaded: type = point.load()
    return loaded
