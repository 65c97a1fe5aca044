"""What every TaskQueue promises, as a test suite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from workflow_manager.ports import Message, TaskQueue


class QueueContract:
    """Subclass this with a fixture `queue`, and say how to read back what it has published.

    The fixture gives an open queue on which the topics `topic` and `other_topic` exist and are
    empty, as after `prepare`. Where topics cannot have just these names, it sets others.
    """

    topic: str = "intake"
    other_topic: str = "aggregate"

    @pytest.fixture
    def queue(self) -> Iterator[TaskQueue]:
        """An open queue."""
        raise NotImplementedError("a suite for a queue needs a fixture `queue`")

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        """The bodies on a topic, `count` of them, in any order; fewer if no more come."""
        raise NotImplementedError("a suite for a queue has to read back what was published")

    def test_each_message_is_acknowledged_in_order(self, queue: TaskQueue) -> None:
        sent = messages(5)
        assert list(queue.publish(self.topic, sent)) == [None] * 5
        assert sorted(self.received(queue, self.topic, 5)) == sorted(message.body for message in sent)

    def test_bodies_arrive_unchanged(self, queue: TaskQueue) -> None:
        body = '{"aggregation-id":"über \\u2028 <&> 💶","batch-id":"%2F+"}'.encode()
        queue.publish(self.topic, [Message(body, "über", "task-markers/intake-über")])
        assert self.received(queue, self.topic, 1) == [body]

    def test_topics_are_apart(self, queue: TaskQueue) -> None:
        one, other = messages(2)
        queue.publish(self.topic, [one])
        queue.publish(self.other_topic, [other])
        assert self.received(queue, self.other_topic, 1) == [other.body]
        assert self.received(queue, self.topic, 1) == [one.body]

    def test_a_request_can_have_as_many_messages_as_the_limits_say(self, queue: TaskQueue) -> None:
        count = min(queue.limits.messages, 1000)
        sent = messages(count)
        assert list(queue.publish(self.topic, sent)) == [None] * count
        assert len(self.received(queue, self.topic, count)) == count

    def test_a_message_can_be_as_long_as_the_limits_say(self, queue: TaskQueue) -> None:
        length = min(queue.limits.message_bytes, queue.limits.request_bytes)
        body = b"{" + b"x" * (length - 2) + b"}"
        assert list(queue.publish(self.topic, [Message(body, "long", "task-markers/long")])) == [None]
        assert self.received(queue, self.topic, 1) == [body]

    def test_one_queue_serves_many_threads(self, queue: TaskQueue) -> None:
        batches = [messages(5, f"thread-{number}") for number in range(16)]
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda batch: queue.publish(self.topic, batch), batches))
        assert all(list(outcome) == [None] * 5 for outcome in outcomes)
        expected = sorted(message.body for batch in batches for message in batch)
        assert sorted(self.received(queue, self.topic, len(expected))) == expected

    def test_preparing_again_is_harmless(self, queue: TaskQueue) -> None:
        (message,) = messages(1)
        queue.publish(self.topic, [message])
        queue.prepare([self.topic, self.other_topic])
        assert self.received(queue, self.topic, 1) == [message.body]


def messages(count: int, name: str = "m") -> list[Message]:
    """So many different messages."""
    return [
        Message(f'{{"batch-id":"{name}-{number}"}}'.encode(), name, f"task-markers/intake-{name}-{number}")
        for number in range(count)
    ]
