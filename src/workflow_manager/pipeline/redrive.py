"""Dead letters -> back on a topic: published, acknowledged, and only then removed.

Killed between the two, a letter is in both places, and is put back once more by the next redrive.
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

# Most letters that are published and not removed yet: what a redrive that is killed repeats.
MOST_IN_FLIGHT = 100
_EXAMPLES = 5


@dataclass(slots=True)
class RedriveReport:
    """What became of the letters that were looked at.

    `redriven` are on the topic, in a dry run those that would be. Of them, `not_removed` are still
    in their old place, too. `duplicates` are byte for byte what was put back, `not_chosen` are tasks of
    other aggregations, `foreign` are none of our messages; all these were left, as were those that
    `failed`. `errors` has the first messages of failures, `stopped` why the rest was not tried.
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
        """Keep the first few messages."""
        if len(self.errors) < _EXAMPLES:
            self.errors.append(explain(error))


@dataclass(frozen=True, slots=True)
class _Chosen:
    letter: DeadLetter
    message: Message


class Redrive:
    """Puts dead letters from `source` back to `topic`: `most` of those whose aggregation is `wanted`."""

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
        self._left: set[str] = set()  # the IDs of letters that were looked at and left
        # Digests of what was put back. It may come round to where it was, and would go on for ever.
        self._put: set[bytes] = set()
        self._at_once = min(MOST_IN_FLIGHT, queue.limits.messages)
        self.report = RedriveReport()

    def run(self, letters: DeadLetters) -> RedriveReport:
        """Look through the letters until there are no more, or enough are put back."""
        try:
            while not self.report.stopped and self._room() > 0:
                taken = letters.take(self._at_once)
                new = [letter for letter in taken if letter.id not in self._left]
                if not new:  # what was left comes round again
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
                pass  # enough: it is left for another time
            elif self._fits(letter):
                key = f"redrive/{self._source}/{letter.id}"  # not the task's: it may be a repeat of that
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
        cause = f"a message has {size} bytes, and it takes {most}"
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
        self._left.update(letter.id for letter in published)  # never publish one twice
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
