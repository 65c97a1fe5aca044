"""Configuration -> parts: the only place that asks the registry for stores and queues."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from workflow_manager import registry
from workflow_manager.config import Config
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.pipeline.publish import Topics
from workflow_manager.pipeline.scheduler import LeaseTerms, Orders, Workers
from workflow_manager.ports import ObjectStore, Option, Settings, TaskQueue


def queue_kinds() -> Sequence[str]:
    """The names of the kinds of queue that are installed."""
    return registry.queue_kinds()


def is_queue_kind(name: str) -> bool:
    """Whether there is a kind of queue of this name."""
    return registry.is_queue_kind(name)


def queue_options(kind: str) -> Sequence[Option]:
    """The flags of a kind of queue."""
    return registry.queue(kind).options


def open_store(flag: str, url: str, settings: Settings, opened: ExitStack) -> ObjectStore:
    """The bucket at a URL given with `flag`, to be closed with `opened`; raises ConfigError."""
    with _naming(flag, url):
        store = registry.store(urlsplit(url).scheme).open(url, settings)
    opened.callback(store.close)
    return store


def open_queue(kind: str, settings: Settings, opened: ExitStack) -> TaskQueue:
    """The queue of a kind, to be closed with `opened`; raises ConfigError."""
    with _naming("--task-queue-kind", kind):
        queue = registry.queue(kind).open(settings)
    opened.callback(queue.close)
    return queue


def orders(config: Config, ingestion: str) -> Orders:
    """What the run is to do. Runs over the same `ingestion` bucket exclude each other."""
    scope = hashlib.sha256(ingestion.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Orders(
        config.intake,
        config.aggregation,
        Topics(config.intake_tasks_topic, config.aggregate_tasks_topic),
        config.is_first,
        Workers(config.max_list_workers, config.max_enqueue_workers, config.max_marker_workers),
        LeaseTerms(scope, config.lease_duration.total_seconds()) if config.lease else None,
        # One request that nobody answers is no reason yet, but a few side by side are.
        config.request_timeout.total_seconds() / 2,
    )


@contextmanager
def _naming(flag: str, value: str) -> Iterator[None]:
    """Name the flag in mistakes that an adapter, which knows nothing of flags, has found."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            mistake if mistake.flag else Mistake(flag, value, mistake.problem) for mistake in error.mistakes
        ) from None
