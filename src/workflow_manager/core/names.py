"""Names of objects: batches, validations and task markers. Nothing else formats or parses keys.

A batch's objects are `{aggregation}/{yyyy}/{mm}/{dd}/{HH}/{MM}/{batch}.{infix}` with
`.avro` and `.sig` behind the other two. Other organisations write these names, so
every parser here takes any string at all and answers for each whether it is one.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from sys import intern
from typing import Final, NamedTuple

from workflow_manager.core.characters import name_problem
from workflow_manager.core.windows import DAY, EPOCH, Window
from workflow_manager.key_range import KeyRange

INGESTION = "batch"
MARKERS = "task-markers"
MARKER_PREFIX = MARKERS + "/"

# "2026/11/22/18/" and the "05" of the minute behind it.
_HOUR = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}/")
_MINUTES = frozenset(f"{minute:02}" for minute in range(60))
_HOUR_LENGTH = len("2026/11/22/18/")
_TAIL_ID = len("05/")
_LONGEST_MINUTE = 20  # characters of what stands in place of a minute; anyone can write anything
NO_HOUR = "no date and hour (YYYY/MM/DD/HH) after the aggregation ID"
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
# The end of nearly every name, in which `tail_problem` finds nothing: a minute and a UUID.
is_usual_tail = re.compile(rf"[0-5][0-9]/{_UUID}").fullmatch
_UUID_AND_MORE = re.compile(rf"{_UUID}\.").match
# A batch ID with a marker's time inside could give its marker the name of another's.
_MARKER_TIME = re.compile(r"(?:^|-)[0-9]{4}(?:-[0-9]{2}){4}-")
_MARKER_TIME_DASHES = 5
_AGGREGATE_TIMES = re.compile(r"([0-9]{4}(?:-[0-9]{2}){4})-([0-9]{4}(?:-[0-9]{2}){4})")
_MARKER_TIME_FORM = "%Y-%m-%d-%H-%M"
# Windows up to this length are found where they overlap another; see `overlapping_range`.
LONGEST_WINDOW: Final[timedelta] = 31 * DAY


class BatchIds(StrEnum):
    """Which batch IDs are well formed. The real `facilitator` panics on any that is not a UUID."""

    UUID = "uuid"
    ANY = "any"


class Part:
    """Which of a batch's three objects a name stands for; several are added up.

    Plain numbers, because they are handled once for each name of a listing, and those of
    the enum module take longer than all the rest of that.
    """

    HEADER: Final = 1
    PACKETS: Final = 2
    SIGNATURE: Final = 4
    ALL: Final = 7
    OTHER: Final = 8  # an object that is none of the three


class Batch(NamedTuple):
    """One batch of an aggregation; `time` is `yyyy/mm/dd/HH/MM` (UTC), as in its objects' names.

    Times of this form are in order as text, so batches sort by time, then ID.
    """

    time: str
    id: str


class BatchObjects(NamedTuple):
    """What the objects of a bucket's batches are called, and which of them (`Part`) make a batch ready."""

    infix: str
    enough: int


INGESTION_OBJECTS = BatchObjects(INGESTION, Part.ALL)


def validation_objects(infix: str) -> BatchObjects:
    """Those of validations: newer facilitators put a whole validation into the signature object."""
    return BatchObjects(infix, Part.SIGNATURE)


# What stands behind the infix in the names of the three objects.
PART_ENDINGS: Final = {"": Part.HEADER, ".avro": Part.PACKETS, ".sig": Part.SIGNATURE}


def path_time(time: datetime) -> str:
    """`time` as object names and messages have it: `2020/10/31/20/29`."""
    return f"{time.year:04}/{time.month:02}/{time.day:02}/{time.hour:02}/{time.minute:02}"


def batch_timestamp(time: str) -> float:
    """A batch's time (`yyyy/mm/dd/HH/MM`) in seconds since 1970; 0 for an empty one."""
    if not time:
        return 0.0
    year, month, day, hour, minute = (int(part) for part in time.split("/"))
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


def marker_time(time: datetime) -> str:
    """`time` as markers have it: `2020-10-31-20-29`."""
    return path_time(time).replace("/", "-")


def validity_infix(index: int) -> str:
    """The infix of the validations that the processor of this index (0 is the first) writes."""
    return f"validity_{index}"


def suffixes(infix: str) -> dict[str, int]:
    """The endings of the names of a batch's objects, and what each stands for."""
    return {f".{infix}{ending}": part for ending, part in PART_ENDINGS.items()}


def object_key(aggregation: str, batch: Batch, suffix: str) -> str:
    """The name of the object of `batch` with this ending."""
    return f"{aggregation}/{batch.time}/{batch.id}{suffix}"


def batch_range(aggregation: str, window: Window) -> KeyRange:
    """Where the objects of all batches in `window` are, and as little else as can be said."""
    prefix = f"{aggregation}/"
    return KeyRange(prefix, prefix + path_time(window.begin), prefix + path_time(window.end))


