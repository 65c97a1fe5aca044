"""A bucket that does nothing but fail is given up; one that fails now and then is not."""

from collections.abc import Callable, Iterator

import pytest

from support.harness import FaultyStore, Harness
from workflow_manager.errors import CircuitOpenError, StorageError
from workflow_manager.pipeline import mark
from workflow_manager.pipeline.circuit_breaker import MOST_FAILURES, BreakerPolicy, CircuitBreaker

LONGEST = 60.0
IN_INTAKE = "2026/11/23/03/05"
IN_BOTH = "2026/11/22/17/05"


class Trial:
    """A bucket whose requests take as long as a test says, and what was given up."""

    def __init__(self) -> None:
        self.store = FaultyStore("memory://bucket", page_size=1)
        self.now = 1000.0
        self.takes = 0.0
        self.given_up: list[tuple[str, str]] = []
        self.failing = True
        self.store.fails = self._fails
        breaker = BreakerPolicy(LONGEST, lambda *told: self.given_up.append(told), lambda: self.now)
        self.bucket = CircuitBreaker(self.store, breaker)

    def _fails(self, operation: str, name: str) -> bool:
        self.now += self.takes
        return self.failing

    def put(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(StorageError, match="injected"):
                self.bucket.put("key", b"")


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_it_is_given_up_after_several_failures_that_took_long(trial: Trial) -> None:
    trial.takes = 40
    trial.put(MOST_FAILURES - 1)
    assert trial.given_up == []
    trial.put()
    ((url, why),) = trial.given_up
    assert url == "memory://bucket"
    assert "3 requests in a row failed within 120 s, the last with: could not put memory://bucket" in why


def test_nothing_is_sent_from_then_on_and_errors_name_the_bucket(trial: Trial) -> None:
    trial.takes = 40
    trial.put(MOST_FAILURES)
    calls = len(trial.store.calls)
    trial.failing = False
    attempts: list[Callable[[], object]] = [
        lambda: trial.bucket.put("key", b""),
        lambda: trial.bucket.delete("key"),
        lambda: list(trial.bucket.list_keys("a/")),
        lambda: list(trial.bucket.list_directories("a/")),
    ]
    for attempt in attempts:
        with pytest.raises(CircuitOpenError, match=r"memory://bucket.*circuit breaker of the bucket is open"):
            attempt()
    assert len(trial.store.calls) == calls
    assert len(trial.given_up) == 1


def test_failures_that_come_at_once_never_take_a_bucket_away_from_others(trial: Trial) -> None:
    trial.put(1000)
    assert trial.given_up == []


@pytest.mark.parametrize("success", ["put", "list", "page"])
def test_any_success_starts_the_count_anew(trial: Trial, success: str) -> None:
    trial.failing = False
    for key in ("a", "b"):
        trial.store.put(key, b"")
    pages: Iterator[object] = trial.bucket.list_keys("")
    next(pages)
    trial.takes, trial.failing = 40, True
    trial.put(MOST_FAILURES - 1)
    trial.failing = False
    match success:
        case "put":
            trial.bucket.put("key", b"")
        case "list":
            assert list(trial.bucket.list_keys("nothing/")) == []
        case "page":
            assert next(pages) == ["b"]
    trial.failing = True
    trial.put(MOST_FAILURES - 1)
    assert trial.given_up == []


class TestRuns:
    """With no retry_policy at all, so that the third failure in a row is the last."""

    @pytest.fixture
    def harness(self, monkeypatch: pytest.MonkeyPatch) -> Harness:
        monkeypatch.setattr(mark, "FIRST_PAUSE", 0)
        harness = Harness(breaker_seconds=0)
        for number in range(100):
            harness.ingest(f"agg-{number}", IN_BOTH, f"b-{number}")
            harness.validate(f"agg-{number}", IN_BOTH, f"b-{number}")
        return harness

    def test_without_the_ingestion_bucket_the_run_ends(self, harness: Harness) -> None:
        harness.ingestion.fails = lambda operation, name: operation == "list"
        report = harness.run()
        assert report.stopped == "the circuit breaker of memory://ingestion opened"
        assert len(harness.ingestion.calls) < 100
        assert len(harness.events.named("bucket.given_up")) == 1

    def test_without_our_own_bucket_the_run_ends_and_marks_no_more(self, harness: Harness) -> None:
        harness.own.fails = lambda operation, name: operation == "put"
        report = harness.run()
        assert report.stopped in (
            "the circuit breaker of memory://own opened",
            "10 tasks were published but could not be marked, and each will be repeated",
        )
        assert harness.markers() == []
        assert len(harness.events.named("bucket.given_up")) == 1
        # None but those that were on their way; each marker would have been tried three times.
        assert len([name for operation, name in harness.own.calls if operation == "put"]) <= 3 + 64

    def test_without_the_peers_bucket_all_batches_are_still_taken_in(self, harness: Harness) -> None:
        harness.peer.fails = lambda operation, name: True
        report = harness.run()
        assert len(harness.taken_in()) == len(harness.markers()) == 100
        assert harness.aggregated() == {}
        assert report.stopped == ""
        assert len(harness.peer.calls) < 100
        (event,) = harness.events.named("bucket.given_up")
        assert event.fields["bucket"] == "memory://peer"
