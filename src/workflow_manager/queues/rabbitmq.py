"""RabbitMQ: a topic is a durable queue, published to through the default exchange.

A message counts as acknowledged when the broker has confirmed it (publisher confirms), and is
marked persistent. One that no queue takes is returned, and so fails.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Self

from workflow_manager import flag_types
from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, QueueError
from workflow_manager.ports import Limits, Message, Option, RetryPolicy, Settings
from workflow_manager.queue_ports import DeadLetter, DeadLetters, TopicStats
from workflow_manager.queues.rabbitmq_publisher import SharedConnection

if TYPE_CHECKING:
    from pika import URLParameters
    from pika.adapters.blocking_connection import BlockingChannel

    Session = AbstractContextManager[BlockingChannel]

_NOT_FOUND = 404
_ELSEWHERE = (
    "leased and oldest: see the management UI, or rabbitmqctl list_queues name messages_unacknowledged; "
    "dead: ask for the queue that x-dead-letter-routing-key names"
)


class RabbitQueue:
    """Publishes with confirms, over one connection for all threads."""

    kind: ClassVar[str] = "rabbitmq"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "rabbitmq-url",
            "URL of the broker, such as amqp://user:password@host:5672/",
            required=True,
            secret=True,
        ),
        Option(
            "rabbitmq-declare-queues",
            "declare both queues as durable before a run starts",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
    )
    limits: ClassVar[Limits] = Limits(messages=100, request_bytes=16_000_000, message_bytes=16_000_000)

    def __init__(self, parameters: "URLParameters", retry_policy: RetryPolicy, *, declares: bool) -> None:
        self._parameters = parameters
        self._declares = declares
        self._retry_policy = retry_policy
        self._shared = SharedConnection(parameters, retry_policy.total_timeout)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The broker at `rabbitmq-url`; raises ConfigError if the URL is none, or the extra is missing."""
        if find_spec("pika") is None:
            raise MissingExtraError("the queue kind rabbitmq", "rabbitmq", "pika")
        from pika import URLParameters  # noqa: PLC0415 (only runs that use it should load it)

        logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it logs is raised, too
        url = str(settings.options["rabbitmq-url"])
        try:
            parameters = URLParameters(url)
        except (ValueError, TypeError):
            raise ConfigError([Mistake("--rabbitmq-url", "", "not an AMQP URL: amqp://host:5672/")]) from None
        parameters.socket_timeout = settings.retry_policy.connect_timeout
        parameters.stack_timeout = settings.retry_policy.read_timeout
        parameters.blocked_connection_timeout = settings.retry_policy.read_timeout
        declares = bool(settings.options.get("rabbitmq-declare-queues"))
        return cls(parameters, settings.retry_policy, declares=declares)

    def prepare(self, topics: Sequence[str]) -> None:
        """Declare the queues if the settings say so."""
        for topic in topics if self._declares else ():
            with self._session("declare", topic) as channel:
                channel.queue_declare(topic, durable=True)

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. What was confirmed before a connection broke is confirmed."""
        operation = "publish to"
        deadline = self._retry_policy.deadline(time.monotonic())
        if time.monotonic() >= deadline:
            raise QueueError(operation, f"queue {topic!r}", "there was no time left to send it")
        try:
            connection = self._shared.get(deadline - time.monotonic())
        except Exception as error:
            raise _error(operation, topic, error) from error
        outcomes = connection.publish(topic, messages, max(0.0, deadline - time.monotonic()))
        return [_error(operation, topic, outcome) if outcome else None for outcome in outcomes]

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        if self._declares:
            return "the first run declares the queue"
        with self._session("find", topic) as channel:
            declared = channel.queue_declare(topic, passive=True)
        return f"tasks waiting in the queue: {declared.method.message_count}"

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. The protocol tells how many are ready, and nothing else."""
        with self._session("inspect", topic) as channel:
            declared = channel.queue_declare(topic, passive=True)
        return TopicStats(declared.method.message_count, None, None, None, elsewhere=_ELSEWHERE)

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. What is taken is ours until the connection ends, however long that is."""
        del lease
        if source == topic:
            raise QueueError(
                "redrive from", f"queue {source!r}", "tasks are published to it", "correct --from"
            )
        return _Letters(ExitStack(), self._session, source)

    def close(self) -> None:
        """See TaskQueue."""
        self._shared.close()

    @contextmanager
    def _session(self, operation: str, topic: str) -> Iterator["BlockingChannel"]:
        """A channel on a connection of its own, for this thread; translates what is raised."""
        from pika import BlockingConnection  # noqa: PLC0415 (only runs that use it should load it)
        from pika.exceptions import AMQPError  # noqa: PLC0415 (as above)

        with _translated(operation, topic):
            connection = BlockingConnection(self._parameters)
            try:
                yield connection.channel()
            finally:
                with suppress(AMQPError):
                    connection.close()


class _Letters:
    """See DeadLetters: messages that were got from a queue on one connection, and not acknowledged yet."""

    def __init__(self, opened: ExitStack, session: "Callable[[str, str], Session]", source: str) -> None:
        self._opened = opened
        self._source = source
        self._channel = opened.enter_context(session("redrive from", source))
        with _translated("redrive from", source):
            try:
                self._channel.queue_declare(source, passive=True)
            except BaseException:
                opened.close()
                raise

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        letters: list[DeadLetter] = []
        with _translated("read", self._source):
            while len(letters) < most:
                method, _, body = self._channel.basic_get(self._source)
                if method is None or body is None:
                    break
                # A name that is good on this connection alone: RabbitMQ gives messages none.
                tag = str(method.delivery_tag)
                letters.append(DeadLetter(tag, body, tag))
        return letters

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        with _translated("remove from", self._source):
            for letter in letters:
                self._channel.basic_ack(int(letter.receipt))
        return [None] * len(letters)

    def close(self) -> None:
        """See DeadLetters. The broker puts back what was not acknowledged."""
        self._opened.close()


@contextmanager
def _translated(operation: str, topic: str) -> Iterator[None]:
    from pika.exceptions import AMQPError  # noqa: PLC0415 (as above)

    try:
        yield
    except (AMQPError, OSError) as error:
        raise _error(operation, topic, error) from error


def _error(operation: str, topic: str, error: Exception) -> QueueError:
    from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError  # noqa: PLC0415 (as above)

    cause = repr(error)
    advice = "check that the broker is up, --rabbitmq-url, and its user's permission to write to the queue"
    if isinstance(error, NackError):
        cause, advice = (
            "the broker refused the message",
            "check whether the queue is full (x-max-length, x-overflow)",
        )
    elif isinstance(error, ChannelClosedByBroker) and error.reply_code != _NOT_FOUND:
        cause, advice = error.reply_text, "see the broker's settings"
    elif isinstance(error, UnroutableError | ChannelClosedByBroker):
        cause, advice = "it does not exist", "declare it, or set --rabbitmq-declare-queues"
    return QueueError(operation, f"queue {topic!r}", cause, advice)
