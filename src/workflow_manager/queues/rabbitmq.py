"""RabbitMQ: a topic is a durable queue, published to through the default exchange.

A message counts as acknowledged when the broker has confirmed it (publisher confirms), and is
marked persistent. One that no queue takes is returned, and so fails.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Self

from workflow_manager import flag_types
from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, QueueError
from workflow_manager.ports import Limits, Message, Option, Settings

if TYPE_CHECKING:
    from pika import BlockingConnection, URLParameters
    from pika.adapters.blocking_connection import BlockingChannel

_NOT_FOUND = 404


class RabbitQueue:
    """Publishes with confirms. pika's connections are for one thread each, so each thread has its own."""

    kind: ClassVar[str] = "rabbitmq"
    options: ClassVar[tuple[Option, ...]] = (
        Option("rabbitmq-url", "broker, as amqp://user:password@host:5672/", required=True, secret=True),
        Option(
            "rabbitmq-declare-queues",
            "declare both queues, durable, before any work",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
    )
    limits: ClassVar[Limits] = Limits(messages=100, request_bytes=16_000_000, message_bytes=16_000_000)

    def __init__(self, parameters: "URLParameters", until: Callable[[], float], *, declares: bool) -> None:
        self._until = until
        self._parameters = parameters
        self._declares = declares
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._connections: list[BlockingConnection] = []

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
        return cls(
            parameters,
            settings.retry_policy.until,
            declares=bool(settings.options.get("rabbitmq-declare-queues")),
        )

    def prepare(self, topics: Sequence[str]) -> None:
        """Declare the queues if the settings say so."""
        for topic in topics if self._declares else ():
            with self._translated("declare", topic):
                self._channel().queue_declare(topic, durable=True)

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue."""
        from pika.exceptions import NackError, UnroutableError  # noqa: PLC0415 (as above)

        outcomes: list[QueueError | None] = []
        for message in messages:
            if time.monotonic() >= self._until():
                error = QueueError("publish to", f"queue {topic!r}", "there was no time left to send it")
                return [*outcomes, *[error] * (len(messages) - len(outcomes))]
            try:
                with self._translated("publish to", topic):
                    self._send(topic, message)
                outcomes.append(None)
            except QueueError as error:
                outcomes.append(error)
                if not isinstance(error.__cause__, NackError | UnroutableError):
                    # The connection is gone, and what was confirmed before is confirmed.
                    return [*outcomes, *[error] * (len(messages) - len(outcomes))]
        return outcomes

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        if self._declares:
            return "the queue will be declared by the first run"
        with self._translated("find", topic):
            declared = self._channel().queue_declare(topic, passive=True)
        return f"tasks waiting in the queue: {declared.method.message_count}"

    def close(self) -> None:
        """See TaskQueue."""
        from pika.exceptions import AMQPError  # noqa: PLC0415 (as above)

        for connection in self._connections:
            with suppress(AMQPError):
                connection.close()

    def _send(self, topic: str, message: Message) -> None:
        from pika import BasicProperties, DeliveryMode  # noqa: PLC0415 (as above)

        properties = BasicProperties(
            content_type="application/json", delivery_mode=DeliveryMode.Persistent.value
        )
        self._channel().basic_publish("", topic, message.body, properties, mandatory=True)

    def _channel(self) -> "BlockingChannel":
        channel: BlockingChannel | None = getattr(self._mine, "channel", None)
        if channel is None or not channel.is_open:
            from pika import BlockingConnection  # noqa: PLC0415 (as above)

            connection = BlockingConnection(self._parameters)
            with self._lock:
                self._connections.append(connection)
            channel = connection.channel()
            channel.confirm_delivery()
            self._mine.channel = channel
        return channel

    @contextmanager
    def _translated(self, operation: str, topic: str) -> Iterator[None]:
        from pika.exceptions import AMQPError, ChannelClosedByBroker, UnroutableError  # noqa: PLC0415 (as above)

        try:
            yield
        except (UnroutableError, ChannelClosedByBroker) as error:
            cause, advice = "there is no such queue", "declare it, or give --rabbitmq-declare-queues"
            if isinstance(error, ChannelClosedByBroker) and error.reply_code != _NOT_FOUND:
                cause, advice = error.reply_text, "see the broker's settings"
            raise QueueError(operation, f"queue {topic!r}", cause, advice) from error
        except (AMQPError, OSError) as error:
            advice = "is the broker up, does --rabbitmq-url name it, and may its user write to the queue?"
            raise QueueError(operation, f"queue {topic!r}", repr(error), advice) from error
