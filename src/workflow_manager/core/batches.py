"""The keys of one hour -> which batches are ready, which are incomplete, which names are malformed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from workflow_manager.core.names import (
    Batch,
    path_time,
    split_suffix,
    suffixes,
    tail_batch,
    tail_problem,
)
from workflow_manager.core.windows import Window


@dataclass(frozen=True, slots=True)
class Malformed:
    """An object in a place for batches whose name cannot be a batch's, and why."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class HourOfBatches:
    """What the listing of one hour of one aggregation says of its batches.

    `ready` is in order of time, then ID.
    """

    ready: list[Batch] = field(default_factory=list)
    incomplete: list[Batch] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)

    def within(self, window: Window) -> "HourOfBatches":
        """The batches of this hour that lie in `window`. Malformed names have no time and stay out."""
        begin, end = path_time(window.begin), path_time(window.end)
        return HourOfBatches(
            [batch for batch in self.ready if begin <= batch.time < end],
            [batch for batch in self.incomplete if begin <= batch.time < end],
        )


def find_batches(keys: Sequence[str], prefix: str, hour: str, infix: str, enough: int) -> HourOfBatches:
    """Sort out the `keys` of one hour, all of which begin with `prefix + hour`.

    A batch is ready when the objects named by `enough` exist: all three of an
    ingestion, the signature alone of a validation (newer facilitators put the
    whole validation into the signature object).
    """
    start = len(prefix) + len(hour)
    endings = suffixes(infix)
    parts: dict[str, int] = {}
    for key in keys:
        tail, part = split_suffix(key[start:], endings)
        parts[tail] = parts.get(tail, 0) | part
    found = HourOfBatches()
    problems: dict[str, str] = {}
    for tail, there in parts.items():
        if problem := tail_problem(tail):
            problems[tail] = problem
        elif there & enough == enough:
            found.ready.append(tail_batch(hour, tail))
        else:
            found.incomplete.append(tail_batch(hour, tail))
    found.ready.sort()
    if problems:
        tails = ((key, split_suffix(key[start:], endings)[0]) for key in keys)
        found.malformed.extend(Malformed(key, problems[tail]) for key, tail in tails if tail in problems)
    return found
