"""The ends of the names of batches' objects, `MM/{batch}.{infix}...` behind the hour.

Other organisations write these names, so every function here takes any string at all.
"""

import re
from collections.abc import Iterable
from functools import cache
from sys import intern

from workflow_manager.core.characters import name_problem
from workflow_manager.core.names import (
    HOUR_LENGTH,
    MINUTES,
    PART_ENDINGS,
    Batch,
    BatchIds,
    BatchObjects,
    Part,
    hour_of,
)

_TAIL_ID = len("05/")
_LONGEST_MINUTE = 20  # characters of what stands in place of a minute; anyone can write anything
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
# The end of nearly every name, in which `tail_problem` finds nothing: a minute and a UUID.
is_usual_tail = re.compile(rf"[0-5][0-9]/{_UUID}").fullmatch
_UUID_AND_MORE = re.compile(rf"{_UUID}\.").match
# A batch ID with a marker's time inside could give its marker the name of another's.
_MARKER_TIME = re.compile(r"(?:^|-)[0-9]{4}(?:-[0-9]{2}){4}-")
_MARKER_TIME_DASHES = 5


def split_complete(text: str, objects: BatchObjects) -> tuple[str, list[str], list[str]]:
    """Take the usual names of batches that are ready out of lines of `MM/{batch}.{infix}...`, in order.

    Returns the lines that are left, and the minutes and the IDs of those batches. The lines that are left
    may hold more objects of the same batches. One regular expression, since no Python code that looks at
    each name is as fast.
    """
    found = _complete_lines(objects).split(text)
    return "".join(found[::3]), found[1::3], found[2::3]


@cache
def _complete_lines(objects: BatchObjects) -> re.Pattern[str]:
    infix = re.escape(objects.infix)
    first, again = rf"^([0-5][0-9])/({_UUID})\.{infix}", rf"\1/\2\.{infix}"
    others = rf"\n{again}\.avro\n{again}"
    if objects.enough == Part.SIGNATURE:
        others = f"(?:{others})?"
    return re.compile(rf"{first}{others}\.sig\n", re.MULTILINE)


def fold_parts(tails: Iterable[str], dot: str, parts: dict[str, int]) -> None:
    """Add to `parts`, by the ends of keys without what follows the batch ID, which parts there are.

    `tails` are what stands behind the hour, `dot` is the infix with its dot. A key with no such ending is a
    batch of its own that can never be ready: the Go program counts it so, and its figures are the reference.
    All keys of a listing in one call, since calls would take most of the time.
    """
    endings = PART_ENDINGS
    for tail in tails:
        stem, _, ending = tail.rpartition(dot)
        part = endings.get(ending)
        if part is None or not stem:
            stem, part = tail, Part.OTHER
        parts[stem] = parts.get(stem, 0) | part


def tail_problem(tail: str, parts: int, batch_ids: BatchIds) -> str | None:
    """Why `MM/{batch}` cannot be the end of a batch's name, or None if it can.

    `parts` says which objects have this name. Those that are none of a batch's three may have
    more behind the UUID: they count as a batch that is never ready, as in the Go program.
    """
    if is_usual_tail(tail):
        return None
    if tail[:2] not in MINUTES or tail[2:_TAIL_ID] != "/":
        minute = tail.partition("/")[0][:_LONGEST_MINUTE]
        return f"{minute!r} is not a minute"
    return _id_problem(tail[_TAIL_ID:], parts, batch_ids)


def _id_problem(batch: str, parts: int, batch_ids: BatchIds) -> str | None:
    if not batch:
        return "the batch ID is empty"
    if "/" in batch:
        return "the batch ID contains a slash"
    if problem := name_problem(batch):
        return f"the batch ID {problem}"
    if batch.count("-") >= _MARKER_TIME_DASHES and _MARKER_TIME.search(batch):
        return "the batch ID contains a time, so its marker could be that of another batch"
    if batch_ids is BatchIds.UUID and not (parts == Part.OTHER and _UUID_AND_MORE(batch)):
        return "the batch ID is not a UUID"
    return None


def tail_batch(hour: str, tail: str) -> Batch:
    """The batch that `MM/{batch}` behind an hour (`yyyy/mm/dd/HH/`) names."""
    return Batch(intern(hour + tail[:2]), tail[_TAIL_ID:])  # many batches share a time, and are kept


def parse_key(key: str, aggregation: str, infix: str, batch_ids: BatchIds) -> tuple[Batch, int] | None:
    """The batch and the part that an object's name stands for; None if the name is malformed."""
    prefix = f"{aggregation}/"
    hour = hour_of(key, prefix)
    if hour is None:
        return None
    start = len(prefix) + HOUR_LENGTH
    parts: dict[str, int] = {}
    fold_parts([key[start:]], f".{infix}", parts)
    ((tail, part),) = parts.items()
    return None if tail_problem(tail, part, batch_ids) else (tail_batch(hour, tail), part)
