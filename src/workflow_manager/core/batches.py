"""The names of one hour -> which batches are ready, which incomplete, and which names malformed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from workflow_manager.core.names import (
    PART_ENDINGS,
    Batch,
    BatchIds,
    Part,
    fold_parts,
    is_usual_tail,
    path_time,
    tail_batch,
    tail_problem,
)
from workflow_manager.core.windows import Window


class Malformed(NamedTuple):
    """An object in a place for batches whose name cannot be a batch's, and why."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class HourOfBatches:
    """What the listing of one hour of one aggregation says of its batches.

    `ready` is in order of time, then ID, and so is `incomplete`, which says what parts each has.
    """

    ready: list[Batch] = field(default_factory=list)
    incomplete: dict[Batch, int] = field(default_factory=dict)
    malformed: list[Malformed] = field(default_factory=list)

    def within(self, window: Window) -> "HourOfBatches":
        """The batches of this hour that lie in `window`. Malformed names have no time and stay out."""
        begin, end = path_time(window.begin), path_time(window.end)
        return HourOfBatches(
            [batch for batch in self.ready if begin <= batch.time < end],
            {batch: there for batch, there in self.incomplete.items() if begin <= batch.time < end},
        )


class HourOfNames:
    """The objects of one hour as a listing gives them, folded at once into batches and their parts.

    Of each batch, one name is kept rather than three keys: an hour can hold very many.
    """

    def __init__(self, prefix: str, hour: str, infix: str, batch_ids: BatchIds) -> None:
        self._batch_ids = batch_ids
        self._hour = hour
        self._dot = f".{infix}"
        self._start = len(prefix) + len(hour)
        self._parts: dict[str, int] = {}

    def add(self, keys: Sequence[str]) -> None:
        """Take in keys, all of which begin with the prefix and the hour."""
        fold_parts(keys, self._start, self._dot, self._parts)

    def batches(self, enough: int) -> HourOfBatches:
        """Which batches there are; can be asked once, since the names are let go of on the way.

        A batch is ready when the objects named by `enough` exist: all three of an
        ingestion, the signature alone of a validation (newer facilitators put the
        whole validation into the signature object).
        """
        found = HourOfBatches()
        incomplete: dict[Batch, int] = {}
        start = self._start
        while self._parts:
            stem, there = self._parts.popitem()
            tail = stem[start:]
            if is_usual_tail(tail):
                if there & enough == enough:
                    found.ready.append(tail_batch(self._hour, tail))
                else:
                    incomplete[tail_batch(self._hour, tail)] = there
                continue
            if there & Part.OTHER and there != Part.OTHER and tail_problem(tail, there, self._batch_ids):
                # Names that are malformed, and one that is not, as it is none of a batch's three objects.
                self._parts[stem] = there ^ Part.OTHER
                there = Part.OTHER
            if problem := tail_problem(tail, there, self._batch_ids):
                found.malformed.extend(Malformed(key, problem) for key in self._keys(stem, there))
            elif there & enough == enough:
                found.ready.append(tail_batch(self._hour, tail))
            else:
                incomplete[tail_batch(self._hour, tail)] = there
        found.ready.sort()
        found.incomplete.update(sorted(incomplete.items()))
        found.malformed.sort()
        return found

    def _keys(self, name: str, there: int) -> Iterator[str]:
        """The keys that were folded into one name."""
        if there & Part.OTHER:
            yield name
        for ending, part in PART_ENDINGS.items():
            if there & part:
                yield f"{name}{self._dot}{ending}"
