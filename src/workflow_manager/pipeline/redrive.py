"""Moves dead letters back to a topic: publishes them, and removes them once they are acknowledged.

If it is killed in between, a letter is in both places, and the next redrive publishes it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from workflow_manager.core.task_messages import aggregation_of
from workflow_manager.errors import QueueError, explain
from workflow_manager.pipeline.message_limits import MessageLimits
from workflow_manager.pipeline.publish import requests
from workflow_manager.ports import Message, TaskQueue
from workflow_manager.queue_ports import DeadLetter, DeadLetters

# The most letters that are published but not removed yet, which the redrive after a kill repeats.
MOST_IN_FLIGHT = 100
_EXAMPLES = 5


@dataclass(slots=True)
class RedriveReport:
    """How many letters were redriven, and how many were left in place and why.

    `redriven` letters are on the topic, or would be without a dry run; `not_removed` of them are also
    still at the source. Left at the source: `duplicates` of redriven letters (byte for byte),
    `not_chosen` tasks of other aggregations, `foreign` messages that are not tasks, and letters that
    `failed`. `errors` holds the first errors, `stopped` why the redrive stopped early, if it did.
    """

    redriven: int = 0
    not_removed: int = 0
    duplicates: int = 0
    not_chosen: int = 0
    foreign: int = 0
    failed: int = 0
    stopped: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return not (self.failed or self.not_removed or self.stopped)

    def note(self, error: Exception) -> None:
        """Keep the first few errors."""
        if len(self.errors) < _EXAMPLES:
            self.errors.append(explain(error))


@dataclass(frozen=True, slots=True)
class _Chosen:
    letter: DeadLetter
    message: Message


class Redrive:
    """Moves up to `most` dead letters of the `wanted` aggregations from `source` to `topic`."""

    def __init__(
        self,
        queue: TaskQueue,
        source: str,
        topic: str,
        wanted: Callable[[str], bool],
        *,
        most: int | None = None,
        dry_run: bool = False,
    ) -> None:
        self._queue = queue
        self._source = source
        self._topic = topic
        self._wanted = wanted
        self._most = most
        self._dry_run = dry_run
        self._limits = MessageLimits(queue)
        self._left: set[str] = set()  # IDs of letters that stay at the source
        # Digests of redriven letters. A letter that returns to the source would be redriven forever.
        self._put: set[bytes] = set()
        self._at_once = min(MOST_IN_FLIGHT, queue.limits.messages)
        self.report = RedriveReport()

    def run(self, letters: DeadLetters) -> RedriveReport:
        """Redrive letters until there are no more, or `most` are redriven."""
        try:
            while not self.report.stopped and self._room() > 0:
                taken = letters.take(self._at_once)
                new = [letter for letter in taken if letter.id not in self._left]
                if not new:  # the source returns letters that were left
                    break
                self._put_back(letters, self._choose(new))
        except QueueError as error:
            self._stop(error)
        return self.report

    def _room(self) -> int:
        return self._at_once if self._most is None else self._most - self.report.redriven

    def _choose(self, letters: Sequence[DeadLetter]) -> list[_Chosen]:
        chosen: list[_Chosen] = []
        room = self._room()
        for letter in letters:
            aggregation = aggregation_of(letter.body)
            if aggregation is None:
                self.report.foreign += 1
            elif not self._wanted(aggregation):
                self.report.not_chosen += 1
            elif (digest := sha256(letter.body).digest()) in self._put:
                self.report.duplicates += 1
            elif len(chosen) == room:
                pass  # `most` is reached
            elif self._fits(letter):
                key = f"redrive/{self._source}/{letter.id}"  # not the task's own, which may be used already
                chosen.append(_Chosen(letter, Message(letter.body, aggregation, key)))
                self._put.add(digest)
                continue
            self._left.add(letter.id)
        return chosen

    def _fits(self, letter: DeadLetter) -> bool:
        size = len(letter.body)
        if size <= self._queue.limits.message_bytes or size <= (most := self._limits.most_bytes(self._topic)):
            return True
        self.report.failed += 1
        cause = f"the message has {size} bytes; the limit is {most}"
        self.report.note(QueueError("publish to", f"topic {self._topic}", cause))
        return False

    def _put_back(self, letters: DeadLetters, chosen: Sequence[_Chosen]) -> None:
        if self._dry_run:
            self.report.redriven += len(chosen)
            self._left.update(one.letter.id for one in chosen)
            return
        for request in requests(chosen, self._queue.limits):
            outcomes = self._queue.publish(self._topic, [one.message for one in request])
            taken = []
            for one, error in zip(request, outcomes, strict=True):
                if error is None:
                    taken.append(one.letter)
                else:
                    self.report.failed += 1
                    self.report.note(error)
                    self._left.add(one.letter.id)
            self.report.redriven += len(taken)
            self._remove(letters, taken)
            if not taken:
                self._stop(next(error for error in outcomes if error))
                return

    def _remove(self, letters: DeadLetters, published: Sequence[DeadLetter]) -> None:
        if not published:
            return
        self._left.update(letter.id for letter in published)  # never publish a letter twice
        try:
            outcomes = letters.remove(published)
        except QueueError as error:
            self.report.not_removed += len(published)
            self._stop(error)
            return
        for outcome in outcomes:
            if outcome is not None:
                self.report.not_removed += 1
                self.report.note(outcome)

    def _stop(self, error: QueueError) -> None:
        self.report.stopped = str(error)
