"""Faults put around any bucket and any queue, by chance, and written down with what they explain."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum

from support import tally
from workflow_manager.errors import QueueError, StorageError
from workflow_manager.ports import Bucket, Message, ObjectStore, TaskQueue
from workflow_manager.queues.in_memory import MemoryQueue


class Fault(StrEnum):
    """What can go wrong with one call."""

    FAIL_BEFORE = "fail before the effect"
    FAIL_AFTER = "fail after the effect"
    FAIL_ONE = "fail one message of a request"
    DISOWN_ONE = "take a message and say that it failed"
    BREAK_OFF = "break a listing off"
    DELAY = "delay"
    HANG = "hang until released"
    DUPLICATE = "do it twice"
    REORDER = "take the messages in another order"


class Place(StrEnum):
    """Which calls can be struck."""

    LISTING = "listing"
    WRITING = "writing"
    PUBLISHING = "publishing"


# With these alone, everything is done; some of it twice.
HARMLESS = frozenset({Fault.DELAY, Fault.DUPLICATE})
DELAY = 0.001  # seconds; enough for other threads to get in between


class Injection:
    """Decides which calls are struck by which fault.

    `explained` counts, for each task, the faults that may each have caused one repeat of it.
    """

    def __init__(self, seed: int) -> None:
        self.injected: Counter[Fault] = Counter()
        self.explained: Counter[str] = Counter()
        self.hanging = threading.Event()
        self._released = threading.Event()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._share = 0.0
        self._places: Collection[Place] = ()
        self._kinds: Collection[Fault] = ()

    def begin(self, share: float, places: Collection[Place], kinds: Collection[Fault]) -> None:
        """From now on, this share of the calls in these places is struck by one of these faults."""
        self._share, self._places, self._kinds = share, places, kinds
        self.hanging.clear()
        self._released.clear()

    def end(self) -> None:
        """No more faults; and calls that hang go on."""
        self._share = 0.0
        self._released.set()

    def strikes(self, place: Place, *possible: Fault) -> Fault | None:
        """The fault that strikes a call, of those that are possible there."""
        with self._lock:
            kinds = [fault for fault in possible if fault in self._kinds]
            if place not in self._places or not kinds or self._random.random() >= self._share:
                return None
            fault = self._random.choice(kinds)
            self.injected[fault] += 1
        tally.add(f"{place}: {fault}")
        return fault

    def delay(self) -> None:
        """Hold a call up a little."""
        self._released.wait(DELAY)

    def hang(self) -> bool:
        """Hold a call up until the end of the faults; whether it still goes on then."""
        self.hanging.set()
        self._released.wait()
        return self.coin()

    def coin(self) -> bool:
        with self._lock:
            return self._random.random() < 0.5

    def order(self, count: int) -> list[int]:
        """The numbers up to `count`, shuffled."""
        with self._lock:
            return self._random.sample(range(count), count)

    def explains(self, *markers: str) -> None:
        """Each of these tasks may be repeated once for this."""
        with self._lock:
            self.explained.update(markers)


class ShakyBucket:
    """A bucket between the program and a real one, where calls can go wrong."""

    def __init__(self, bucket: ObjectStore, injection: Injection) -> None:
        self.url = bucket.url
        self.bucket = bucket
        self._injection = injection

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        return self._pages(self.bucket.list_keys(prefix, after, before))

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        return self._pages(self.bucket.list_directories(prefix))

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        self._before_a_page(Fault.FAIL_BEFORE)
        return self.bucket.get(key, limit)

    def put(self, key: str, body: bytes) -> None:
        match self._injection.strikes(
            Place.WRITING, Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.DELAY, Fault.HANG, Fault.DUPLICATE
        ):
            case Fault.FAIL_BEFORE:
                self._fail("write", key)
            case Fault.FAIL_AFTER:
                self.bucket.put(key, body)
                raise StorageError("write", self.url, "injected: the answer was lost")
            case Fault.DELAY:
                self._injection.delay()
            case Fault.HANG if not self._injection.hang():
                self._fail("write", key)
            case Fault.DUPLICATE:
                self.bucket.put(key, body)
        self.bucket.put(key, body)

    def delete(self, key: str) -> None:
        if self._injection.strikes(Place.WRITING, Fault.FAIL_BEFORE):
            raise StorageError("delete", self.url, "injected")
        self.bucket.delete(key)

    def unstorable(self, key: str) -> str | None:
        return self.bucket.unstorable(key)

    def _pages(self, pages: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
        self._before_a_page(Fault.FAIL_BEFORE)
        for page in pages:
            yield page
            self._before_a_page(Fault.BREAK_OFF)

    def _before_a_page(self, failure: Fault) -> None:
        match self._injection.strikes(Place.LISTING, failure, Fault.DELAY, Fault.HANG):
            case Fault.FAIL_BEFORE | Fault.BREAK_OFF:
                raise StorageError("list", self.url, "injected")
            case Fault.DELAY:
                self._injection.delay()
            case Fault.HANG if not self._injection.hang():
                raise StorageError("list", self.url, "injected: no answer")

    def _fail(self, operation: str, key: str) -> None:
        self._injection.explains(key)
        raise StorageError(operation, self.url, "injected")


class ShakyQueue(MemoryQueue):
    """A queue between the program and a real one. Its own memory has what the real one has taken.

    `acknowledged` has the tasks of which the program was told that they are in the queue.
    """

    def __init__(self, queue: TaskQueue, injection: Injection) -> None:
        super().__init__()
        self.queue = queue
        self.injection = injection
        self.acknowledged: set[str] = set()

    @property
    def taken(self) -> Counter[str]:
        """How often the real queue has taken each task."""
        with self._lock:
            return Counter(message.key for topic in self.published.values() for message in topic)

    def prepare(self, topics: Sequence[str]) -> None:
        self.queue.prepare(topics)

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        fault = self.injection.strikes(Place.PUBLISHING, *PUBLISHING)
        outcomes = PUBLISHING[fault](self, topic, messages) if fault else self.take(topic, messages)
        with self._lock:
            self.acknowledged.update(
                message.key for message, outcome in zip(messages, outcomes, strict=True) if outcome is None
            )
        return outcomes

    def take(self, topic: str, messages: Sequence[Message]) -> list[QueueError | None]:
        """What the real queue does."""
        outcomes = list(self.queue.publish(topic, messages)) if messages else []
        assert outcomes == [None] * len(messages), "the real queue works"
        super().publish(topic, messages)
        return outcomes


Outcomes = list[QueueError | None]


def _fail_before(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    raise QueueError("publish to", topic, "injected")


def _fail_after(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    queue.take(topic, messages)
    queue.injection.explains(*(message.key for message in messages))
    raise QueueError("publish to", topic, "injected: the answer was lost")


def _fail_one(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    failing = queue.injection.order(len(messages))[0]
    outcomes = queue.take(topic, [*messages[:failing], *messages[failing + 1 :]])
    outcomes.insert(failing, QueueError("publish to", topic, "injected: not this one"))
    return outcomes


def _disown_one(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    outcomes = queue.take(topic, messages)
    failing = queue.injection.order(len(messages))[0]
    queue.injection.explains(messages[failing].key)
    outcomes[failing] = QueueError("publish to", topic, "injected: but it is there")
    return outcomes


def _delay(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    queue.injection.delay()
    return queue.take(topic, messages)


def _hang(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    if queue.injection.hang():
        return queue.take(topic, messages)
    return (_fail_before if queue.injection.coin() else _fail_after)(queue, topic, messages)


def _duplicate(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    queue.take(topic, messages)
    queue.injection.explains(*(message.key for message in messages))
    return queue.take(topic, messages)


def _reorder(queue: ShakyQueue, topic: str, messages: Sequence[Message]) -> Outcomes:
    """And refuse the last that is left, so that it matters which outcome is whose."""
    *taken, refused = queue.injection.order(len(messages))
    found = dict(zip(taken, queue.take(topic, [messages[number] for number in taken]), strict=True))
    found[refused] = QueueError("publish to", topic, "injected: the last of another order")
    return [found[number] for number in range(len(messages))]


PUBLISHING: dict[Fault, Callable[[ShakyQueue, str, Sequence[Message]], Outcomes]] = {
    Fault.FAIL_BEFORE: _fail_before,
    Fault.FAIL_AFTER: _fail_after,
    Fault.FAIL_ONE: _fail_one,
    Fault.DISOWN_ONE: _disown_one,
    Fault.DELAY: _delay,
    Fault.HANG: _hang,
    Fault.DUPLICATE: _duplicate,
    Fault.REORDER: _reorder,
}


def names(bucket: Bucket) -> list[str]:
    """All keys of a bucket."""
    return [key for page in bucket.list_keys("") for key in page]
