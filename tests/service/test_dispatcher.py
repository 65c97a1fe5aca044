"""Passes of many instances in one process: never two of one, and what causes them."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from workflow_manager.service import dispatcher
from workflow_manager.service.dispatcher import Dispatcher
from workflow_manager.service.hints import MOST_AGGREGATIONS, Hints
from workflow_manager.service.timing import Outcome

WAIT = 30.0


class Instance:
    """A job whose passes wait until they are let go, if `held`; remembers what they were to do."""

    def __init__(self, name: str, *, held: bool = False, interval: float = 3600.0) -> None:
        self.name = name
        self.interval = interval
        self.passes: list[tuple[bool, tuple[str, ...] | None]] = []
        self.outcome = Outcome.DONE
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.over = threading.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0
        self.closed = 0
        self.interrupted = ""
        if not held:
            self.go.set()

    def perform(self, hints: Hints, *, whole: bool) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert not self.closed
        self.passes.append((whole, None if whole else hints.chosen()))
        self.begun.release()
        assert self.go.wait(WAIT)
        self.at_once -= 1
        self.over.release()
        return self.outcome

    def interrupt(self, reason: str) -> None:
        self.interrupted = reason
        self.go.set()

    def close(self) -> None:
        self.closed += 1


class Notice:
    def __init__(self) -> None:
        self.settled: list[bool] = []
        self.known = threading.Event()

    def settles(self, _notices: object, done: bool) -> None:  # noqa: FBT001 (the protocol's)
        self.settled.append(done)
        self.known.set()

    def outcome(self) -> bool:
        assert self.known.wait(WAIT)
        (done,) = self.settled
        return done


Start = Callable[..., Dispatcher]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(dispatcher, "GATHER", 0.01)
    monkeypatch.setattr(dispatcher, "SPACING", 0.01)
    started: list[Dispatcher] = []

    def begin(*jobs: Instance, workers: int = 4) -> Dispatcher:
        one = Dispatcher(workers)
        one.use(jobs)
        one.start()
        started.append(one)
        return one

    yield begin
    for one in started:
        assert one.stop("the test is over", WAIT)


def took(semaphore: threading.Semaphore, count: int = 1) -> bool:
    return all(semaphore.acquire(timeout=WAIT) for _ in range(count))


def test_each_instance_has_a_first_pass_and_another_after_its_interval(start: Start) -> None:
    jobs = [Instance(f"i{number}", interval=0.05) for number in range(10)]
    start(*jobs)
    assert all(took(job.over, 4) for job in jobs)
    assert all(job.most_at_once == 1 for job in jobs)
    assert all(whole for job in jobs for whole, _ in job.passes)


def test_hints_are_followed_by_a_pass_for_just_what_was_touched(start: Start) -> None:
    one, other = Instance("one"), Instance("other")
    running = start(one, other)
    assert took(one.over)
    assert took(other.over)
    notices = [Notice(), Notice(), Notice()]
    for name, notice in zip(("b", "a", "b"), notices, strict=True):
        running.hint("one", name, 0.0, notice)
    assert [notice.outcome() for notice in notices] == [True] * 3
    assert one.passes[1:] == [(False, ("a", "b"))]
    assert len(other.passes) == 1


def test_hints_during_a_pass_cause_another_after_it_and_are_not_settled_before(start: Start) -> None:
    one = Instance("one", held=True)
    running = start(one)
    assert took(one.begun)
    notice = Notice()
    running.hint("one", "a", 0.0, notice)
    assert not notice.known.wait(0.05)
    one.go.set()
    assert notice.outcome()
    assert one.passes == [(True, None), (False, ("a",))]
    assert one.most_at_once == 1


def test_a_storm_is_one_pass_over_everything(start: Start) -> None:
    one = Instance("one", held=True)
    running = start(one)
    assert took(one.begun)
    notices = [Notice() for _ in range(MOST_AGGREGATIONS + 2000)]
    for number, notice in enumerate(notices):
        running.hint("one", f"a{number}", 0.0, notice)
    one.go.set()
    assert all(notice.outcome() for notice in notices)
    assert one.passes == [(True, None), (True, None)]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SUPERSEDED])
def test_a_notice_whose_pass_did_not_succeed_is_not_acknowledged_but_still_followed(
    start: Start, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_manager.service.timing.FIRST_RETRY", 0.05)
    one = Instance("one")
    running = start(one)
    assert took(one.over)
    one.outcome = outcome
    one.go.clear()
    notice = Notice()
    running.hint("one", "a", 0.0, notice)
    assert took(one.begun, 2)
    one.go.set()
    assert not notice.outcome()
    one.outcome = Outcome.DONE
    assert took(one.begun)
    assert one.passes[1] == (False, ("a",))
    assert one.passes[2] in ((True, None), (False, ("a",)))


def test_instances_that_struggle_leave_threads_to_the_others(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_manager.service.timing.FIRST_RETRY", 0.01)
    bad = [Instance(f"bad{number}") for number in range(6)]
    for job in bad:
        job.outcome = Outcome.FAILED
    running = start(*bad, workers=4)
    assert all(took(job.over) for job in bad)
    for job in bad:
        job.go.clear()  # from now on their passes hang
    good = Instance("good")
    running.use([*bad, good])
    for _ in range(3):
        notice = Notice()
        running.hint("good", "a", 0.0, notice)
        assert notice.outcome()
    for job in bad:
        job.go.set()


def test_a_new_list_of_instances_keeps_takes_up_and_drops(start: Start) -> None:
    kept, dropped = Instance("kept", held=True), Instance("dropped", held=True)
    running = start(kept, dropped)
    assert took(kept.begun)
    assert took(dropped.begun)
    again, new = Instance("kept"), Instance("new")
    running.use([again, new])
    assert took(new.over)
    assert (kept.closed, dropped.closed) == (0, 0), "their passes are under way"
    kept.go.set()
    dropped.go.set()
    notice = Notice()
    running.hint("kept", "a", 0.0, notice)
    assert notice.outcome()
    assert again.passes == [(False, ("a",))]
    assert kept.closed == 1
    gone = Notice()
    running.hint("dropped", "a", 0.0, gone)
    assert not gone.outcome()
    running.use([again])
    assert new.closed == 1


def test_the_end_interrupts_passes_and_says_if_they_do_not_end(start: Start) -> None:
    one, deaf = Instance("one", held=True), Instance("deaf", held=True)
    deaf.interrupt = lambda reason: None  # type: ignore[method-assign]
    running = start(one, deaf)
    assert took(one.begun)
    assert took(deaf.begun)
    assert not running.stop("SIGTERM received", 0.05)
    assert one.interrupted == "SIGTERM received"
    deaf.go.set()
    assert running.stop("SIGTERM received", WAIT)
    assert one.closed == 1


def test_it_tells_whether_passes_wait_for_a_thread(start: Start) -> None:
    first, second = Instance("first", held=True), Instance("second", held=True)
    one = start(first, second, workers=1)
    assert first.begun.acquire(timeout=WAIT) or second.begun.acquire(timeout=WAIT)
    deadline = time.monotonic() + WAIT
    while not one.behind():
        assert time.monotonic() < deadline, "the second becomes due while the first has the only thread"
        time.sleep(0.01)
    first.go.set()
    second.go.set()
    assert first.over.acquire(timeout=WAIT)
    assert second.over.acquire(timeout=WAIT)
    assert not one.behind()
