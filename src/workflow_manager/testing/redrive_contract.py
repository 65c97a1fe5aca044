"""What every Redrivable queue promises, as a test suite."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import ClassVar

import pytest

from workflow_manager.errors import QueueError
from workflow_manager.ports import Message, TaskQueue
from workflow_manager.queue_ports import DeadLetter, DeadLetters, Redrivable

LEASE = timedelta(minutes=1)


class RedriveContract:
    """Subclass this with a fixture `queue`, and say in `bury` how messages get to be dead letters.

    The fixture gives an open queue on which `topic` exists, and a place `source` with no dead
    letters. Where they cannot have just these names, it sets others.
    """

    topic: str = "intake"
    source: str = "dead-letters"
    unknown_source: str | None = "no-such-place"
    stable_ids: ClassVar[bool] = True

    @pytest.fixture
    def queue(self) -> Iterator[TaskQueue]:
        """An open queue."""
        raise NotImplementedError("a suite for a queue needs a fixture `queue`")

    def bury(self, queue: TaskQueue, bodies: Sequence[bytes]) -> None:
        """Put messages into `source`: here by publishing them, where a topic can be the place."""
        publish_all(queue, self.source, bodies)

    def test_each_letter_is_taken_once(self, queue: TaskQueue) -> None:
        bodies = [f'{{"n":{number}}}'.encode() for number in range(25)]
        self.bury(queue, bodies)
        with closing(self._open(queue)) as letters:
            taken = take_all(letters, 10)
            assert sorted(letter.body for letter in taken) == sorted(bodies)
            assert len({letter.id for letter in taken}) == len(bodies)

    def test_no_more_are_taken_than_were_asked_for(self, queue: TaskQueue) -> None:
        self.bury(queue, [b"1", b"2", b"3"])
        with closing(self._open(queue)) as letters:
            assert len(letters.take(2)) <= 2

    def test_a_place_with_nothing_in_it_gives_nothing(self, queue: TaskQueue) -> None:
        self.bury(queue, [b"1"])
        with closing(self._open(queue)) as letters:
            letters.remove(take_all(letters, 10))
            assert list(letters.take(10)) == []

    def test_what_is_removed_is_gone(self, queue: TaskQueue) -> None:
        self.bury(queue, [b"%d" % number for number in range(12)])
        with closing(self._open(queue)) as letters:
            removed = [letter for letter in take_all(letters, 100) if int(letter.body) % 2]
            assert list(letters.remove(removed)) == [None] * 6
        with closing(self._open(queue)) as letters:
            assert sorted(int(letter.body) for letter in take_all(letters, 100)) == [0, 2, 4, 6, 8, 10]

    def test_what_is_not_removed_is_there_again_unchanged(self, queue: TaskQueue) -> None:
        body = '{"aggregation-id":"über \\u2028 <&> 💶","batch-id":"%2F+"}'.encode()
        self.bury(queue, [body])
        taken = []
        for _ in range(2):
            with closing(self._open(queue)) as letters:
                taken += take_all(letters, 10)
        assert [letter.body for letter in taken] == [body, body]
        if self.stable_ids:
            assert taken[0].id == taken[1].id

    def test_a_message_that_is_no_json_is_given_as_it_is(self, queue: TaskQueue) -> None:
        self.bury(queue, [b"not { json"])
        with closing(self._open(queue)) as letters:
            assert [letter.body for letter in take_all(letters, 10)] == [b"not { json"]

    def test_an_unknown_place_is_an_error(self, queue: TaskQueue) -> None:
        if self.unknown_source is None:
            return
        assert isinstance(queue, Redrivable)
        with pytest.raises(QueueError):
            queue.dead_letters(self.unknown_source, self.topic, LEASE).take(1)

    def test_a_place_that_what_is_put_back_would_come_to_is_refused(self, queue: TaskQueue) -> None:
        assert isinstance(queue, Redrivable)
        with pytest.raises(QueueError):
            queue.dead_letters(self.fed_by_topic(), self.topic, LEASE)

    def fed_by_topic(self) -> str:
        """A place that gets what is published to `topic`."""
        return self.topic

    def _open(self, queue: TaskQueue) -> DeadLetters:
        assert isinstance(queue, Redrivable)
        return queue.dead_letters(self.source, self.topic, LEASE)


def publish_all(queue: TaskQueue, topic: str, bodies: Sequence[bytes]) -> None:
    """Publish messages of which each is a task of its own."""
    sent = [Message(body, "a", f"task-markers/{uuid.uuid4()}") for body in bodies]
    for begin in range(0, len(sent), queue.limits.messages):
        for error in queue.publish(topic, sent[begin : begin + queue.limits.messages]):
            assert error is None


def take_all(letters: DeadLetters, at_once: int) -> list[DeadLetter]:
    """All letters that there are."""
    found: list[DeadLetter] = []
    while taken := letters.take(at_once):
        assert len(taken) <= at_once
        found += taken
    return found
