"""A task queue in the memory of this process, for tests and for trying things."""

import threading
from collections.abc import Sequence
from typing import ClassVar, Self

from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings


class MemoryQueue:
    """A queue that ends with the process. `published` has the messages of each topic, in order."""

    kind: ClassVar[str] = "memory"
    options: ClassVar[tuple[Option, ...]] = ()
    limits: ClassVar[Limits] = Limits(messages=1000, request_bytes=10_000_000, message_bytes=10_000_000)

    def __init__(self) -> None:
        self.published: dict[str, list[Message]] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """An empty queue."""
        del settings
        return cls()

    def prepare(self, topics: Sequence[str]) -> None:
        """Nothing needs to be created."""

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue."""
        with self._lock:
            self.published.setdefault(topic, []).extend(messages)
        return [None] * len(messages)

    def check(self, topic: str) -> str:
        """Any topic can be published to."""
        return f"topic {topic} ends with this process"

    def close(self) -> None:
        """The messages stay, so that whoever has the queue can look at them."""
