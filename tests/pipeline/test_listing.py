"""Listings page by page: many run side by side, so none holds a page while it waits for the next."""

import weakref
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from workflow_manager.clouds.paging import Page, follow
from workflow_manager.core.names import INGESTION_OBJECTS, BatchIds
from workflow_manager.core.windows import Window
from workflow_manager.key_range import KeyRange
from workflow_manager.pipeline.circuit_breaker import BreakerPolicy, guarded
from workflow_manager.pipeline.listing import by_hour, in_order
from workflow_manager.pipeline.splitting import RangeListing, Split
from workflow_manager.storage.memory import MemoryStore

PAGES = 4
NAMES = 600  # two pages are enough for a range to be split
DAY = Window(datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC))


class Names(list[str]):
    """A page of which it can be seen whether it is still held."""


class WatchedPages:
    """Pages, one for each hour; `held` says for each that was asked for how many of those before are held."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self._given: list[weakref.ref[Names]] = []

    def next(self) -> Names:
        self.held.append(sum(page() is not None for page in self._given))
        hour = f"locality/2026/11/27/{len(self._given):02}"
        page = Names(f"{hour}/{batch // 60:02}/{batch:03}.batch" for batch in range(NAMES))
        self._given.append(weakref.ref(page))
        return page

    def fetch(self, token: str, start: str) -> Page:
        del token, start
        page = self.next()
        return Page(page, "more" if len(self.held) < PAGES else "")


class WatchedBucket(MemoryStore):
    """A bucket that gives such pages."""

    def __init__(self, pages: WatchedPages) -> None:
        super().__init__("memory://bucket")
        self._watched = pages

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        return (self._watched.next() for _ in range(PAGES))


@pytest.mark.parametrize("split", [None, lambda rest, names_an_hour: None], ids=["whole", "splitting"])
def test_a_run_holds_no_page_while_the_next_is_on_its_way(split: Split | None) -> None:
    watched = WatchedPages()
    bucket = guarded(WatchedBucket(watched), BreakerPolicy(60, lambda *_: None))
    listing = RangeListing(bucket, "locality", DAY, split)
    hours = by_hour(listing.pages(), "locality/", INGESTION_OBJECTS, BatchIds.ANY, lambda _: None)
    found = sum(len(hour.names.batches().incomplete) for hour in hours)
    # Whether to split is decided when the names of two pages are known: the others are for somebody else.
    pages, held = (PAGES, [0, 0, 0, 0]) if split is None else (2, [0, 1, 0])
    assert found == NAMES * pages
    assert watched.held == held


def test_pages_in_order_are_let_go_of() -> None:
    watched = WatchedPages()
    for _ in in_order(WatchedBucket(watched), KeyRange("locality/")):
        pass
    assert watched.held == [0, 1, 1, 1]  # by the loop here


def test_a_cloud_store_holds_no_page_while_the_next_is_on_its_way() -> None:
    watched = WatchedPages()
    pages = follow(watched.fetch, KeyRange("locality/"))
    while next(pages, None) is not None:
        pass
    assert watched.held == [0] * PAGES
