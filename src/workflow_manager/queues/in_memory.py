"""A task queue in the memory of this process, for tests and for trying things."""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, Self

from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings
from workflow_manager.queue_ports import DeadLetter, DeadLetters, QueuedMessage, TopicStats


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

    def topic_names(self) -> Sequence[str]:
        """See TopicDirectory."""
        with self._lock:
            return sorted(self.published)

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. Nobody leases anything here."""
        return TopicStats(len(list(self.browse(topic))), 0, None, 0, elsewhere="oldest: it is not noted")

    def browse(self, topic: str) -> Iterator[QueuedMessage]:
        """See Browsable."""
        with self._lock:
            if topic not in self.published:
                raise QueueError("find", f"topic {topic}", "it does not exist", "publish to it first")
            messages = list(self.published[topic])
        return (
            QueuedMessage(str(number), message.body, None, "waiting", 0)
            for number, message in enumerate(messages)
        )

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. Any topic can be the source."""
        del lease
        if source == topic:
            raise QueueError("redrive from", f"topic {source}", "tasks are published to it", "correct --from")
        list(self.browse(source))  # raises if it is not there
        return _Letters(self.published[source], self._lock)

    def close(self) -> None:
        """The messages stay, so that whoever has the queue can look at them."""


class _Letters:
    """See DeadLetters: the messages on a topic, each taken once."""

    def __init__(self, messages: list[Message], lock: threading.Lock) -> None:
        self._messages = messages
        self._lock = lock
        self._taken: dict[str, Message] = {}

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        with self._lock:
            new = [one for one in self._messages if not any(one is taken for taken in self._taken.values())]
            letters = [DeadLetter(f"{id(one)}", one.body, f"{id(one)}") for one in new[:most]]
            self._taken |= {letter.id: one for letter, one in zip(letters, new, strict=False)}
        return letters

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        gone = [self._taken[letter.receipt] for letter in letters]
        with self._lock:
            self._messages[:] = [one for one in self._messages if not any(one is other for other in gone)]
        return [None] * len(letters)

    def close(self) -> None:
        """See DeadLetters."""
