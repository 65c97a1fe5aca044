"""What every TaskQueue promises, as a test suite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from workflow_manager.ports import Message, TaskQueue

TOPIC = "intake"
OTHER_TOPIC = "aggregate"


class QueueContract:
    """Subclass this with a fixture `queue`, and say how to read back what it has published.

    The fixture gives an open queue on which the topics `intake` and `aggregate` exist and
    are empty, as after `prepare`.
    """

    @pytest.fixture
    def queue(self) -> Iterator[TaskQueue]:
        """An open queue."""
        raise NotImplementedError("a suite for a queue needs a fixture `queue`")

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        """The bodies on a topic, `count` of them, in any order; fewer if no more come."""
        raise NotImplementedError("a suite for a queue has to read back what was published")

    def test_each_message_is_acknowledged_in_order(self, queue: TaskQueue) -> None:
        sent = messages(5)
        assert list(queue.publish(TOPIC, sent)) == [None] * 5
        assert sorted(self.received(queue, TOPIC, 5)) == sorted(message.body for message in sent)

    def test_bodies_arrive_unchanged(self, queue: TaskQueue) -> None:
        body = '{"aggregation-id":"über \\u2028 <&> 💶","batch-id":"%2F+"}'.encode()
        queue.publish(TOPIC, [Message(body, "über", "task-markers/intake-über")])
        assert self.received(queue, TOPIC, 1) == [body]

    def test_topics_are_apart(self, queue: TaskQueue) -> None:
        one, other = messages(2)
        queue.publish(TOPIC, [one])
        queue.publish(OTHER_TOPIC, [other])
        assert self.received(queue, OTHER_TOPIC, 1) == [other.body]
        assert self.received(queue, TOPIC, 1) == [one.body]

    def test_a_request_can_have_as_many_messages_as_the_limits_say(self, queue: TaskQueue) -> None:
        count = min(queue.limits.messages, 1000)
        sent = messages(count)
        assert list(queue.publish(TOPIC, sent)) == [None] * count
        assert len(self.received(queue, TOPIC, count)) == count

    def test_a_message_can_be_as_long_as_the_limits_say(self, queue: TaskQueue) -> None:
        length = min(queue.limits.message_bytes, queue.limits.request_bytes)
        body = b"{" + b"x" * (length - 2) + b"}"
        assert list(queue.publish(TOPIC, [Message(body, "long", "task-markers/long")])) == [None]
        assert self.received(queue, TOPIC, 1) == [body]

    def test_one_queue_serves_many_threads(self, queue: TaskQueue) -> None:
        batches = [messages(5, f"thread-{number}") for number in range(16)]
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda batch: queue.publish(TOPIC, batch), batches))
        assert all(list(outcome) == [None] * 5 for outcome in outcomes)
        expected = sorted(message.body for batch in batches for message in batch)
        assert sorted(self.received(queue, TOPIC, len(expected))) == expected

    def test_preparing_again_is_harmless(self, queue: TaskQueue) -> None:
        (message,) = messages(1)
        queue.publish(TOPIC, [message])
        queue.prepare([TOPIC, OTHER_TOPIC])
        assert self.received(queue, TOPIC, 1) == [message.body]


def messages(count: int, name: str = "m") -> list[Message]:
    """So many different messages."""
    return [
        Message(f'{{"batch-id":"{name}-{number}"}}'.encode(), name, f"task-markers/intake-{name}-{number}")
        for number in range(count)
    ]
