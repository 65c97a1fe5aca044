"""Which objects there are, hour by hour, over any store."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from workflow_manager.core.batches import HourOfNames
from workflow_manager.core.names import (
    MARKERS,
    BatchIds,
    BatchObjects,
    day_prefix,
    hour_begin,
    hour_of,
    marker_hour,
    overlapping_range,
    parse_aggregate_marker,
)
from workflow_manager.core.windows import DAY, Window, floor
from workflow_manager.errors import StorageError, location
from workflow_manager.key_range import KeyRange
from workflow_manager.ports import Bucket


class Hour(NamedTuple):
    """What a listing says of one hour of one aggregation; `hour` is `yyyy/mm/dd/HH/`."""

    hour: str
    names: HourOfNames


def aggregations(store: Bucket) -> Iterator[str]:
    """The aggregation IDs of an ingestion bucket: its top-level directories, but for the markers'."""
    for page in store.list_directories(""):
        yield from (name for name in page if name != MARKERS)


def by_hour(
    pages: Iterable[Sequence[str]],
    prefix: str,
    objects: BatchObjects,
    batch_ids: BatchIds,
    stray: Callable[[Sequence[str]], None],
) -> Iterator[Hour]:
    """A listing, one hour at a time, in ascending order; hours with no objects are left out.

    Keys that stand in no hour behind `prefix` are given to `stray`.
    """
    current: Hour | None = None
    for page in pages:
        at = 0
        while at < len(page):
            found = hour_of(page[at], prefix)
            if found is None:
                stray(page[at : at + 1])
                at += 1
                continue
            if current is None or found != current.hour:
                if current is not None:
                    yield current
                current = Hour(found, HourOfNames(prefix, found, objects, batch_ids))
            end = bisect_left(page, _behind(prefix + found), at)
            current.names.add(page[at:end])
            at = end
        del page  # not held while the next one is on its way: many listings run side by side
    if current is not None:
        yield current


def in_order(store: Bucket, keys: KeyRange) -> Iterator[Sequence[str]]:
    """The pages of a range, checked to be in order.

    All that follows relies on it: out of order, a batch's objects could come apart, and
    a batch that is ready would look like two that are not.
    """
    last = ""
    for page in store.list_keys(*keys):
        if not _ordered([last, *page]):
            raise StorageError(
                "list",
                location(store.url, keys.prefix),
                "the listing is not in the order of the keys' bytes",
                "this kind of storage cannot be used",
            )
        last = page[-1]
        yield page
        del page


def merged(
    left: Iterator[Hour], right: Iterator[Hour]
) -> Iterator[tuple[str, HourOfNames | None, HourOfNames | None]]:
    """Two listings side by side: each hour that is in either, with what each says of it.

    The next hour is read only when the one before is done with.
    """
    one, other = next(left, None), next(right, None)
    while one or other:
        hour = min(side.hour for side in (one, other) if side)
        in_one, in_other = one and one.hour == hour, other and other.hour == hour
        yield hour, one.names if one and in_one else None, other.names if other and in_other else None
        if in_one:
            one = next(left, None)
        if in_other:
            other = next(right, None)


def hours_with_objects(store: Bucket, aggregation: str, window: Window) -> Iterator[datetime]:
    """The hours of a window in which an aggregation has objects, for one request a day or a few."""
    day = floor(window.begin, DAY)
    while day < window.end:
        prefix = day_prefix(aggregation, day)
        for page in store.list_directories(prefix):
            for name in page:
                if (hour := hour_of(f"{prefix}{name}/", f"{aggregation}/")) is not None:
                    yield hour_begin(hour)
        day += DAY


class IntakeMarkers:
    """The intake markers of one aggregation in a range, read forward hour by hour.

    Nothing is listed before the first hour is asked for.
    """

    def __init__(self, store: Bucket, keys: KeyRange) -> None:
        self._pages = in_order(store, keys)
        self._prefix = keys.prefix
        self._page: Sequence[str] = ()
        self._at = 0

    def of(self, hour: str) -> set[str]:
        """The keys of the markers of an hour (`yyyy/mm/dd/HH/`) later than any asked for before."""
        prefix = self._prefix + marker_hour(hour)
        beyond = _behind(prefix)
        found: set[str] = set()
        while True:
            start = bisect_left(self._page, prefix, self._at)
            self._at = bisect_left(self._page, beyond, start)
            found.update(self._page[start : self._at])
            if self._at < len(self._page):
                return found
            page = next(self._pages, None)
            if page is None:
                return found
            self._page, self._at = page, 0


def exists(store: Bucket, key: str) -> bool:
    """Whether there is an object of this name, without reading it."""
    return any(key in page for page in store.list_keys(key, before=key + "\0"))


def overlapping_window(store: Bucket, aggregation: str, window: Window) -> Window | None:
    """The first window that overlaps `window`, without being equal to it, and has a marker; or None."""
    for page in store.list_keys(*overlapping_range(aggregation, window)):
        for key in page:
            marked = parse_aggregate_marker(key, aggregation)
            if marked is not None and marked != window and marked.overlap(window):
                return marked
    return None


def _behind(prefix: str) -> str:
    """The least text that is greater than everything that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _ordered(keys: list[str]) -> bool:
    # Text sorts as its UTF-8 does, but for the lone surrogates that stand for bytes which are not UTF-8.
    return sorted(keys) == keys or sorted(keys, key=_octets) == keys


def _octets(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
