"""Leases: of several runs at once one works, and nobody waits for ever for one that was killed."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest

from support.harness import Events, FaultyStore, Harness
from workflow_manager.core.lease_names import LONGEST, SKEW, LeaseName, lease_prefix
from workflow_manager.core.report import Kind
from workflow_manager.errors import StorageError
from workflow_manager.observe.event import Severity
from workflow_manager.pipeline import lease as leases
from workflow_manager.pipeline.lease import Lease
from workflow_manager.pipeline.scheduler import LeaseTerms

IN_INTAKE = "2026/11/23/03/05"
TERMS = LeaseTerms("scope", 60)


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore("memory://own")


def granted(lease: Lease) -> bool:
    return lease.holder() is None


def taken(
    store: FaultyStore, scope: str = "scope", wall: float = 1000, events: Events | None = None
) -> Lease:
    lease = Lease(store, scope, 60, events or Events(), wall=lambda: wall, sleep=lambda _: None)
    lease.begin()
    return lease


def test_one_run_gets_the_lease_and_gives_it_back(store: FaultyStore) -> None:
    lease = taken(store)
    assert granted(lease)
    assert lease.lasting()
    assert len(store.names()) == 1
    lease.end()
    assert store.names() == []


def test_a_second_run_is_refused_while_the_first_works_and_leaves_nothing_behind(store: FaultyStore) -> None:
    first = taken(store, wall=1000)
    assert granted(first)
    second = taken(store, wall=1020)
    assert not granted(second)
    second.end()
    assert len(store.names()) == 1
    first.end()
    assert granted(taken(store, wall=1021))


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
    first = Lease(store, "scope", 600, Events(), wall=lambda: next(wall), sleep=lambda _: None)
    first.begin()
    assert granted(first)
    meanwhile.append(first._write)
    second = taken(store, wall=1050)
    assert not granted(second)
    second.end()
    first.end()
    assert store.names() == []


def test_other_scopes_do_not_matter(store: FaultyStore) -> None:
    assert granted(taken(store, "one"))
    assert granted(taken(store, "other"))


def test_the_lease_of_a_killed_run_ends_by_itself(store: FaultyStore) -> None:
    assert granted(taken(store, wall=1000))  # and never given back
    assert not granted(taken(store, wall=1000 + 60 + SKEW - 1))
    assert granted(taken(store, wall=1000 + 60 + SKEW + 1))


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
    runs = [
        Lease(store, "scope", 60, Events(), sleep=lambda pause: time.sleep(pause / 100)) for _ in range(2)
    ]
    for run in runs:
        run.begin()
    assert [granted(run) for run in runs].count(True) <= 1
    for run in runs:
        run.end()


def test_a_lease_is_renewed_while_the_run_works(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = threading.Event()
    wall = iter(range(1000, 100_000))
    lease = Lease(store, "scope", 0.02, Events(), wall=lambda: next(wall))
    put, puts = store.put, [0]

    def counted(key: str, body: bytes) -> None:
        put(key, body)
        puts[0] += 1
        if puts[0] == 5:
            renewed.set()

    monkeypatch.setattr(store, "put", counted)
    lease.begin()
    assert granted(lease)
    assert renewed.wait(10)
    lease.end()
    assert store.names() == []


def test_a_bucket_that_cannot_be_written_is_told_to_whoever_asks(store: FaultyStore) -> None:
    store.fails = lambda operation, name: operation == "put"
    lease = taken(store)
    with pytest.raises(StorageError, match="injected"):
        granted(lease)
    lease.end()


def name(until: int, run: str = "ab", host: str = "node-1") -> str:
    """The name of another run's lease."""
    return LeaseName(until, until - 60, run, 7, host).key("scope")


def test_who_takes_a_lease_removes_those_that_ended_more_than_a_day_ago(store: FaultyStore) -> None:
    now = 1_000_000
    old, recent = name(now - int(leases.KEPT) - 1), name(now - int(leases.KEPT) + 1)
    foreign = LeaseName(1, 1, "ab", 7, "node-1").key("other")
    for key in (old, recent, foreign):
        store.put(key, b"")
    lease = taken(store, wall=now)
    assert granted(lease)
    lease.end()
    assert store.names() == [foreign, recent]


def test_a_bucket_in_which_nothing_may_be_deleted_costs_one_try(store: FaultyStore) -> None:
    keys = [name(number) for number in range(50)]
    for key in keys:
        store.put(key, b"")
    tried: list[str] = []

    def refuse(key: str) -> None:
        tried.append(key)
        raise StorageError("delete", key, "injected")

    store.delete = refuse  # type: ignore[method-assign] # as without the permission
    lease = taken(store, wall=1_000_000)
    assert granted(lease)
    lease.end()
    assert tried[0] == keys[0]
    assert [key for key in tried if key in keys] == keys[:1]


def test_a_run_does_not_spend_its_time_removing_old_leases(store: FaultyStore) -> None:
    for number in range(50):
        store.put(name(number), b"")
    lease = taken(store, wall=1_000_000)
    assert granted(lease)
    lease.end()
    assert len(store.names()) == 50 - leases.MOST_REMOVED


def test_a_lease_whose_end_lies_absurdly_far_ahead_is_ignored_with_a_warning(store: FaultyStore) -> None:
    now, events = 1_000_000, Events()
    far = name(now + int(LONGEST + SKEW) + 1)
    store.put(far, b"")
    assert granted(taken(store, wall=now, events=events))
    (told,) = events.named("lease.ignored")
    assert told.severity is Severity.WARNING
    assert told.fields["key"] == far
    assert "check the clocks of the machines; delete it" in told.message


