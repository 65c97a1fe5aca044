"""Redis streams: a topic is a stream, and each of its entries has one field, `message`.

Entries are as durable as the server is told to keep them (`appendonly yes`,
`appendfsync always` for the strictest).
"""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Self

from workflow_manager.clouds.service import pause
from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, QueueError
from workflow_manager.ports import Limits, Message, Option, RetryPolicy, Settings

if TYPE_CHECKING:
    from redis import Redis

FIELD = "message"


class RedisQueue:
    """Publishes with XADD, many messages in one round trip, each with an outcome of its own."""

    kind: ClassVar[str] = "redis"
    options: ClassVar[tuple[Option, ...]] = (
        Option("redis-url", "server, as redis://host:6379/0 or rediss://…", required=True, secret=True),
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
                raise Late("there was no answer before the time was over") from error
            raise
        finally:
            ended.set()

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        with self._translated("find", topic):
            kind = self._client.type(topic)
        if kind not in (b"none", b"stream"):
            raise QueueError("use", f"stream {topic!r}", f"a {kind!r} has this name", "choose another")
        return "the stream is there" if kind == b"stream" else "the first message will make the stream"

    def close(self) -> None:
        """See TaskQueue."""
        self._client.close()

    @contextmanager
    def _translated(self, operation: str, topic: str) -> Iterator[None]:
        from redis.exceptions import RedisError  # noqa: PLC0415 (as above)

        try:
            yield
        except (RedisError, OSError) as error:
            raise _error(operation, topic, error) from error


def _error(operation: str, topic: str, error: Exception) -> QueueError:
    advice = "is the server up, does --redis-url name it, and may its user write streams?"
    return QueueError(operation, f"stream {topic!r}", str(error), advice)
