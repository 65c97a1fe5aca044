"""What every Inspectable queue promises, as a test suite; a Browsable one is browsed, too."""

from collections.abc import Iterator

import pytest

from workflow_manager.errors import QueueError
from workflow_manager.ports import TaskQueue
from workflow_manager.queue_ports import Browsable, Inspectable, TopicDirectory, TopicStats
from workflow_manager.testing.queue_contract import messages


class InspectContract:
    """Subclass this with a fixture `queue`, as for QueueContract, and say how many are on a topic.

    `unknown_topic` is the name of a topic that is not there, None where any name is a topic.
    """

    topic: str = "intake"
    unknown_topic: str | None = "no-such-topic"

    @pytest.fixture
    def queue(self) -> Iterator[TaskQueue]:
        """An open queue with an empty topic."""
        raise NotImplementedError("a suite for a queue needs a fixture `queue`")

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        """The bodies on a topic, as for QueueContract."""
        raise NotImplementedError("a suite for a queue has to read back what was published")

    def test_what_was_published_is_waiting(self, queue: TaskQueue) -> None:
        queue.publish(self.topic, messages(3))
        stats = stats_of(queue, self.topic)
        assert stats.waiting in (3, None)
        assert stats.leased in (0, None)

    def test_what_is_not_told_is_to_be_found_elsewhere(self, queue: TaskQueue) -> None:
        queue.publish(self.topic, messages(3))
        stats = stats_of(queue, self.topic)
        untold = [stats.waiting, stats.leased, stats.oldest_seconds, stats.dead].count(None)
        assert bool(stats.elsewhere) or not untold
        assert stats.oldest_seconds is None or 0 <= stats.oldest_seconds < 3600

    def test_inspecting_takes_nothing(self, queue: TaskQueue) -> None:
        sent = messages(3)
        queue.publish(self.topic, sent)
        for _ in range(2):
            stats_of(queue, self.topic)
        assert sorted(self.received(queue, self.topic, 3)) == sorted(message.body for message in sent)

    def test_an_unknown_topic_is_an_error(self, queue: TaskQueue) -> None:
        if self.unknown_topic is None:
            return
        assert isinstance(queue, Inspectable)
        with pytest.raises(QueueError):
            queue.stats(self.unknown_topic)

    def test_browsing_shows_all_in_order_and_takes_nothing(self, queue: TaskQueue) -> None:
        if not isinstance(queue, Browsable):
            return
        sent = messages(120)
        for begin in range(0, len(sent), queue.limits.messages):
            queue.publish(self.topic, sent[begin : begin + queue.limits.messages])
        for _ in range(2):
            seen = list(queue.browse(self.topic))
            assert [message.body for message in seen] == [message.body for message in sent]
            assert len({message.id for message in seen}) == len(sent)
        assert len(self.received(queue, self.topic, 120)) == len(sent)

    def test_a_queue_that_knows_its_topics_names_this_one(self, queue: TaskQueue) -> None:
        queue.publish(self.topic, messages(1))
        if isinstance(queue, TopicDirectory):
            assert self.topic in queue.topic_names()


def stats_of(queue: TaskQueue, topic: str) -> TopicStats:
    """How full a topic is; fails if the queue cannot tell."""
    assert isinstance(queue, Inspectable)
    return queue.stats(topic)