def marker_range(aggregation: str, window: Window) -> KeyRange:
    """Where the markers of all intake tasks in `window` are."""
    prefix = f"{MARKER_PREFIX}intake-{aggregation}-"
    return KeyRange(prefix, prefix + marker_time(window.begin), prefix + marker_time(window.end))


def hour_begin(hour: str) -> datetime:
    """The time at which an hour (`yyyy/mm/dd/HH/`) begins."""
    year, month, day, hours, _ = hour.split("/")
    return datetime(int(year), int(month), int(day), int(hours), tzinfo=UTC)


def day_prefix(aggregation: str, time: datetime) -> str:
    """What the keys of all batches of a day begin with; the hour follows."""
    return f"{aggregation}/{path_time(time)[: len('2026/11/22/')]}"


def marker_hour(hour: str) -> str:
    """An hour (`yyyy/mm/dd/HH/`) as markers have it: `yyyy-mm-dd-HH-`."""
    return hour.replace("/", "-")


def intake_marker(aggregation: str, batch: Batch) -> str:
    """The key of the marker which says that the intake of `batch` is scheduled."""
    return f"{_intake_prefix(aggregation, batch.time)}{batch.id}"


def with_intake_markers(aggregation: str, batches: Iterable[Batch]) -> Iterator[tuple[Batch, str]]:
    """Batches, each with the key of its intake marker; many that follow each other share a time."""
    last, prefix = "", ""
    for batch in batches:
        time, batch_id = batch
        if time != last:
            last, prefix = time, _intake_prefix(aggregation, time)
        yield batch, prefix + batch_id


def aggregate_marker(aggregation: str, window: Window) -> str:
    """The key of the marker which says that the aggregation of `window` is scheduled."""
    return f"{_aggregate_prefix(aggregation)}{marker_time(window.begin)}-{marker_time(window.end)}"


def overlapping_range(aggregation: str, window: Window) -> KeyRange:
    """Where the markers are of all windows of up to `LONGEST_WINDOW` that could overlap `window`.

    They are in the order of the windows' beginnings, and a window that begins inside this
    one overlaps it however long it is.
    """
    prefix = _aggregate_prefix(aggregation)
    earliest = window.begin - LONGEST_WINDOW if window.begin - EPOCH > LONGEST_WINDOW else EPOCH
    return KeyRange(prefix, prefix + marker_time(earliest), prefix + marker_time(window.end))


def parse_aggregate_marker(key: str, aggregation: str) -> Window | None:
    """The window whose aggregation `key` marks as scheduled, or None if it is no such marker.

    Nothing but the two times may follow the aggregation ID, so that the marker of
    `x-2026-11-22-16-00` is not taken for one of `x`.
    """
    prefix = _aggregate_prefix(aggregation)
    if not key.startswith(prefix) or not (times := _AGGREGATE_TIMES.fullmatch(key, len(prefix))):
        return None
    try:
        begin, end = (
            datetime.strptime(time, _MARKER_TIME_FORM).replace(tzinfo=UTC) for time in times.groups()
        )
        return Window(begin, end)
    except ValueError:  # no such day, hour or minute, or the end is before the beginning
        return None


def aggregation_problem(aggregation: str) -> str | None:
    """Why a top-level directory cannot be an aggregation's, or None if it can."""
    if not aggregation:
        return "the name of the aggregation is empty"
    if problem := name_problem(aggregation):
        return f"the name of the aggregation {problem}"
    return None


def hour_of(key: str, prefix: str) -> str | None:
    """The `yyyy/mm/dd/HH/` that follows `prefix` in a key, or None if no hour does."""
    hour = key[len(prefix) : len(prefix) + _HOUR_LENGTH]
    return hour if key.startswith(prefix) and _is_hour(hour) else None


def time_of(key: str, prefix: str) -> datetime | None:
    """The hour that follows `prefix` in a key, with the minute if there is one; None if no hour does."""
    hour = hour_of(key, prefix)
    if hour is None:
        return None
    minute = key[len(prefix) + _HOUR_LENGTH :][:2]
    return hour_begin(hour).replace(minute=int(minute) if minute in _MINUTES else 0)


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
    if tail[:2] not in _MINUTES or tail[2:_TAIL_ID] != "/":
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
    start = len(prefix) + _HOUR_LENGTH
    parts: dict[str, int] = {}
    fold_parts([key[start:]], f".{infix}", parts)
    ((tail, part),) = parts.items()
    return None if tail_problem(tail, part, batch_ids) else (tail_batch(hour, tail), part)


def _intake_prefix(aggregation: str, time: str) -> str:
    return f"{MARKER_PREFIX}intake-{aggregation}-{time.replace('/', '-')}-"


def _aggregate_prefix(aggregation: str) -> str:
    return f"{MARKER_PREFIX}aggregate-{aggregation}-"


@lru_cache(maxsize=4096)
def _is_hour(text: str) -> bool:
    if not _HOUR.fullmatch(text):
        return False
    try:
        hour_begin(text)
    except ValueError:
        return False
    return True
