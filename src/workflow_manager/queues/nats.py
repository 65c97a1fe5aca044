"""NATS JetStream: a topic is a subject that a stream takes in.

Each message has the ID of its task (`Nats-Msg-Id`), so that a repeat within the stream's
duplicate window (two minutes unless set otherwise) is acknowledged and dropped.
"""

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from urllib.parse import urlsplit

from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, QueueError
from workflow_manager.ports import Limits, Message, Option, RetryPolicy, Settings
from workflow_manager.queue_ports import DeadLetters, QueuedMessage, TopicStats
from workflow_manager.queues.nats_stream import StreamSubject, covers

if TYPE_CHECKING:
    from nats.aio.client import Client

T = TypeVar("T")

_SCHEMES = ("nats", "tls", "ws", "wss")
_CONNECT_TRIES = 3
_CONNECT_PAUSE = 1  # second
_CLOSE_SECONDS = 1.0


class NatsQueue:
    """Publishes over one connection. The client is asynchronous, so it runs on a thread of its own."""

    kind: ClassVar[str] = "nats"
    options: ClassVar[tuple[Option, ...]] = (
        Option("nats-url", "URL of the server, such as nats://host:4222", required=True, secret=True),
        Option("nats-create-stream", "create a stream of this name for both topics before a run starts"),
    )
    # A server takes 1 MiB with the headers, unless it is set otherwise.
    limits: ClassVar[Limits] = Limits(messages=500, request_bytes=16_000_000, message_bytes=1_000_000)

    def __init__(self, url: str, stream: str, retry_policy: RetryPolicy) -> None:
        self._url = url
        self._stream = stream
        self._retry_policy = retry_policy
        self._lock = threading.Lock()
        self._connecting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._failure: tuple[float, Exception] = (float("-inf"), OSError())  # the last one, and when

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The server at `nats-url`; raises ConfigError if the URL is none, or the extra is missing."""
        if find_spec("nats") is None:
            raise MissingExtraError("the queue kind nats", "nats", "nats")
        url = str(settings.options["nats-url"])
        if not _is_url(url):
            raise ConfigError([Mistake("--nats-url", "", "not a URL of NATS: nats://host:4222")])
        return cls(url, str(settings.options.get("nats-create-stream", "")), settings.retry_policy)

    def prepare(self, topics: Sequence[str]) -> None:
        """Create the stream if the settings name one, and the topics are not taken in already."""
        if self._stream:
            self._run("create", f"stream {self._stream!r}", self._create(topics))

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue."""
        outcomes = self._run("publish to", f"subject {topic!r}", self._publish(topic, messages))
        return [_error("publish to", topic, o) if isinstance(o, Exception) else None for o in outcomes]

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        stream = self._run("find", f"subject {topic!r}", self._find(topic))
        return f"stream {stream} stores the subject"

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable."""
        return self._subject("inspect", topic).stats(time.time())

    def browse(self, topic: str) -> Iterator[QueuedMessage]:
        """See Browsable. Whether messages stay when they are done is up to the stream's retention."""
        return self._subject("read", topic).browse()

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. Streams know no leases: two who redrive at once put letters back twice."""
        del lease
        if covers(source, topic):
            raise QueueError(
                "redrive from", f"subject {source!r}", "tasks are published to it", "correct --from"
            )
        return self._subject("redrive from", source)

    def _subject(self, operation: str, subject: str) -> StreamSubject:
        stream = self._run(operation, f"subject {subject!r}", self._find(subject))
        return StreamSubject(self._run, self._connected, stream, subject)

    def close(self) -> None:
        """See TaskQueue."""
        if self._loop is None or self._thread is None:
            return
        if self._client is not None:
            closing = asyncio.run_coroutine_threadsafe(self._client.close(), self._loop)
            with suppress(TimeoutError):  # everything was acknowledged before
                closing.result(self._retry_policy.connect_timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._retry_policy.connect_timeout)

    async def _create(self, topics: Sequence[str]) -> None:
        from nats.js.errors import BadRequestError  # noqa: PLC0415 (only runs that use it should load it)

        client = await self._connected()
        try:
            await client.jetstream().add_stream(name=self._stream, subjects=list(topics))
        except BadRequestError as error:  # it is there and differs, or another takes the subjects
            for topic in topics:
                try:
                    await self._find(topic)
                except Exception:  # noqa: BLE001 (whatever this is, the first error says why)
                    raise error from None

    async def _find(self, topic: str) -> str:
        client = await self._connected()
        return str(await client.jetstream().find_stream_name_by_subject(topic))

    async def _publish(self, topic: str, messages: Sequence[Message]) -> Sequence[object]:
        client = await self._connected()
        stream = client.jetstream(timeout=self._retry_policy.read_timeout)
        sent = (
            stream.publish(topic, message.body, headers={"Nats-Msg-Id": _message_id(message)})
            for message in messages
        )
        return await asyncio.gather(*sent, return_exceptions=True)

    async def _connected(self) -> "Client":
        begun = time.monotonic()
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                failed, error = self._failure
                if failed > begun:
                    raise error  # those that waited share the outcome
                try:
                    self._client = await self._new_client()
                except Exception as failure:
                    self._failure = (time.monotonic(), failure)
                    raise
            return self._client

    async def _new_client(self) -> "Client":
        from nats.aio.client import Client  # noqa: PLC0415 (only runs that use it should load it)
        from nats.errors import NoServersError  # noqa: PLC0415 (as above)

        # What concerns a publish is raised there as well, and the client would print it here.
        told: deque[Exception] = deque(maxlen=1)

        async def note(error: Exception) -> None:
            told.append(error)

        client = Client()
        try:
            await client.connect(
                self._url,
                connect_timeout=max(1, int(self._retry_policy.connect_timeout)),
                allow_reconnect=False,
                max_reconnect_attempts=_CONNECT_TRIES - 1,
                reconnect_time_wait=_CONNECT_PAUSE,
                error_cb=note,
            )
        except NoServersError as error:
            raise (told[0] if told else error) from error
        except BaseException:
            # It leaves what it has begun, and waits for ever for the end of a handshake that has failed.
            with suppress(TimeoutError, OSError):
                await asyncio.wait_for(client.close(), _CLOSE_SECONDS)
            raise
        return client

    def _run(self, operation: str, subject: str, work: Coroutine[Any, Any, T]) -> T:
        """Do asynchronous work on the client's thread, and translate what it raises."""
        begun = time.monotonic()
        left = self._retry_policy.deadline(begun) - begun
        if left <= 0:
            work.close()
            raise QueueError(operation, subject, "there was no time left to send the request")
        with self._lock:
            if self._loop is None:
                runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
                self._loop = runner.get_loop()
                self._thread = threading.Thread(target=_serve, args=(runner,), name="nats", daemon=True)
                self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(left)
        except Exception as error:
            future.cancel()
            raise _error(operation, subject, error) from error


def _serve(runner: asyncio.Runner) -> None:
    with runner:  # which cancels what is left
        runner.get_loop().run_forever()


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        return False


def _message_id(message: Message) -> str:
    return hashlib.sha256(message.key.encode()).hexdigest()  # a header takes no line breaks


def _error(operation: str, subject: str, error: Exception) -> QueueError:
    from nats.js.errors import APIError, NoStreamResponseError, NotFoundError  # noqa: PLC0415 (as above)

    if isinstance(error, NoStreamResponseError | NotFoundError):
        return QueueError(
            operation, subject, "no stream stores it", "set --nats-create-stream, or create one"
        )
    if isinstance(error, APIError):
        return QueueError(operation, subject, error.description or repr(error), "see the server's settings")
    advice = "check that the server is up with JetStream enabled, and --nats-url"
    return QueueError(operation, subject, str(error) or repr(error), advice)
