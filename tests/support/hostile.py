"""Buckets with any names at all in them, what a run over them must do, and whether it did.

What is expected is worked out here once more, name by name and without any of the code that is
tested. The tests of Hypothesis and the coverage-guided fuzzer share this.
"""

import io
import json
import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from support.harness import NOW, FaultyStore, Harness
from workflow_manager.core.names import BatchIds
from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.logs import Logs
from workflow_manager.pipeline import splitting

# The windows of a `Harness`, as names have times.
INTAKE = ("2026/11/22/04/20", "2026/11/24/04/20")
AGGREGATION = ("2026/11/22/16/00", "2026/11/23/00/00")
AGGREGATION_MARKED = "2026-11-22-16-00-2026-11-23-00-00"

_NAME = re.compile(r"([^/]+)/([0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}/[0-9]{2})/([^/]+)", re.DOTALL)
_FORGERY = re.compile(r"(^|-)[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}-")
_UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_ENDINGS = (".sig", ".avro", "")


class Named(NamedTuple):
    """What a name of an object says; `ending` is None if it is none of a batch's objects."""

    aggregation: str
    time: str
    batch: str
    ending: str | None


class Due(NamedTuple):
    """A batch to take in."""

    aggregation: str
    time: str
    batch: str


@dataclass(frozen=True)
class Listings:
    """The names in each bucket, in bytes; `page` is how many a listing gives at once.

    With `splits`, ranges of a few names are already cut into pieces that are read side by side.
    With `uuids`, batch IDs must be UUIDs.
    """

    ingestion: frozenset[bytes]
    own: frozenset[bytes]
    peer: frozenset[bytes]
    page: int = 1000
    splits: bool = False
    uuids: bool = False


def understood(key: bytes, infix: str, *, uuids: bool) -> Named | None:
    """What a name says, or None if no batch's object can have it."""
    try:
        match = _NAME.fullmatch(key.decode())
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    aggregation, time, name = match.groups()
    try:
        datetime.strptime(time, "%Y/%m/%d/%H/%M")  # noqa: DTZ007 (only whether there is such a time)
    except ValueError:
        return None
    batch, ending = name, None
    for part in _ENDINGS:
        if ending is None and name.endswith(f".{infix}{part}"):
            batch, ending = name.removesuffix(f".{infix}{part}"), part
    if not batch or _FORGERY.search(batch) or unfit(aggregation) or unfit(batch):
        return None
    if uuids and not _UUID.fullmatch(batch if ending is not None else batch.partition(".")[0]):
        return None
    return Named(aggregation, time, batch, ending)


def unfit(name: str) -> bool:
    """Whether a name has control characters or noncharacters."""
    return any(
        unicodedata.category(char) == "Cc" or 0xFDD0 <= ord(char) <= 0xFDEF or ord(char) & 0xFFFE == 0xFFFE
        for char in name
    )


def ready(
    keys: Iterable[bytes], infix: str, endings: set[str], window: tuple[str, str], *, uuids: bool
) -> set[Due]:
    """The batches in a window of which all these objects are there."""
    there: dict[Due, set[str | None]] = {}
    for key in keys:
        if (named := understood(key, infix, uuids=uuids)) and window[0] <= named.time < window[1]:
            there.setdefault(Due(*named[:3]), set()).add(named.ending)
    return {batch for batch, found in there.items() if endings <= found}


def marker(batch: Due) -> str:
    """The name of a batch's marker."""
    return f"task-markers/intake-{batch.aggregation}-{batch.time.replace('/', '-')}-{batch.batch}"


def aggregation_marker(aggregation: str) -> str:
    """The name of the marker of an aggregation's window."""
    return f"task-markers/aggregate-{aggregation}-{AGGREGATION_MARKED}"


