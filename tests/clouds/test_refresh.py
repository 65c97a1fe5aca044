"""Credentials are renewed in time, once for all threads, and last as long as they can."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from workflow_manager.clouds import refresh
from workflow_manager.clouds.http import CloudError
from workflow_manager.clouds.refresh import Expiring, Refreshed

MARGIN = 600


class Source:
    """Gives out numbers that hold for an hour, by a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.given = 0
        self.fails = False
        self.refreshed = Refreshed(self.fetch, MARGIN)

    def fetch(self) -> Expiring[int]:
        self.given += 1
        if self.fails:
            raise CloudError("the token service is down", "wait")
        return Expiring(self.given, datetime.fromtimestamp(self.now + 3600, UTC))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    source = Source()
    monkeypatch.setattr(refresh, "time", lambda: source.now)
    return source


def test_nothing_is_fetched_before_it_is_needed(source: Source) -> None:
    assert source.given == 0
    assert source.refreshed.get() == 1


def test_what_holds_is_not_fetched_again(source: Source) -> None:
    source.refreshed.get()
    source.now += 3600 - MARGIN - 1
    assert source.refreshed.get() == 1


def test_it_is_renewed_well_before_it_expires(source: Source) -> None:
    source.refreshed.get()
    source.now += 3600 - MARGIN
    assert source.refreshed.get() == 2


def test_what_never_expires_is_fetched_once() -> None:
    fetched = iter([Expiring("for ever", None)])
    refreshed = Refreshed(lambda: next(fetched), MARGIN)
    assert [refreshed.get(), refreshed.get()] == ["for ever", "for ever"]


def test_a_renewal_that_fails_is_no_error_while_the_old_holds(source: Source) -> None:
    source.refreshed.get()
    source.fails = True
    source.now += 3600 - 1
    assert source.refreshed.get() == 1
    source.fails = False
    source.now += 1
    assert source.refreshed.get() == 3


def test_a_renewal_that_failed_is_not_tried_again_by_every_request(source: Source) -> None:
    source.refreshed.get()
    source.fails = True
    source.now += 3600 - MARGIN
    assert {source.refreshed.get() for _ in range(10)} == {1}
    assert source.given == 2


def test_when_the_old_has_expired_a_failure_is_an_error(source: Source) -> None:
    source.refreshed.get()
    source.fails = True
    source.now += 3600
    with pytest.raises(CloudError, match="the token service is down"):
        source.refreshed.get()


def test_many_threads_make_one_renewal() -> None:
    entered, leave = threading.Event(), threading.Event()
    fetched: list[None] = []

    def fetch() -> Expiring[str]:
        fetched.append(None)
        entered.set()
        leave.wait()
        return Expiring("token", datetime(2999, 1, 1, tzinfo=UTC))

    refreshed = Refreshed(fetch, MARGIN)
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(refreshed.get) for _ in range(16)]
        entered.wait()
        leave.set()
        assert [one.result() for one in waiting] == ["token"] * 16
    assert len(fetched) == 1


def test_those_who_waited_for_a_failure_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started, leave = threading.Semaphore(0), threading.Event()
    fetched: list[None] = []

    def clock() -> float:
        started.release()
        return float(len(fetched))

    def fetch() -> Expiring[str]:
        leave.wait()
        fetched.append(None)
        raise CloudError("there are no credentials")

    monkeypatch.setattr(refresh, "time", clock)
    refreshed = Refreshed(fetch, MARGIN)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(refreshed.get) for _ in range(8)]
        for _ in waiting:
            started.acquire()
        leave.set()
        assert all(isinstance(one.exception(), CloudError) for one in waiting)
    assert len(fetched) == 1


def test_a_date_that_no_clock_can_show_is_an_error_as_any_other() -> None:
    fetched = Expiring("value", datetime.min)  # noqa: DTZ901 (that is what it is about)
    refreshed = Refreshed(lambda: fetched, MARGIN)
    with pytest.raises(CloudError, match="no valid expiration date"):
        refreshed.get()
