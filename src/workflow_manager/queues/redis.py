"""Redis streams: a topic is a stream, and each of its entries has one field, `message`.

Entries are as durable as the server is told to keep them (`appendonly yes`,
`appendfsync always` for the strictest).
"""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Self

from workflow_manager.clouds.service import pause
from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, QueueError
from workflow_manager.ports import Limits, Message, Option, RetryPolicy, Settings
from workflow_manager.queue_ports import DeadLetter, DeadLetters, QueuedMessage, TopicStats

if TYPE_CHECKING:
    from redis import Redis

FIELD = "message"
_PAGE = 500
_ELSEWHERE = "dead: streams have no dead letters of their own; ask for the stream that workers move them to"


class RedisQueue:
    """Publishes with XADD, many messages in one round trip, each with an outcome of its own."""

    kind: ClassVar[str] = "redis"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "redis-url",
            "URL of the server, such as redis://host:6379/0 or rediss://…",
            required=True,
            secret=True,
        ),
    )
    limits: ClassVar[Limits] = Limits(messages=1000, request_bytes=16_000_000, message_bytes=16_000_000)

    def __init__(self, client: "Redis", retry_policy: RetryPolicy) -> None:
        self._client = client
        self._retry_policy = retry_policy

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The server at `redis-url`; raises ConfigError if the URL is none, or the extra is missing."""
        if find_spec("redis") is None:
            raise MissingExtraError("the queue kind redis", "redis", "redis")
        from redis import Redis  # noqa: PLC0415 (only runs that use it should load it)
        from redis.backoff import NoBackoff  # noqa: PLC0415 (as above)
        from redis.retry import Retry  # noqa: PLC0415 (as above)

        url = str(settings.options["redis-url"])
        # Which the library does by itself only since its version 6. What the URL says goes before.
        verified = {"ssl_check_hostname": True} if url.startswith("rediss://") else {}
        try:
            client = Redis.from_url(
                url,
                socket_connect_timeout=settings.retry_policy.connect_timeout,
                socket_timeout=settings.retry_policy.read_timeout,
                retry=Retry(NoBackoff(), 0),  # which knows no deadline: `publish` tries again by itself
                **verified,
            )
            client.connection_pool.make_connection()  # which finds options that there are none of
        except (ValueError, TypeError):
            raise ConfigError([Mistake("--redis-url", "", "not a URL: redis://host:6379/0")]) from None
        return cls(client, settings.retry_policy)

    def prepare(self, topics: Sequence[str]) -> None:
        """Streams are made by the first message."""

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue."""
        operation = "publish to"
        begun = time.monotonic()
        with self._translated(operation, topic):
            answers = self._tried(topic, messages, begun)
        return [
            _error(operation, topic, answer) if isinstance(answer, Exception) else None for answer in answers
        ]

    def _tried(self, topic: str, messages: Sequence[Message], begun: float) -> list[object]:
        """The answer to each message, from the first try that gets any."""
        from redis.exceptions import ConnectionError as Broken  # noqa: PLC0415 (as above)
        from redis.exceptions import TimeoutError as Late  # noqa: PLC0415 (as above)

        attempt = 0
        while True:
            attempt += 1
            if time.monotonic() >= self._retry_policy.until():
                raise Late("there was no time left to send the request")
            pipeline = self._client.pipeline(transaction=False)
            for message in messages:
                pipeline.xadd(topic, {FIELD: message.body})
            try:
                with self._cut_off():
                    return list(pipeline.execute(raise_on_error=False))
            except (Broken, Late):
                wait = pause(attempt)
                late = time.monotonic() + wait >= self._retry_policy.deadline(begun)
                if late or attempt >= self._retry_policy.tries:
                    raise
                time.sleep(wait)

    @contextmanager
    def _cut_off(self) -> Iterator[None]:
        """Break the connections off if what is done within has not ended when it must be over."""
        from redis.exceptions import TimeoutError as Late  # noqa: PLC0415 (as above)

        until = self._retry_policy.until
        if until() == math.inf:
            yield
            return
        ended, cut = threading.Event(), threading.Event()

        def watch() -> None:
            while not ended.wait(max(0.0, until() - time.monotonic())):
                if time.monotonic() >= until():  # it may have been moved meanwhile
                    cut.set()
                    self._client.connection_pool.disconnect(inuse_connections=True)
                    return

        threading.Thread(target=watch, name="redis deadline", daemon=True).start()
        try:
            yield
        except Exception as error:
            if cut.is_set():  # the client trips over its closed socket in many ways
                raise Late("there was no answer within the time limit") from error
            raise
        finally:
            ended.set()

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        with self._translated("find", topic):
            kind: Any = self._client.type(topic)
        if kind not in (b"none", b"stream"):
            raise QueueError(
                "use", f"stream {topic!r}", f"the key holds a {kind.decode()}", "choose another name"
            )
        return "the stream exists" if kind == b"stream" else "the first message creates the stream"

    def close(self) -> None:
        """See TaskQueue."""
        self._client.close()

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. Leased ones are those that the slowest consumer group has not acknowledged."""
        with self._translated("inspect", topic):
            self._must_be_there("inspect", topic)
            length = int(self._client.xlen(topic))
            groups = [dict(group) for group in self._client.xinfo_groups(topic)]
            first = self._entries(topic, "", 1)
            oldest = max(0.0, self._client.time()[0] - _seconds(first[0][0])) if first else None
        if not groups:
            return TopicStats(length, 0, oldest, None, elsewhere=_ELSEWHERE)
        lags = [group.get("lag") for group in groups]  # of Redis 7 and later
        waiting = None if None in lags else max(int(lag) for lag in lags if lag is not None)
        leased = max(int(group["pending"]) for group in groups)
        elsewhere = _ELSEWHERE
        if waiting is None:
            elsewhere += f"; waiting: only Redis 7 and later tell; the stream has {length} entries in all"
        return TopicStats(waiting, leased, oldest, None, elsewhere=elsewhere)

    def browse(self, topic: str) -> Iterator[QueuedMessage]:
        """See Browsable. Entries stay in a stream until they are deleted, also acknowledged ones."""
        with self._translated("read", topic):
            self._must_be_there("read", topic)
        after = ""
        while page := self._entries(topic, after, _PAGE):
            for entry, body in page:
                yield QueuedMessage(entry, body, _seconds(entry))
            after = page[-1][0]

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. Streams know no leases: two who redrive at once put letters back twice."""
        del lease
        if source == topic:
            raise QueueError(
                "redrive from", f"stream {source!r}", "tasks are published to it", "correct --from"
            )
        with self._translated("redrive from", source):
            self._must_be_there("redrive from", source)
        return _Letters(self, source)

    def remove(self, stream: str, entries: Sequence[str]) -> None:
        """Remove entries from a stream; it is no error if they are gone."""
        with self._translated("remove from", stream):
            self._client.xdel(stream, *entries)

    def read(self, stream: str, after: str, most: int) -> list[tuple[str, bytes]]:
        """The IDs and bodies of the entries behind one; without a `message`, an entry's body is empty."""
        with self._translated("read", stream):
            return self._entries(stream, after, most)

    def _entries(self, stream: str, after: str, most: int) -> list[tuple[str, bytes]]:
        entries: Any = self._client.xrange(stream, min=f"({after}" if after else "-", count=most)
        return [(entry.decode(), fields.get(FIELD.encode(), b"")) for entry, fields in entries]

    def _must_be_there(self, operation: str, stream: str) -> None:
        if self._client.type(stream) != b"stream":
            raise QueueError(operation, f"stream {stream!r}", "it does not exist", "correct its name")

    @contextmanager
    def _translated(self, operation: str, topic: str) -> Iterator[None]:
        from redis.exceptions import RedisError  # noqa: PLC0415 (as above)

        try:
            yield
        except (RedisError, OSError) as error:
            raise _error(operation, topic, error) from error


class _Letters:
    """See DeadLetters: a stream, read from its beginning."""

    def __init__(self, queue: RedisQueue, source: str) -> None:
        self._queue = queue
        self._source = source
        self._last = ""

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        entries = self._queue.read(self._source, self._last, most)
        if entries:
            self._last = entries[-1][0]
        return [DeadLetter(entry, body, entry) for entry, body in entries]

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        self._queue.remove(self._source, [letter.receipt for letter in letters])
        return [None] * len(letters)

    def close(self) -> None:
        """See DeadLetters. Nothing was taken away."""


def _seconds(entry: str) -> float:
    """When an entry was added, in seconds since 1970: its ID begins with milliseconds."""
    return int(entry.partition("-")[0]) / 1000


def _error(operation: str, topic: str, error: Exception) -> QueueError:
    advice = "check that the server is up, --redis-url, and its user's permission to write streams"
    return QueueError(operation, f"stream {topic!r}", str(error), advice)