def test_the_longest_lease_that_there_can_be_is_honoured(store: FaultyStore) -> None:
    now = 1_000_000
    store.put(name(now + int(LONGEST + SKEW)), b"")
    assert not granted(taken(store, wall=now))


@pytest.mark.parametrize("rest", ["", "x", "999999999999-x", "9" * 40, "000001000099-000001000000-ab-7-"])
def test_what_is_named_like_a_lease_and_is_none_stops_nobody(rest: str, store: FaultyStore) -> None:
    events = Events()
    store.put(lease_prefix("scope") + rest, b"")
    assert granted(taken(store, wall=1000, events=events))
    assert len(events.named("lease.ignored")) == (1 if rest > "000000000970" else 0)


@pytest.mark.parametrize("duration", [0, LONGEST + 1])
def test_no_lease_holds_for_longer_than_others_honour_it(duration: float, store: FaultyStore) -> None:
    with pytest.raises(ValueError, match="a lease holds for up to 3600 s"):
        Lease(store, "scope", duration, Events())


def test_one_that_may_have_been_written_in_spite_of_an_error_is_removed(store: FaultyStore) -> None:
    put = store.put

    def lose_the_answer(key: str, body: bytes) -> None:
        put(key, body)
        raise StorageError("write", key, "the answer was lost")

    store.put = lose_the_answer  # type: ignore[method-assign] # the fault
    lease = taken(store)
    with pytest.raises(StorageError):
        lease.holder()
    lease.end()
    assert store.names() == []


def test_the_lease_of_an_earlier_version_which_does_not_name_its_host_is_honoured(store: FaultyStore) -> None:
    store.put(f"{lease_prefix('scope')}{1060:012}-{1000:012}-{'ab' * 16}", b"")
    holder = taken(store, wall=1050).holder()
    assert holder is not None
    assert (holder.host, holder.process) == ("an unknown host", 0)


def test_who_holds_the_lease_is_in_its_name_whatever_the_host_is_called(store: FaultyStore) -> None:
    store.put(name(1060, host="gr\xfcn -\n/" + "x" * 200), b"")
    holder = taken(store, wall=1050).holder()
    assert holder is not None
    assert holder.host.startswith("gr_n_-__xxx")
    assert len(holder.host) == 64
    assert holder.process == 7
    assert holder.until == datetime(1970, 1, 1, 0, 17, 40, tzinfo=UTC)
    assert [operation for operation, _ in store.calls].count("list") == 1


def test_until_when_a_lease_lasts_is_known_outside_and_never_ends_without_one(store: FaultyStore) -> None:
    expiry = leases.LeaseExpiry()
    assert expiry() == math.inf
    before = time.monotonic()
    lease = Lease(store, "scope", 60, Events(), expiry=expiry)
    lease.begin()
    assert granted(lease)
    assert before + 60 <= expiry() <= time.monotonic() + 60
    first = expiry()
    lease._write()
    assert expiry() > first
    lease.end()
    assert expiry() == math.inf


def test_a_lease_is_no_marker(store: FaultyStore) -> None:
    assert granted(taken(store))
    assert not any(name.startswith("task-markers/intake") for name in store.names())
    assert all(name.startswith("task-markers/") for name in store.names())


class TestRuns:
    @pytest.fixture(autouse=True)
    def _hasty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hardly any pause between the looks at the lease of another run."""
        monkeypatch.setattr(leases, "FIRST_PAUSE", 0.005)

    def test_a_run_leaves_the_work_to_another_without_having_failed(self) -> None:
        harness = Harness()
        harness.ingest("agg", IN_INTAKE, "b")
        other = Lease(harness.own, TERMS.scope, 600, Events())
        other.begin()
        assert granted(other)
        report = harness.run(lease=TERMS)
        assert report.superseded
        assert report.failure_count == 0
        assert not report.succeeded
        assert harness.queue.published == {}
        (told,) = harness.events.named("run.superseded")
        assert f"process {os.getpid()} on {os.uname().nodename}" in told.message
        assert "holds the lease" in told.message
        assert "expires by itself" in told.message
        assert report.superseded_by is not None
        assert told.fields["until"] == f"{report.superseded_by.until:%Y-%m-%dT%H:%M:%SZ}"
        assert report.total().intake_tasks_left == report.total().aggregation_tasks_left == 0
        other.end()
        assert harness.run(lease=TERMS).succeeded
        assert harness.taken_in() == ["b"]

    def test_a_run_with_nothing_to_schedule_needs_no_lease(self) -> None:
        harness = Harness()
        other = Lease(harness.own, TERMS.scope, 600, Events())
        other.begin()
        assert granted(other)
        assert harness.run(lease=TERMS).succeeded
        other.end()

    def test_pairs_of_runs_at_once_repeat_nothing(self) -> None:
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
        assert "the lease expired" in report.stopped
        assert harness.queue.published == {}
        assert report.failed[Kind.LEASE] == report.failure_count == 1
        assert report.total().intake_tasks_left == 1

    def test_a_lease_that_cannot_be_written_fails_the_run_once_as_such(self) -> None:
        harness = Harness()
        for number in range(20):
            harness.ingest(f"agg-{number}", IN_INTAKE, "b")
        harness.own.fails = lambda operation, name: operation == "put" and "lease" in name
        report = harness.run(lease=TERMS)
        assert report.failed == {**dict.fromkeys(Kind, 0), Kind.LEASE: 1}
        assert "could not acquire the lease" in report.failures[0].message
        assert report.stopped == report.failures[0].message
        assert harness.queue.published == {}
        assert "1 failure (1 lease)" in harness.events.seen[-1].message


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

    lease = Lease(Broken("memory://own"), "scope", 0.2, Events(), sleep=lambda _: None)
    lease.begin()
    assert lease.holder() is None
    assert renewed.wait(30)
    lease.end()
