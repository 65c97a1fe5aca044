"""A marker's content: a record of its task, as one line of JSON.

A marker is identified by its name alone; the Go program writes the name as content. So the record
is optional: a missing or malformed field is unknown (None), never an error.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import groupby
from sys import intern
from typing import Any, NamedTuple

from workflow_manager.core.fast_json import json_encoder
from workflow_manager.core.names import MARKER_PREFIX, Batch
from workflow_manager.core.task_messages import AggregationTask, Task

VERSION = 1
# The most bytes of a marker that are read. 50,000 batches with UUIDs take 2 MB.
LONGEST_RECORD = 16 * 2**20
_WHOLE_SECONDS = len("2026-11-23T04:20:00")
_json = json_encoder(compact=True)


class Writer(NamedTuple):
    """Who wrote a record: the host name and the version of this program."""

    host: str
    version: str


class ScheduledAgain(NamedTuple):
    """One repeated publication of a task that already had a marker. Unknown fields are empty."""

    time: str
    trace_id: str
    host: str
    reason: str


class MarkerRecord(NamedTuple):
    """What is known about a scheduled task; None if the marker does not record it.

    `marker` is the name without its directory, `time` is when the marker was written (RFC 3339, UTC).
    `batches` are the batches that an aggregation task named, in order of time.
    """

    marker: str
    trace_id: str | None = None
    time: str | None = None
    topic: str | None = None
    writer: Writer | None = None
    batches: tuple[Batch, ...] | None = None
    again: tuple[ScheduledAgain, ...] = ()

    def left_out(self, batches: Iterable[Batch]) -> list[Batch]:
        """The `batches` that the task did not name; none if it is unknown which it named."""
        if self.batches is None:
            return []
        named = frozenset(self.batches)
        return [batch for batch in batches if batch not in named]

    def was_scheduled_again_for(self, reason: str) -> bool:
        """Whether the task has already been published again for this reason."""
        return any(entry.reason == reason for entry in self.again)

    def scheduled_again(self, entry: ScheduledAgain, batches: tuple[Batch, ...] | None) -> "MarkerRecord":
        """The record with one more entry; `batches` are the ones that the last message named."""
        return self._replace(again=(*self.again, entry), batches=batches)

    def render(self) -> bytes:
        """The record as one line of JSON in UTF-8. Grouping batches by time halves their size."""
        facts: dict[str, object] = {"version": VERSION, "marker": self.marker}
        if self.trace_id is not None:
            facts["trace-id"] = self.trace_id
        if self.time is not None:
            facts["time"] = self.time
        if self.topic is not None:
            facts["topic"] = self.topic
        if self.writer is not None:
            facts["writer"] = {"host": self.writer.host, "version": self.writer.version}
        if self.batches is not None:
            facts["batches"] = {
                time: [batch.id for batch in batches]
                for time, batches in groupby(sorted(self.batches), lambda batch: batch.time)
            }
        if self.again:
            facts["scheduled-again"] = [
                {"time": one.time, "trace-id": one.trace_id, "host": one.host, "reason": one.reason}
                for one in self.again
            ]
        return f"{_json(facts)}\n".encode("utf-8", "backslashreplace")


def marker_name(key: str) -> str:
    """A marker's key without the directory."""
    return key.removeprefix(MARKER_PREFIX)


def record_of(task: Task, trace_id: str, topic: str, time: str, writer: Writer) -> MarkerRecord:
    """The record of a task that the queue has just acknowledged; `time` is as `timestamp` has it."""
    batches = task.batches if isinstance(task, AggregationTask) else None
    return MarkerRecord(marker_name(task.marker), trace_id, time, topic, writer, batches)


def timestamp(time: datetime) -> str:
    """A UTC time in the format of records: `2026-11-23T04:20:00Z`."""
    return f"{time.isoformat()[:_WHOLE_SECONDS]}Z"  # strftime takes three times as long


def parse_record(key: str, content: bytes) -> MarkerRecord:
    """Parse the content of the marker with this key. Never fails: other content gives an empty record.

    Malformed fields are unknown; the others are kept.
    """
    unknown = MarkerRecord(marker_name(key))
    if not content.startswith(b"{"):
        return unknown
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return unknown
    if facts.get("version") != VERSION or facts.get("marker") != unknown.marker:
        return unknown
    return unknown._replace(
        trace_id=_text(facts, "trace-id"),
        time=_text(facts, "time"),
        topic=_text(facts, "topic"),
        writer=_writer(facts.get("writer")),
        batches=_batches(facts.get("batches")),
        again=_again(facts.get("scheduled-again")),
    )


def _text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    return value if isinstance(value, str) else None


def _writer(facts: object) -> Writer | None:
    if not isinstance(facts, dict):
        return None
    host, version = _text(facts, "host"), _text(facts, "version")
    return None if host is None or version is None else Writer(host, version)


def _batches(facts: object) -> tuple[Batch, ...] | None:
    """All batches or None: batches missing from the list would look left out."""
    if not isinstance(facts, dict) or not all(isinstance(ids, list) for ids in facts.values()):
        return None
    if not all(isinstance(one, str) for ids in facts.values() for one in ids):
        return None
    return tuple(sorted(Batch(intern(time), one) for time, ids in facts.items() for one in ids))


def _again(facts: object) -> tuple[ScheduledAgain, ...]:
    entries: Collection[object] = facts if isinstance(facts, list) else ()
    return tuple(
        ScheduledAgain(*(_text(entry, name) or "" for name in ("time", "trace-id", "host", "reason")))
        for entry in entries
        if isinstance(entry, dict)
    )