class Expectation:
    """What a run must make of listings."""

    def __init__(self, given: Listings) -> None:
        parts, own = {"", ".avro", ".sig"}, set(given.own)
        directories = {key.split(b"/")[0] for key in given.ingestion if b"/" in key} - {b"task-markers"}
        ours = [key for key in given.ingestion if key.split(b"/")[0] in directories]
        uuids = given.uuids
        taken = ready(ours, "batch", parts, INTAKE, uuids=uuids)
        validated = ready(given.peer, "validity_0", {".sig"}, AGGREGATION, uuids=uuids)
        self.intake = sorted(batch for batch in taken if marker(batch).encode() not in own)
        both = ready(ours, "batch", parts, AGGREGATION, uuids=uuids) & validated
        self.aggregations = {
            name: sorted([batch.time, batch.batch] for batch in both if batch.aggregation == name)
            for name in {batch.aggregation for batch in both}
            if aggregation_marker(name).encode() not in own
        }
        markers = {marker(batch) for batch in self.intake} | {
            aggregation_marker(name) for name in self.aggregations
        }
        self.new_markers = {name.encode() for name in markers}
        self.malformed = self._malformed(given, directories)

    @staticmethod
    def _malformed(given: Listings, directories: set[bytes]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for directory in directories:
            try:
                name = directory.decode()
            except UnicodeDecodeError:
                name = ""
            if not name or unfit(name):
                counts[""] += 1
                continue
            counts[name] += _unreadable(given.ingestion, directory, "batch", INTAKE, uuids=given.uuids)
            counts[name] += _unreadable(given.peer, directory, "validity_0", AGGREGATION, uuids=given.uuids)
        return +counts


def _unreadable(
    keys: Iterable[bytes], directory: bytes, infix: str, window: tuple[str, str], *, uuids: bool
) -> int:
    begin, end = (directory + b"/" + time.encode() for time in window)
    return sum(1 for key in keys if begin < key < end and understood(key, infix, uuids=uuids) is None)


class _Listeners:
    """Keeps events, and writes them down in both forms."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.json, self.text = io.StringIO(), io.StringIO()
        self._logs = [
            Logs(stream, lambda: NOW, Severity.DEBUG, json_lines=stream is self.json)
            for stream in (self.json, self.text)
        ]

    def notify(self, *events: Event) -> None:
        self.seen.extend(events)
        for log in self._logs:
            log.notify(*events)

    def check(self) -> None:
        """Whether each event has one line of its own, in which nothing moves the cursor."""
        lines = self.json.getvalue().splitlines()
        assert len(lines) == len(self.seen), "an event's line of JSON is not one line"
        assert all(json.loads(line)["message"] for line in lines)
        shown = self.text.getvalue().splitlines()
        assert len(shown) == len(self.seen), "an event's line of text is not one line"
        assert all(line.isprintable() for line in shown)


def names_of(store: FaultyStore) -> set[bytes]:
    """All names in a bucket."""
    return {name.encode("utf-8", "surrogateescape") for name in store.names()}


def check(given: Listings) -> None:
    """Run over the listings, and again: assert that just the right things were done, and once."""
    if given.splits:
        given = _without_bounds(given)
    expected = Expectation(given)
    harness = Harness(given.page)
    for store, keys in (
        (harness.ingestion, given.ingestion),
        (harness.own, given.own),
        (harness.peer, given.peer),
    ):
        for key in keys:
            store._put(key, b"", replace=True)
    if given.uuids:
        harness.spec = harness.spec._replace(batch_ids=BatchIds.UUID)
    before = names_of(harness.own)
    harness.events = listeners = _Listeners()  # type: ignore[assignment] # stands in for it
    with _small_pieces() if given.splits else _pieces_as_they_are():
        report = harness.run()
        assert report.succeeded, report.failures
        _check_messages(harness, expected)
        assert names_of(harness.own) - before == expected.new_markers
        assert before <= names_of(harness.own)
        malformed = {
            name: figures.malformed_objects_found
            for name, figures in report.figures.items()
            if figures.malformed_objects_found
        }
        assert malformed == dict(expected.malformed)
        again = harness.run().total()
        assert again.intake_tasks_scheduled == again.aggregation_tasks_scheduled == 0
    listeners.check()


def _check_messages(harness: Harness, expected: Expectation) -> None:
    intake, aggregate = harness.queue.bodies("intake"), harness.queue.bodies("aggregate")
    traces = [uuid.UUID(body.pop("trace-id")) for body in (*intake, *aggregate)]
    assert len(set(traces)) == len(traces)
    assert all(list(body) == ["aggregation-id", "batch-id", "date"] for body in intake)
    found = sorted(Due(body["aggregation-id"], body["date"], body["batch-id"]) for body in intake)
    assert found == expected.intake
    aggregated = sorted(aggregate, key=lambda body: str(body["aggregation-id"]))
    assert aggregated == [
        {
            "aggregation-id": name,
            "aggregation-start": AGGREGATION[0],
            "aggregation-end": AGGREGATION[1],
            "batches": [{"id": batch, "time": time} for time, batch in batches],
        }
        for name, batches in sorted(expected.aggregations.items())
    ]


def _without_bounds(given: Listings) -> Listings:
    """The same without names that end with a time: where two pieces meet, neither counts such a one."""
    ingestion, peer = (
        frozenset(key for key in keys if not re.search(rb"/[0-9]{2}/[0-9]{2}$", key))
        for keys in (given.ingestion, given.peer)
    )
    return replace(given, ingestion=ingestion, peer=peer)


@contextmanager
def _small_pieces() -> Iterator[None]:
    before = splitting.SPLIT_AFTER, splitting.WORTH_SPLITTING
    splitting.SPLIT_AFTER, splitting.WORTH_SPLITTING = 2, 2
    try:
        yield
    finally:
        splitting.SPLIT_AFTER, splitting.WORTH_SPLITTING = before


@contextmanager
def _pieces_as_they_are() -> Iterator[None]:
    yield


def batch_objects(batch: bytes, infix: bytes = b"batch") -> Sequence[bytes]:
    """The three objects of a batch whose name is `{aggregation}/{time}/{ID}`."""
    return [batch + b"." + infix + ending for ending in (b"", b".avro", b".sig")]
