"""Names of objects: batches, validations and task markers. Only this and core.name_ends take keys apart.

A batch's objects are `{aggregation}/{yyyy}/{mm}/{dd}/{HH}/{MM}/{batch}.{infix}` with
`.avro` and `.sig` behind the other two. Other organisations write these names, so
every parser here takes any string at all and answers for each whether it is one.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from workflow_manager.core.characters import name_problem
from workflow_manager.core.windows import DAY, EPOCH, Window
from workflow_manager.key_range import KeyRange

INGESTION = "batch"
MARKERS = "task-markers"
MARKER_PREFIX = MARKERS + "/"

# "2026/11/22/18/" and the "05" of the minute behind it.
_HOUR = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}/")
MINUTES = frozenset(f"{minute:02}" for minute in range(60))
HOUR_LENGTH = len("2026/11/22/18/")
NO_HOUR = "no date and hour (YYYY/MM/DD/HH) after the aggregation ID"
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
    hour = key[len(prefix) : len(prefix) + HOUR_LENGTH]
    return hour if key.startswith(prefix) and _is_hour(hour) else None


def time_of(key: str, prefix: str) -> datetime | None:
    """The hour that follows `prefix` in a key, with the minute if there is one; None if no hour does."""
    hour = hour_of(key, prefix)
    if hour is None:
        return None
    minute = key[len(prefix) + HOUR_LENGTH :][:2]
    return hour_begin(hour).replace(minute=int(minute) if minute in MINUTES else 0)


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
