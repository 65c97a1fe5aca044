"""Leases: of several runs at once one works, and nobody waits for ever for one that was killed."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from support.harness import FaultyStore, Harness
from workflow_manager.errors import StorageError
from workflow_manager.pipeline import lease as leases
from workflow_manager.pipeline.lease import Lease
from workflow_manager.pipeline.scheduler import LeaseTerms

IN_INTAKE = "2026/11/23/03/05"
TERMS = LeaseTerms("scope", 60)


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore("memory://own")


def taken(store: FaultyStore, scope: str = "scope", wall: float = 1000) -> Lease:
    lease = Lease(store, scope, 60, wall=lambda: wall, sleep=lambda _: None)
    lease.begin()
    return lease


def test_one_run_gets_the_lease_and_gives_it_back(store: FaultyStore) -> None:
    lease = taken(store)
    assert lease.granted()
    assert lease.lasting()
    assert len(store.names()) == 1
    lease.end()
    assert store.names() == []


def test_a_second_run_is_refused_while_the_first_works_and_leaves_nothing_behind(store: FaultyStore) -> None:
    first = taken(store, wall=1000)
    assert first.granted()
    second = taken(store, wall=1020)
    assert not second.granted()
    second.end()
    assert len(store.names()) == 1
    first.end()
    assert taken(store, wall=1021).granted()


def test_a_renewal_in_the_midst_of_anothers_listing_does_not_hide_the_lease() -> None:
    class Drifting(FaultyStore):
        """Its listings show only what is there all the while, as those of directories may."""

        def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
            keys = [key for page in super().list_keys(prefix, after, before) for key in page]
            for call in meanwhile:
                call()
            yield [key for key in keys if self.get(key) is not None]

    meanwhile: list[Callable[[], None]] = []
    store, wall = Drifting("memory://own"), iter(range(1000, 1100))
    first = Lease(store, "scope", 600, wall=lambda: next(wall), sleep=lambda _: None)
    first.begin()
    assert first.granted()
    meanwhile.append(first._write)
    second = taken(store, wall=1050)
    assert not second.granted()
    second.end()
    first.end()
    assert store.names() == []


def test_other_scopes_do_not_matter(store: FaultyStore) -> None:
    assert taken(store, "one").granted()
    assert taken(store, "other").granted()


def test_the_lease_of_a_killed_run_ends_by_itself(store: FaultyStore) -> None:
    assert taken(store, wall=1000).granted()  # and never given back
    assert not taken(store, wall=1000 + 60 + leases.SKEW - 1).granted()
    assert taken(store, wall=1000 + 60 + leases.SKEW + 1).granted()


@pytest.mark.parametrize("_attempt", range(20))
def test_of_two_that_begin_at_once_at_most_one_works(_attempt: int) -> None:
    store = FaultyStore("memory://own")
    barrier = threading.Barrier(2)
    to_meet = iter([barrier, barrier])
    put = store.put

    def together(key: str, body: bytes) -> None:
        put(key, body)
        if (meeting := next(to_meet, None)) is not None:
            meeting.wait(10)  # both have written before either lists

    store.put = together  # type: ignore[method-assign] # to bring about the worst interleaving
    runs = [Lease(store, "scope", 60, sleep=lambda pause: time.sleep(pause / 100)) for _ in range(2)]
    for run in runs:
        run.begin()
    assert [run.granted() for run in runs].count(True) <= 1
    for run in runs:
        run.end()


def test_a_lease_is_renewed_while_the_run_works(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = threading.Event()
    wall = iter(range(1000, 100_000))
    lease = Lease(store, "scope", 0.02, wall=lambda: next(wall))
    put, puts = store.put, [0]

    def counted(key: str, body: bytes) -> None:
        put(key, body)
        puts[0] += 1
        if puts[0] == 5:
            renewed.set()

    monkeypatch.setattr(store, "put", counted)
    lease.begin()
    assert lease.granted()
    assert renewed.wait(10)
    lease.end()
    assert store.names() == []


def test_a_bucket_that_cannot_be_written_is_told_to_whoever_asks(store: FaultyStore) -> None:
    store.fails = lambda operation, name: operation == "put"
    lease = taken(store)
    with pytest.raises(StorageError, match="injected"):
        lease.granted()
    lease.end()


def test_a_lease_is_no_marker(store: FaultyStore) -> None:
    assert taken(store).granted()
    assert not any(name.startswith("task-markers/intake") for name in store.names())
    assert all(name.startswith("task-markers/") for name in store.names())


class TestRuns:
    def test_a_run_leaves_the_work_to_another_without_having_failed(self) -> None:
        harness = Harness()
        harness.ingest("agg", IN_INTAKE, "b")
        other = Lease(harness.own, TERMS.scope, 600)
        other.begin()
        assert other.granted()
        report = harness.run(lease=TERMS)
        assert report.superseded
        assert report.failure_count == 0
        assert not report.succeeded
        assert harness.queue.published == {}
        assert len(harness.events.named("run.superseded")) == 1
        other.end()
        assert harness.run(lease=TERMS).succeeded
        assert harness.taken_in() == ["b"]

    def test_a_run_with_nothing_to_schedule_needs_no_lease(self) -> None:
        harness = Harness()
        other = Lease(harness.own, TERMS.scope, 600)
        other.begin()
        assert other.granted()
        assert harness.run(lease=TERMS).succeeded
        other.end()

    def test_pairs_of_runs_at_once_repeat_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "FIRST_PAUSE", 0.005)
        for _ in range(10):
            harness = Harness()
            for number in range(50):
                harness.ingest("agg", IN_INTAKE, f"b{number:02}")
            pair = [harness.scheduler(lease=TERMS) for _ in range(2)]
            threads = [threading.Thread(target=scheduler.run) for scheduler in pair]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert harness.run(lease=TERMS).succeeded
            assert harness.taken_in() == [f"b{number:02}" for number in range(50)]

    def test_a_lease_that_runs_out_ends_the_publishing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        harness = Harness()
        harness.ingest("agg", IN_INTAKE, "b")
        monkeypatch.setattr(Lease, "lasting", lambda _: False)
        report = harness.run(lease=TERMS)
        assert "the lease has run out" in report.stopped
        assert harness.queue.published == {}
        assert report.failure_count == 1


def test_a_renewal_that_fails_in_any_way_is_not_the_last(store: FaultyStore) -> None:
    renewals: list[str] = []
    renewed = threading.Event()

    class Broken(FaultyStore):
        def put(self, key: str, body: bytes) -> None:
            renewals.append(key)
            if len(renewals) == 2:
                raise ValueError("a date that cannot be read")
            super().put(key, body)
            if len(renewals) > 2:
                renewed.set()

    lease = Lease(Broken("memory://own"), "scope", 0.2, sleep=lambda _: None)
    lease.begin()
    assert lease.granted()
    assert renewed.wait(30)
    lease.end()
