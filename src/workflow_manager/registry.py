"""Finds the adapter for a URL scheme or a kind of queue: the only door to them.

Those of other packages are entry points: `workflow_manager.stores` and `workflow_manager.notifications`
by URL scheme, `workflow_manager.queues` by kind. They are looked for only if a name is none of our own:
to read all that is installed would take up to a third of a short run's time.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.notices import NotificationSource
from workflow_manager.ports import ObjectStore, TaskQueue

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

STORES = "workflow_manager.stores"
QUEUES = "workflow_manager.queues"
SOURCES = "workflow_manager.notifications"

_OURS = {
    STORES: {
        "file": "storage.local:LocalStore",
        "gs": "storage.gcs:GcsStore",
        "memory": "storage.memory:MemoryStore",
        "s3": "storage.s3:S3Store",
    },
    QUEUES: {
        "aws-sns": "queues.sns:SnsQueue",
        "aws-sqs": "queues.sqs:SqsQueue",
        "gcp-pubsub": "queues.pubsub:PubSubQueue",
        "kubernetes-jobs": "queues.kubernetes:KubernetesJobs",
        "memory": "queues.in_memory:MemoryQueue",
        "nats": "queues.nats:NatsQueue",
        "rabbitmq": "queues.rabbitmq:RabbitQueue",
        "redis": "queues.redis:RedisQueue",
        "sqlite": "queues.sqlite:SqliteQueue",
    },
    SOURCES: {
        "file": "notifications.directories:WatchedDirectory",
        "pubsub": "notifications.subscriptions:PubSubNotifications",
        "sqs": "notifications.sqs_queues:SqsNotifications",
    },
}


def store(scheme: str) -> type[ObjectStore]:
    """The kind of store for URLs with this scheme; raises ConfigError if there is none."""
    found: type[ObjectStore] = _load(STORES, scheme, "scheme of a bucket URL")
    return found


def queue(kind: str) -> type[TaskQueue]:
    """The kind of queue of this name; raises ConfigError if there is none."""
    found: type[TaskQueue] = _load(QUEUES, kind, "kind of queue")
    return found


def source(scheme: str) -> type[NotificationSource]:
    """The kind of source of notifications for URLs with this scheme; raises ConfigError if there is none."""
    found: type[NotificationSource] = _load(SOURCES, scheme, "scheme of a source of notifications")
    return found


def is_queue_kind(name: str) -> bool:
    """Whether there is a kind of queue of this name."""
    return name in _OURS[QUEUES] or name in _others(QUEUES)


def queue_kinds() -> list[str]:
    """The names of all kinds of queue that are installed."""
    return sorted({*_OURS[QUEUES], *_others(QUEUES)})


def _load(group: str, name: str, what: str) -> type:
    if name in _OURS[group]:
        module, _, attribute = _OURS[group][name].partition(":")
        ours: type = getattr(import_module(f"{__package__}.{module}"), attribute)
        return ours
    others = _others(group)
    if name not in others:
        ending = "" if group == QUEUES else "://"
        known = ", ".join(f"{known}{ending}" for known in sorted({*_OURS[group], *others}))
        raise ConfigError([Mistake("", "", f"{name!r} is not a known {what}; use one of: {known}")])
    theirs: type = others[name].load()
    return theirs


@cache
def _others(group: str) -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points  # noqa: PLC0415 (see above)

    return {point.name: point for point in entry_points(group=group)}
