"""A message longer than the queue takes: refused before it is sent, unless its topic is set to take it."""

import re

import pytest

from support.harness import FaultyQueue, Harness
from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, TopicLimit

IN_AGGREGATION = "2026/11/22/16"  # and in the intake window of a day


class LimitedQueue(FaultyQueue):
    """A queue with small limits whose topics can be set to take more."""

    def __init__(self, topic_bytes: int, most_bytes: int = 2000) -> None:
        super().__init__()
        self.limits = Limits(messages=10, request_bytes=500, message_bytes=500)  # type: ignore[misc]
        self.topic_bytes = topic_bytes
        self.most_bytes = most_bytes
        self.asked: list[str] = []

    def topic_limit(self, topic: str) -> TopicLimit:
        self.asked.append(topic)
        if not self.topic_bytes:
            raise QueueError("read the size limit of", topic, "forbidden")
        return TopicLimit(self.topic_bytes, "LongestMessage", self.most_bytes)


def run(queue: FaultyQueue, batches: int) -> Harness:
    """A run over three aggregations, of which the last has few batches."""
    harness = Harness()
    harness.queue = queue
    for aggregation, count in (("a", batches), ("b", batches), ("few", 1)):
        for number in range(count):
            time, batch = f"{IN_AGGREGATION}/{number:02}", f"00000000-0000-4000-8000-{number:012}"
            harness.ingest(aggregation, time, batch)
            harness.validate(aggregation, time, batch)
    return harness


def test_a_topic_that_takes_more_gets_the_message_in_a_request_of_its_own() -> None:
    queue = LimitedQueue(topic_bytes=2000)
    harness = run(queue, 10)
    assert harness.run().succeeded
    assert sorted(len(body["batches"]) for body in queue.bodies("aggregate")) == [1, 10, 10]
    assert queue.asked == ["aggregate"], "asked once, and only for the topic that needs it"


def test_no_topic_is_asked_while_every_message_is_short() -> None:
    queue = LimitedQueue(topic_bytes=2000)
    assert run(queue, 1).run().succeeded
    assert queue.asked == []


@pytest.mark.parametrize(
    ("topic_bytes", "most_bytes", "told"),
    [
        (600, 2000, r"and LongestMessage of aggregate is 600 \(set LongestMessage to [0-9]{3} or more\)"),
        (600, 700, r"LongestMessage of aggregate is 600 \(it can be 700 at most; aggregate shorter windows"),
        (0, 2000, r"the queue accepts 500 unless the topic allows more: .*forbidden"),
    ],
)
def test_a_message_that_the_topic_does_not_take_fails_alone_and_the_error_says_what_to_set(
    topic_bytes: int, most_bytes: int, told: str
) -> None:
    queue = LimitedQueue(topic_bytes, most_bytes)
    harness = run(queue, 10)
    assert not harness.run().succeeded
    assert [body["aggregation-id"] for body in queue.bodies("aggregate")] == ["few"]
    failures = [event.message for event in harness.events.named("task.failed")]
    assert len(failures) == 2
    for failure in failures:
        assert re.search(told, failure), failure
