"""Putting dead letters back: what is published, what is removed, and what is left where it is."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta

import pytest

from support.harness import FaultyQueue
from workflow_manager.core.patterns import matcher
from workflow_manager.core.task_messages import aggregation_of
from workflow_manager.errors import QueueError
from workflow_manager.pipeline.redrive import Redrive, RedriveReport
from workflow_manager.ports import Limits, Message
from workflow_manager.queue_ports import DeadLetter, DeadLetters


def intake(number: int, aggregation: str = "kittens") -> bytes:
    task = {
        "trace-id": f"t{number}",
        "aggregation-id": aggregation,
        "batch-id": "b",
        "date": "2026/11/22/16/05",
    }
    return json.dumps(task).encode()


AGGREGATION = json.dumps(
    {
        "trace-id": "t",
        "aggregation-id": "puppies",
        "aggregation-start": "2026/11/22/16/00",
        "aggregation-end": "2026/11/23/00/00",
        "batches": [{"id": "b", "time": "2026/11/22/16/05"}],
    }
).encode()
FOREIGN = [
    b"",
    b"not json {",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"aggregation-id": "kittens"}',
    b'{"trace-id": "t", "aggregation-id": 7, "batch-id": "b", "date": "d"}',
    b'{"Type": "Notification", "Message": "{}"}',
    b"[" * 100_000,
]


@pytest.fixture
def queue() -> FaultyQueue:
    return FaultyQueue()


def bury(queue: FaultyQueue, *bodies: bytes) -> None:
    queue.published.setdefault("dead", []).extend(Message(body, "", "") for body in bodies)


def bodies(queue: FaultyQueue, topic: str) -> list[bytes]:
    return [message.body for message in queue.published.get(topic, [])]


def redrive(
    queue: FaultyQueue,
    *patterns: str,
    most: int | None = None,
    dry_run: bool = False,
    wrap: Callable[[DeadLetters], DeadLetters] = lambda letters: letters,
) -> RedriveReport:
    work = Redrive(queue, "dead", "intake", matcher(patterns), most=most, dry_run=dry_run)
    with closing(queue.dead_letters("dead", "intake", timedelta(minutes=1))) as letters:
        return work.run(wrap(letters))


def test_all_letters_are_put_back_and_removed(queue: FaultyQueue) -> None:
    sent = [*(intake(number) for number in range(250)), AGGREGATION]
    bury(queue, *sent)
    assert redrive(queue).redriven == 251
    assert bodies(queue, "intake") == sent
    assert bodies(queue, "dead") == []


def test_messages_that_are_not_ours_are_left_and_counted(queue: FaultyQueue) -> None:
    bury(queue, intake(1), *FOREIGN, intake(2))
    report = redrive(queue)
    assert (report.redriven, report.foreign, report.succeeded) == (2, len(FOREIGN), True)
    assert bodies(queue, "dead") == FOREIGN


def test_only_tasks_of_the_named_aggregations_are_put_back(queue: FaultyQueue) -> None:
    names = ["com.apple.EN", "com.apple.EN.x", "com.google.EN", "com", "a*b"]
    bury(queue, *(intake(number, name) for number, name in enumerate(names)))
    report = redrive(queue, "com.apple.*", "com")
    assert (report.redriven, report.not_chosen) == (3, 2)
    assert [aggregation_of(body) for body in bodies(queue, "intake")] == [*names[:2], "com"]


@pytest.mark.parametrize("most", [1, 7, 100, 101, 150])
def test_no_more_are_put_back_than_were_asked_for(most: int, queue: FaultyQueue) -> None:
    bury(queue, *(intake(number) for number in range(150)))
    assert redrive(queue, most=most).redriven == most
    assert len(bodies(queue, "dead")) == 150 - most


def test_a_dry_run_counts_and_changes_nothing(queue: FaultyQueue) -> None:
    bury(queue, *(intake(number) for number in range(120)), b"foreign")
    report = redrive(queue, dry_run=True)
    assert (report.redriven, report.foreign) == (120, 1)
    assert bodies(queue, "intake") == []
    assert len(bodies(queue, "dead")) == 121


def test_a_message_that_is_refused_stays_and_its_neighbours_go(queue: FaultyQueue) -> None:
    bury(queue, *(intake(number) for number in range(5)))
    queue.refuses_message = lambda message: message.body == intake(3)
    report = redrive(queue)
    assert (report.redriven, report.failed, report.succeeded) == (4, 1, False)
    assert bodies(queue, "dead") == [intake(3)]
    assert "injected" in report.errors[0]


def test_a_queue_that_refuses_all_stops_the_redrive_and_nothing_is_removed(queue: FaultyQueue) -> None:
    bury(queue, *(intake(number) for number in range(250)))
    queue.refuses_request = lambda: QueueError("publish to", "intake", "down")
    report = redrive(queue)
    assert "down" in report.stopped
    assert not report.succeeded
    assert len(bodies(queue, "dead")) == 250
    assert queue.requests == [100]


def test_a_message_that_is_too_long_for_the_topic_stays(queue: FaultyQueue) -> None:
    queue.limits = Limits(messages=10, request_bytes=500, message_bytes=500)  # type: ignore[misc]
    bury(queue, intake(1), intake(2, "x" * 500), intake(3))
    report = redrive(queue)
    assert (report.redriven, report.failed) == (2, 1)
    assert "the limit is 500" in report.errors[0]
    assert bodies(queue, "dead") == [intake(2, "x" * 500)]


def test_each_message_has_a_key_of_its_own_that_is_not_its_tasks(queue: FaultyQueue) -> None:
    bury(queue, intake(1), intake(2))
    redrive(queue)
    keys = [message.key for message in queue.published["intake"]]
    assert len(set(keys)) == 2
    assert all(key.startswith("redrive/dead/") for key in keys)
    assert {message.group for message in queue.published["intake"]} == {"kittens"}


class Wrapped:
    """Dead letters that go wrong."""

    def __init__(self, letters: DeadLetters) -> None:
        self.letters = letters

    def take(self, most: int) -> Sequence[DeadLetter]:
        return self.letters.take(most)

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        return self.letters.remove(letters)

    def close(self) -> None:
        self.letters.close()


def test_what_was_published_and_not_removed_is_told_and_not_published_twice(queue: FaultyQueue) -> None:
    class Sticky(Wrapped):
        def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
            return [QueueError("remove", "it", "sticks")] * len(letters)

        def take(self, most: int) -> Sequence[DeadLetter]:  # all of them, again and again
            return [DeadLetter(body.decode(), body, "") for body in bodies(queue, "dead")]

    bury(queue, intake(1), intake(2))
    report = redrive(queue, wrap=Sticky)
    assert (report.redriven, report.not_removed, report.succeeded) == (2, 2, False)
    assert len(bodies(queue, "intake")) == 2
    assert len(bodies(queue, "dead")) == 2


def test_a_failing_removal_stops_the_redrive(queue: FaultyQueue) -> None:
    class Broken(Wrapped):
        def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
            raise QueueError("remove", "it", "broken")

    bury(queue, *(intake(number) for number in range(150)))
    report = redrive(queue, wrap=Broken)
    assert (report.redriven, report.not_removed) == (100, 100)
    assert "broken" in report.stopped


def test_what_comes_round_to_where_it_was_is_put_back_only_once(queue: FaultyQueue) -> None:
    class Loop(Wrapped):
        def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
            bury(queue, *(letter.body for letter in letters))
            return super().remove(letters)

    bury(queue, *(intake(number) for number in range(150)))
    report = redrive(queue, wrap=Loop)
    assert (report.redriven, report.duplicates) == (150, 150)
    assert len(bodies(queue, "dead")) == 150


def test_a_place_that_cannot_be_read_is_told(queue: FaultyQueue) -> None:
    class Unreadable(Wrapped):
        def take(self, most: int) -> Sequence[DeadLetter]:
            raise QueueError("read", "dead", "forbidden")

    bury(queue, intake(1))
    assert "forbidden" in redrive(queue, wrap=Unreadable).stopped
