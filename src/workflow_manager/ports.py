"""What the pipeline needs of the world outside. Every store and queue keeps these contracts.

`workflow_manager.testing` has the suites that check them; each built-in adapter
passes the same one, and so must anyone else's.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol, Self, runtime_checkable

from workflow_manager.errors import QueueError, StorageError
from workflow_manager.observe.event import Event


class Option(NamedTuple):
    """A flag that an adapter adds to the command line, named with the adapter's kind in front.

    `parse` turns the text given for it into a value and raises ValueError, with the
    reason, if it cannot. A boolean flag stands alone or takes `=true` or `=false`; its value is a bool.
    The value of a `secret` one, such as a URL with a password, is never shown. A `repeatable`
    one may be given several times; its value is a tuple.
    """

    name: str
    help: str
    default: str = ""
    parse: Callable[[str], object] = str
    is_switch: bool = False
    required: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()
    repeatable: bool = False


def never() -> float:
    """A time that does not come."""
    return math.inf


class RetryPolicy(NamedTuple):
    """How long requests to a service may take, in seconds, and how often they are tried.

    `until` says when, on the monotonic clock, what is tried must be over; it may be later each time that
    it is asked. A queue gets the end of the run's lease this way: whatever it publishes after that,
    another run may be publishing too.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    tries: int = 6
    total_timeout: float = 120.0
    until: Callable[[], float] = never

    def deadline(self, begun: float) -> float:
        """When what began at `begun` must be over with all its tries; both on the monotonic clock."""
        return min(begun + self.total_timeout, self.until())


class RequestObserver(Protocol):
    """Someone who counts requests to a bucket. Called from many threads, so it must be quick."""

    def requested(self, operation: str, sent: int, received: int, *, retry: bool = False) -> None:
        """A request for a `list`, `read`, `write` or `delete` was sent, whether or not it succeeded.

        `sent` and `received` are the bytes of its body and of the answer's; a `retry` repeats a failed one.
        """
        ...


class NobodyCounts:
    """A RequestObserver that does nothing."""

    def requested(self, operation: str, sent: int, received: int, *, retry: bool = False) -> None:
        """See RequestObserver."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an adapter is opened with. It reads nothing else: no flags, no environment.

    `options` has the parsed value of each of the adapter's options that was given or has a
    default; `identity` is the role to take on, or empty; `environ` is the environment. Adapters of one
    process may keep in `shared` what they need only once, such as tokens, by keys of their own. A store
    tells `requests` of each request that it sends; clouds.service does so for the stores that use it.
    A queue learns from `labels` what tells this deployment from others (`locality` and `ingestor`, as far as
    they were given), and from `marker_bucket` the URL of the bucket that has the markers of its tasks.
    """

    options: Mapping[str, object] = field(default_factory=dict)
    identity: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    shared: dict[object, object] = field(default_factory=dict, compare=False)
    requests: RequestObserver = field(default_factory=NobodyCounts, compare=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    marker_bucket: str = ""


class Bucket(Protocol):
    """What a run does with a bucket: objects with keys, in the order of their UTF-8 bytes.

    Safe for use by many threads. Methods raise StorageError, after whatever retries make sense
    for the service.
    """

    url: str

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        """The keys with `prefix` that are greater than `after` and, if given, less than `before`.

        In ascending order and lazily, in pages as the service gives them: a page is
        fetched when it is asked for. No page is empty.
        """
        ...

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        """The next path components, each once, of the keys with `prefix` that have a `/` behind it.

        In pages, without the `/`; `a//b` has an empty component behind `a/`.
        """
        ...

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """The content of an object, or None if there is no object of this name.

        At most the first `limit` bytes of it. Raises AccessDeniedError where reading is forbidden.
        """
        ...

    def put(self, key: str, body: bytes) -> None:
        """Write an object, or replace it. It is durable when this returns, and never seen in part."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""
        ...

    def unstorable(self, key: str) -> str | None:
        """Why no object of this name can ever be put here, or None if one can. Sends no request.

        Names that differ in hexadecimal digits alone are alike.
        """
        ...


@runtime_checkable
class BatchWriter(Protocol):
    """What a Bucket can have besides: writes that take less together than one by one."""

    def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[StorageError | None]:
        """Write or replace objects, as `put` does, all at once.

        For each, in order, None or why it could not be written.
        """
        ...


class ObjectStore(Bucket, Protocol):
    """A bucket as an adapter has it. Constructing or opening one sends no request.

    Its `url` is the canonical spelling: equal for all URLs that name the same bucket, such as those
    with and without a slash at the end.
    """

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The bucket at `url`; raises ConfigError if that, or its identity, cannot be right."""
        ...

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Write an object unless it exists; whether it was written. Of several at once, one wins."""
        ...

    def identity(self) -> str:
        """Who we are to the service, for a person to read. May ask the service, and so may fail."""
        ...

    def close(self) -> None:
        """Give back connections and files. Nothing is called after this."""
        ...


class Message(NamedTuple):
    """A task's message. `group` is the aggregation, `key` is the same for each repeat of the task.

    Queues that order or deduplicate use these two; others leave them. A key is unique among the tasks
    whose markers are in the same bucket, the `marker_bucket` of the settings.
    """

    body: bytes
    group: str
    key: str


class Limits(NamedTuple):
    """What a queue takes: messages in a request, bytes in a request, bytes in one message."""

    messages: int
    request_bytes: int
    message_bytes: int


class TopicLimit(NamedTuple):
    """How long a message one topic takes, in bytes, and the setting of the service that says so.

    `most_bytes` is the highest value that the setting can have.
    """

    message_bytes: int
    setting: str
    most_bytes: int


class TaskQueue(Protocol):
    """Where tasks are published, under topics. Safe for use by many threads.

    Opening a queue sends no request and has no effect that anyone could see.
    """

    kind: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    limits: ClassVar[Limits]

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queue; raises ConfigError if the settings cannot be right."""
        ...

    def prepare(self, topics: Sequence[str]) -> None:
        """Called once before any work, never in a dry run: create what the settings say to create."""
        ...

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """Publish messages that are within `limits`; for each, in order, None or why it failed.

        None means that the queue has acknowledged it and will keep it whatever happens to us.
        QueueFullError says that the queue takes no more for now, as its settings say: the rest of a run's
        tasks are left for the next run, and nothing has failed.
        Raises QueueError if the request failed as a whole, so that none is known to be there.
        Tries nothing after `until` of the retry policy that it was opened with.
        """
        ...

    def check(self, topic: str) -> str:
        """Find out, without publishing, whether the topic can be published to.

        Returns what was found and as whom, for a person to read; raises QueueError if it cannot.
        """
        ...

    def close(self) -> None:
        """Give back connections and files. Nothing is called after this."""
        ...


@runtime_checkable
class TopicLimited(Protocol):
    """What a TaskQueue can have besides: topics that are set to take more than `limits` says.

    `publish` then takes a message that is over `limits` but within its topic's limit, in a request
    of its own.
    """

    def topic_limit(self, topic: str) -> TopicLimit:
        """Ask the service for the topic's limit; raises QueueError if it does not say."""
        ...


class Observer(Protocol):
    """Someone who wants to know what happens. Called from many threads."""

    def notify(self, *events: Event) -> None:
        """Something happened: these, in order. Must not raise, and should not take long."""
        ...
