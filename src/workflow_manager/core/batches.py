"""The names of one hour -> which batches are ready, which incomplete, and which names malformed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import eq
from sys import intern
from typing import NamedTuple

from workflow_manager.core.name_ends import (
    fold_parts,
    is_usual_tail,
    split_complete,
    tail_batch,
    tail_problem,
)
from workflow_manager.core.names import PART_ENDINGS, Batch, BatchIds, BatchObjects, Part, path_time
from workflow_manager.core.windows import Window


class Malformed(NamedTuple):
    """An object in a place for batches whose name cannot be a batch's, and why."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class HourOfBatches:
    """What the listing of one hour of one aggregation says of its batches.

    `ready` is in order of time, then ID, and so is `incomplete`, which says what parts each has.
    `ready_are_usual` says that the IDs of all that are ready are UUIDs.
    """

    ready: list[Batch] = field(default_factory=list)
    incomplete: dict[Batch, int] = field(default_factory=dict)
    malformed: list[Malformed] = field(default_factory=list)
    ready_are_usual: bool = True

    def within(self, window: Window) -> "HourOfBatches":
        """The batches of this hour that lie in `window`. Malformed names have no time and stay out."""
        begin, end = path_time(window.begin), path_time(window.end)
        return HourOfBatches(
            [batch for batch in self.ready if begin <= batch.time < end],
            {batch: there for batch, there in self.incomplete.items() if begin <= batch.time < end},
        )


class HourOfNames:
    """The objects of one hour as a listing gives them, folded at once into batches and their parts.

    Of each batch, its time and ID are kept, or one name where it is not complete yet, rather than three
    keys: an hour can hold very many.
    """

    def __init__(self, prefix: str, hour: str, objects: BatchObjects, batch_ids: BatchIds) -> None:
        self._batch_ids = batch_ids
        self._hour = hour
        self._head = prefix + hour
        self._objects = objects
        self._dot = f".{objects.infix}"
        self._complete: list[Batch] = []
        self._parts: dict[str, int] = {}

    def add(self, keys: Sequence[str]) -> None:
        """Take in keys, in ascending order, all of which begin with the prefix and the hour."""
        head = self._head
        text = "\n".join([*keys, ""])
        lines = text.replace(head, "")
        if len(text) - len(lines) != len(head) * len(keys) or lines.count("\n") != len(keys):
            # Anyone can write names that contain a line break, or another name.
            fold_parts([key[len(head) :] for key in keys], self._dot, self._parts)
            return
        rest, minutes, ids = split_complete(lines, self._objects)
        times = {minute: intern(self._hour + minute) for minute in set(minutes)}
        self._complete += map(Batch._make, zip(map(times.__getitem__, minutes), ids, strict=True))
        if rest:
            fold_parts(rest.split("\n")[:-1], self._dot, self._parts)

    def batches(self) -> HourOfBatches:
        """Which batches there are; can be asked once, since the names are let go of on the way.

        A batch is ready when enough of its objects exist: all three of an ingestion, the signature alone of
        a validation.
        """
        ready, malformed, usual = self._complete, list[Malformed](), True
        incomplete: dict[Batch, int] = {}
        enough = self._objects.enough
        while self._parts:
            tail, there = self._parts.popitem()
            if is_usual_tail(tail):
                if there & enough == enough:
                    ready.append(tail_batch(self._hour, tail))
                else:
                    incomplete[tail_batch(self._hour, tail)] = there
                continue
            if there & Part.OTHER and there != Part.OTHER and tail_problem(tail, there, self._batch_ids):
                # Names that are malformed, and one that is not, as it is none of a batch's three objects.
                self._parts[tail] = there ^ Part.OTHER
                there = Part.OTHER
            if problem := tail_problem(tail, there, self._batch_ids):
                malformed.extend(Malformed(key, problem) for key in self._keys(tail, there))
            elif there & enough == enough:
                usual = False
                ready.append(tail_batch(self._hour, tail))
            else:
                incomplete[tail_batch(self._hour, tail)] = there
        if incomplete:
            for batch in incomplete.keys() & set(ready):  # other objects of one that was complete
                del incomplete[batch]
        ready.sort()
        if any(map(eq, ready, ready[1:])):  # a store that lists an object twice
            ready = list(dict.fromkeys(ready))
        return HourOfBatches(ready, dict(sorted(incomplete.items())), sorted(malformed), usual)

    def _keys(self, tail: str, there: int) -> Iterator[str]:
        """The keys that were folded into one name."""
        name = self._head + tail
        if there & Part.OTHER:
            yield name
        for ending, part in PART_ENDINGS.items():
            if there & part:
                yield f"{name}{self._dot}{ending}"
