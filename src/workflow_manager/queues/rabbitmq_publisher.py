"""One connection to RabbitMQ for any number of threads: messages are pipelined, each is confirmed.

pika's connections belong to one thread, and its blocking ones wait for each confirm. So a thread of
this connection's own does the I/O, and those who publish wait for the outcomes of their requests.
"""

import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_manager.ports import Message

if TYPE_CHECKING:
    from pika import SelectConnection, URLParameters
    from pika.channel import Channel
    from pika.frame import Method
    from pika.spec import Basic, BasicProperties

Outcome = Exception | None


class _Batch:
    """The outcomes of one request, until all are known. Only the connection's lock guards it."""

    def __init__(self, count: int) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.done: Future[None] = Future()
        self._count = count

    def settle(self, place: int, outcome: Outcome) -> None:
        """What became of one message."""
        self.outcomes.setdefault(place, outcome)
        if len(self.outcomes) == self._count and not self.done.done():
            self.done.set_result(None)

    def settle_rest(self, outcome: Outcome) -> None:
        """What became of all messages that nothing is known of."""
        for place in range(self._count):
            self.settle(place, outcome)


class PublisherConnection:
    """A connection with one channel in confirm mode. Once it has failed, it stays failed."""

    def __init__(self, parameters: "URLParameters") -> None:
        from pika import SelectConnection  # noqa: PLC0415 (only runs that use it should load it)

        self._lock = threading.Lock()
        self._opened: Future[None] = Future()
        self._batches: set[_Batch] = set()
        self._failure: Outcome = None
        self._name = uuid.uuid4().hex
        self._pending: dict[int, tuple[_Batch, int]] = {}  # by delivery tag, ascending
        self._returned: set[int] = set()
        self._sent = 0
        self._channel: Channel | None = None
        self._connection = SelectConnection(parameters, self._on_open, self._on_open_error, self._on_closed)
        self._thread = threading.Thread(target=self._serve, name="rabbitmq", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether the connection has not failed yet."""
        return self._failure is None

    def wait_until_open(self, seconds: float) -> None:
        """Wait for the connection; raises what has kept it from being made."""
        self._opened.result(seconds)

    def publish(self, topic: str, messages: Sequence[Message], seconds: float) -> list[Outcome]:
        """Publish to the queue `topic`; for each message None once it is confirmed, or why it is not."""
        batch = _Batch(len(messages))
        with self._lock:
            if self._failure is not None:
                return [self._failure] * len(messages)
            self._batches.add(batch)
            # Before the loop can be closed, which is after the failure is set.
            self._connection.ioloop.add_callback_threadsafe(lambda: self._send(topic, messages, batch))
        with suppress(TimeoutError):
            batch.done.result(seconds)
        with self._lock:
            self._batches.discard(batch)
            batch.settle_rest(TimeoutError(f"not confirmed within {seconds:g} s"))
            return [batch.outcomes[place] for place in range(len(messages))]

    def close(self, seconds: float) -> None:
        """Close the connection, and wait for that."""
        with self._lock:
            if self._failure is None:
                self._connection.ioloop.add_callback_threadsafe(self._close)
        self._thread.join(seconds)

    def _serve(self) -> None:
        loop = self._connection.ioloop
        try:
            loop.start()
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait must get it)
            self._end(error)
        finally:
            self._end(ConnectionError("the connection was closed"))
            loop.close()

    def _close(self) -> None:
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()  # one that is still being made as well

    def _end(self, reason: Exception) -> None:
        """The connection is of no more use: whoever waits is told why."""
        with self._lock:
            self._failure = self._failure or reason
            for batch in self._batches:
                batch.settle_rest(self._failure)
            self._batches.clear()
        self._pending.clear()
        if not self._opened.done():
            self._opened.set_exception(reason)

    def _on_open(self, connection: "SelectConnection") -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: "Channel") -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)
        self._channel = channel

    def _on_ready(self, _frame: "Method[Any]") -> None:
        self._opened.set_result(None)

    def _on_open_error(self, _connection: "SelectConnection", error: BaseException) -> None:
        self._end(root_cause(error))
        self._connection.ioloop.stop()

    def _on_channel_closed(self, _channel: "Channel", reason: Exception) -> None:
        self._end(reason)
        self._close()

    def _on_closed(self, _connection: "SelectConnection", reason: BaseException) -> None:
        self._end(root_cause(reason))
        self._connection.ioloop.stop()

    def _send(self, topic: str, messages: Sequence[Message], batch: _Batch) -> None:
        from pika import BasicProperties, DeliveryMode  # noqa: PLC0415 (as above)

        for place, message in enumerate(messages):
            if self._channel is None or not self._channel.is_open:
                return  # whoever waits is told by `_end`
            if batch.done.done():
                return  # nobody waits any more: the time is over
            tag = self._sent + 1
            properties = BasicProperties(
                content_type="application/json",
                delivery_mode=DeliveryMode.Persistent.value,
                message_id=f"{self._name}-{tag}",
            )
            try:
                self._channel.basic_publish("", topic, message.body, properties, mandatory=True)
            except Exception as error:  # noqa: BLE001 (a name that AMQP cannot carry fails alone)
                self._settle(batch, place, error)
            else:
                self._sent = tag
                self._pending[tag] = (batch, place)

    def _on_return(
        self, _channel: "Channel", _method: "Basic.Return", properties: "BasicProperties", _body: bytes
    ) -> None:
        """No queue took a message. The broker confirms it all the same, after this."""
        name, _, tag = str(properties.message_id).rpartition("-")
        if name == self._name:
            self._returned.add(int(tag))

    def _on_confirm(self, frame: "Method[Any]") -> None:
        from pika.exceptions import NackError, UnroutableError  # noqa: PLC0415 (as above)
        from pika.spec import Basic  # noqa: PLC0415 (as above)

        last = frame.method.delivery_tag
        tags = [last]
        if frame.method.multiple:
            tags = [tag for tag in self._pending if tag <= last or last == 0]
        for tag in tags:
            batch, place = self._pending.pop(tag)
            outcome: Outcome = None
            if isinstance(frame.method, Basic.Nack):
                outcome = NackError([])
            elif tag in self._returned:
                outcome = UnroutableError([])
            self._returned.discard(tag)
            self._settle(batch, place, outcome)

    def _settle(self, batch: _Batch, place: int, outcome: Outcome) -> None:
        with self._lock:
            batch.settle(place, outcome)


class SharedConnection:
    """The connection of all threads, made when it is needed and again when it has failed."""

    def __init__(self, parameters: "URLParameters", seconds: float) -> None:
        self._parameters = parameters
        self._seconds = seconds
        self._lock = threading.Lock()
        self._connection: PublisherConnection | None = None
        self._failure: tuple[float, Exception] = (float("-inf"), OSError())  # the last one, and when

    def get(self, seconds: float) -> PublisherConnection:
        """A connection that is open, or what has kept it from being made within so many seconds, raised."""
        begun = time.monotonic()
        with self._lock:
            if self._connection is not None and self._connection.usable:
                return self._connection
            failed, error = self._failure
            if failed > begun:
                raise error  # those that waited share the outcome
            self._disconnect()
            connection = PublisherConnection(self._parameters)
            try:
                connection.wait_until_open(seconds)
            except Exception as failure:
                connection.close(self._seconds)
                self._failure = (time.monotonic(), failure)
                raise
            self._connection = connection
            return connection

    def close(self) -> None:
        """Close the connection if there is one."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close(self._seconds)
            self._connection = None


def root_cause(error: BaseException) -> Exception:
    """What pika's workflow of connecting wraps: the last attempt's own error."""
    while nested := getattr(error, "exceptions", None) or getattr(error, "exception", None):
        error = nested[-1] if isinstance(nested, list | tuple) else nested
    return error if isinstance(error, Exception) else ConnectionError(str(error))
