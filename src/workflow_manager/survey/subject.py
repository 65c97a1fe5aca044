"""Parses what a user names: an object, a batch, a marker or a window."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from workflow_manager.core.batches import HourOfNames
from workflow_manager.core.names import (
    INGESTION,
    MARKER_PREFIX,
    NO_HOUR,
    Batch,
    BatchIds,
    BatchObjects,
    Part,
    aggregation_problem,
    hour_of,
    validity_infix,
)
from workflow_manager.core.windows import Window

_INFIXES = (INGESTION, validity_infix(0), validity_infix(1))
_TIME = r"[0-9]{4}(?:-[0-9]{2}){4}"
_INTAKE = re.compile(rf"intake-(.+)-({_TIME})-(.+)", re.DOTALL)  # greedy: no batch ID holds a time
_AGGREGATE = re.compile(rf"aggregate-(.+)-({_TIME})-({_TIME})", re.DOTALL)
_DIGITS = "%Y%m%d%H%M"


@dataclass(frozen=True, slots=True)
class BatchSubject:
    """One batch of an aggregation. `problem` says why the name is malformed; empty if it is valid."""

    aggregation: str
    batch: Batch
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WindowSubject:
    """One aggregation window; without `end`, the aligned window that contains `begin`."""

    aggregation: str
    begin: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchIdSubject:
    """A batch ID whose aggregation and time are unknown."""

    id: str


Subject = BatchSubject | WindowSubject | BatchIdSubject


def batch_time(batch: Batch) -> datetime:
    """The time of a batch, from its object names."""
    return parse_batch_time(batch.time)


def parse_batch_time(time: str) -> datetime:
    """A batch time as object names have it; raises ValueError if there is none."""
    return datetime.strptime(time, "%Y/%m/%d/%H/%M").replace(tzinfo=UTC)


def parse_subject(words: list[str], batch_ids: BatchIds = BatchIds.ANY) -> Subject:
    """Parse the words; raises ValueError with the expected form.

    `batch_ids` is the format of batch IDs in object names; other IDs are malformed.
    """
    match words:
        case [what] if "/" in what and not what.startswith(MARKER_PREFIX):
            return _object(what, batch_ids)
        case [what] if what.removeprefix(MARKER_PREFIX).startswith(("intake-", "aggregate-")):
            return _marker(what.removeprefix(MARKER_PREFIX))
        case [what] if what and not what.startswith(MARKER_PREFIX):
            return BatchIdSubject(what)
        case [aggregation, begin]:
            return WindowSubject(aggregation, _time(begin))
    raise ValueError("name an object, a batch ID, a marker, or an aggregation ID and the start of a window")


def _object(key: str, batch_ids: BatchIds) -> BatchSubject:
    aggregation, _, rest = key.partition("/")
    prefix = f"{aggregation}/"
    if problem := aggregation_problem(aggregation):
        return BatchSubject(aggregation, Batch("", rest), problem)
    hour = hour_of(key, prefix)
    if hour is None:
        return BatchSubject(aggregation, Batch("", rest), NO_HOUR)
    minute, _, name = key[len(prefix) + len(hour) :].partition("/")
    stem = next((name.rpartition(f".{infix}")[0] for infix in _INFIXES if f".{infix}" in name), name)
    names = HourOfNames(prefix, hour, BatchObjects(INGESTION, Part.HEADER), batch_ids)
    names.add([f"{prefix}{hour}{minute}/{stem}.{INGESTION}"])
    found = names.batches()
    if found.malformed:
        return BatchSubject(aggregation, Batch(f"{hour}{minute}", stem), found.malformed[0].problem)
    return BatchSubject(aggregation, found.ready[0])


def _marker(name: str) -> Subject:
    if match := _INTAKE.fullmatch(name):
        aggregation, time, batch = match.groups()
        named = Batch(time.replace("-", "/"), batch)
        batch_time(named)  # raises ValueError if the time is invalid
        return BatchSubject(aggregation, named)
    if match := _AGGREGATE.fullmatch(name):
        aggregation, begin, end = match.groups()
        window = Window(_time(begin), _time(end))
        return WindowSubject(aggregation, window.begin, window.end)
    raise ValueError(f"{name!r} is not a valid marker name")


def _time(text: str) -> datetime:
    """A time in any format that this program writes."""
    digits = re.sub(r"[-/:TZ ]", "", text)
    try:
        if re.fullmatch(r"[0-9]{12}(00)?", digits):
            return datetime.strptime(digits[:12], _DIGITS).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a time such as 2026-11-23T00:00Z")
