"""A scheduler over buckets and a queue in memory, with faults put in where a test wants them."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from workflow_manager.core.names import BatchIds
from workflow_manager.core.report import RunReport
from workflow_manager.core.windows import HOUR, aggregation_window, intake_window
from workflow_manager.errors import QueueError, QueueFullError, StorageError
from workflow_manager.observe.event import Event
from workflow_manager.pipeline.publish import Topics
from workflow_manager.pipeline.scheduler import Buckets, LeaseTerms, RunSpec, Scheduler, Workers
from workflow_manager.ports import Limits, Message
from workflow_manager.queues.in_memory import MemoryQueue
from workflow_manager.storage.memory import MemoryStore

NOW = datetime(2026, 11, 23, 4, 20, tzinfo=UTC)
PARTS = ("", ".avro", ".sig")


class FaultyStore(MemoryStore):
    """A bucket that fails where `fails` says so: it gets the operation and the prefix or key."""

    def __init__(self, url: str, page_size: int = 1000) -> None:
        super().__init__(url, page_size)
        self.calls: list[tuple[str, str]] = []
        self.fails: Callable[[str, str], bool] = lambda _operation, _name: False
        self.refuses: Callable[[str], str | None] = lambda _key: None

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        self._called("list", prefix)
        return super().list_keys(prefix, after, before)

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        self._called("directories", prefix)
        return super().list_directories(prefix)

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        self._called("get", key)
        return super().get(key, limit)

    def put(self, key: str, body: bytes) -> None:
        self._called("put", key)
        super().put(key, body)

    def unstorable(self, key: str) -> str | None:
        return self.refuses(key)

    def names(self) -> list[str]:
        return [key for page in MemoryStore.list_keys(self, "") for key in page]

    def _called(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        if self.fails(operation, name):
            raise StorageError(operation, f"{self.url}/{name}", "injected")


class FaultyQueue(MemoryQueue):
    """A queue that refuses single messages, or whole requests, or is full."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[int] = []
        self.refuses_message: Callable[[Message], bool] = lambda _message: False
        self.refuses_request: Callable[[], Exception | None] = lambda: None
        self.before_publish: Callable[[], None] = lambda: None
        self.full_at: int | None = None

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        self.before_publish()
        self.requests.append(len(messages))
        if (error := self.refuses_request()) is not None:
            raise error
        if self.full_at is not None:
            room = max(0, self.full_at - sum(map(len, self.published.values())))
            super().publish(topic, messages[:room])
            full = QueueFullError("publish to", topic, "it is full")
            return [None if number < room else full for number in range(len(messages))]
        refused = [self.refuses_message(message) for message in messages]
        super().publish(topic, [message for message, no in zip(messages, refused, strict=True) if not no])
        return [QueueError("publish to", topic, "injected") if no else None for no in refused]

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in self.published.get(topic, [])]


class Events:
    """Remembers what happened."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def notify(self, *events: Event) -> None:
        for event in events:
            assert event.message
            assert json.dumps(dict(event.fields))
            self.seen.append(event)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.seen if event.name == name]


def run_spec(max_age: timedelta = 24 * HOUR) -> RunSpec:
    """What a run at NOW is to do: in the last day, and aggregate the window from 16:00 to midnight.

    Any batch ID will do, so that tests can use short ones.
    """
    length, grace = 8 * HOUR, 4 * HOUR
    return RunSpec(
        intake_window(NOW, max_age),
        aggregation_window(NOW - grace - length, length),
        Topics("intake", "aggregate"),
        is_first=False,
        batch_ids=BatchIds.ANY,
    )


class Harness:
    """Buckets, a queue, and runs over them."""

    def __init__(self, page_size: int = 1000, breaker_seconds: float = 60) -> None:
        self.breaker_seconds = breaker_seconds
        self.spec = run_spec()
        self.ingestion = FaultyStore("memory://ingestion", page_size)
        self.own = FaultyStore("memory://own", page_size)
        self.peer = FaultyStore("memory://peer", page_size)
        self.queue = FaultyQueue()
        self.events = Events()

    def ingest(self, aggregation: str, time: str, batch: str, parts: Sequence[str] = PARTS) -> None:
        for part in parts:
            self.ingestion._put(f"{aggregation}/{time}/{batch}.batch{part}".encode(), b"", replace=True)

    def validate(self, aggregation: str, time: str, batch: str) -> None:
        self.peer._put(f"{aggregation}/{time}/{batch}.validity_0.sig".encode(), b"", replace=True)

    def scheduler(
        self,
        *,
        dry_run: bool = False,
        max_age: timedelta = 24 * HOUR,
        lease: LeaseTerms | None = None,
        workers: Workers | None = None,
    ) -> Scheduler:
        buckets = Buckets(self.ingestion, self.own, self.peer)
        given = self.spec._replace(
            intake=intake_window(NOW, max_age),
            lease=lease,
            breaker_seconds=self.breaker_seconds,
            workers=workers or Workers(),
        )
        return Scheduler(buckets, None if dry_run else self.queue, given, self.events)

    def run(
        self,
        *,
        dry_run: bool = False,
        max_age: timedelta = 24 * HOUR,
        lease: LeaseTerms | None = None,
        workers: Workers | None = None,
    ) -> RunReport:
        return self.scheduler(dry_run=dry_run, max_age=max_age, lease=lease, workers=workers).run()

    def taken_in(self) -> list[str]:
        return sorted(body["batch-id"] for body in self.queue.bodies("intake"))

    def aggregated(self) -> dict[str, list[str]]:
        return {
            body["aggregation-id"]: [batch["id"] for batch in body["batches"]]
            for body in self.queue.bodies("aggregate")
        }

    def markers(self) -> list[str]:
        return [name for name in self.own.names() if name.startswith("task-markers/")]


def small_limits(messages: int = 2, message_bytes: int = 10_000) -> Limits:
    return Limits(messages=messages, request_bytes=10_000, message_bytes=message_bytes)
