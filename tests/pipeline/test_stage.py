"""A stage: as many threads as it may have, a bound that pushes back, and errors that come out."""

import queue
import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_manager.pipeline.stage import Stage

LONG = 20.0  # seconds; what is waited for so long will not come


def counting(threads: set[str], meet: threading.Barrier) -> None:
    threads.add(threading.current_thread().name)
    meet.wait(LONG)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_as_many_calls_run_at_once_as_there_may_be_workers(workers: int) -> None:
    stage, threads, meet = Stage("some", workers), set[str](), threading.Barrier(workers)
    for _ in range(3 * workers):
        stage.submit(counting, threads, meet)
    stage.drain()
    assert threads == {f"some_{number}" for number in range(workers)}


def test_threads_are_started_only_when_all_others_are_busy() -> None:
    stage, threads = Stage("some", 5), set[str]()
    for _ in range(5):
        done = threading.Barrier(2)
        stage.submit(counting, threads, done)
        done.wait(LONG)
        idle(stage)
    stage.drain()
    assert threads == {"some_0"}


def idle(stage: Stage, threads: int = 1) -> None:
    while stage._pool._idle < threads:
        threading.Event().wait(0.001)


@given(workers=st.integers(1, 5), calls=st.integers(0, 60), submitters=st.integers(1, 4))
def test_each_call_is_made_once_and_only_so_many_wait(workers: int, calls: int, submitters: int) -> None:
    stage, lock = Stage("some", workers), threading.Lock()
    made: list[int] = []
    most = 0

    def call(number: int) -> None:
        nonlocal most
        with lock:
            made.append(number)
            most = max(most, stage._outstanding)

    def submit(first: int) -> None:
        for number in range(first, calls, submitters):
            stage.submit(call, number)

    threads = [threading.Thread(target=submit, args=[first]) for first in range(submitters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stage.drain()
    assert sorted(made) == list(range(calls))
    assert most <= 2 * workers


def test_a_caller_waits_while_enough_are_waiting() -> None:
    stage, gate, last = Stage("some", 2), threading.Event(), threading.Event()

    def wait() -> None:
        gate.wait(LONG)

    def submit() -> None:
        for _ in range(5):
            stage.submit(wait)
        last.set()

    submitter = threading.Thread(target=submit)
    submitter.start()
    assert not last.wait(0.1)
    gate.set()
    assert last.wait(LONG)
    submitter.join()
    stage.drain()


def test_calls_of_an_unbounded_stage_may_submit_more_to_it() -> None:
    stage, made = Stage("some", 1, bounded=False), list[int]()

    def call(depth: int) -> None:
        made.append(depth)
        for _ in range(3 if depth < 4 else 0):
            stage.submit(call, depth + 1)

    stage.submit(call, 0)
    stage.drain()
    assert len(made) == 1 + 3 + 9 + 27 + 81


def test_of_calls_that_start_in_turn_one_waits_and_the_others_take_no_threads() -> None:
    stage, room = Stage("some", 9, in_turn=True), threading.Semaphore(0)
    started, done = queue.Queue[str](), queue.Queue[str]()

    def call() -> None:
        room.acquire(timeout=LONG)
        stage.started()
        started.put(threading.current_thread().name)
        meet.wait(LONG)
        done.put(threading.current_thread().name)

    meet = threading.Barrier(3)  # two calls, and the test
    stage.submit(call)
    while stage.starting is None:
        threading.Event().wait(0.001)
    for _ in range(5):
        stage.submit(call)
    for _ in range(3):
        assert started.empty()
        room.release(2)
        assert started.get(timeout=LONG) != started.get(timeout=LONG)
        meet.wait(LONG)
        idle(stage, 2)
    stage.drain()
    assert done.qsize() == 6
    assert len(stage._pool._threads) <= 3  # two that have room, and one that waits for it


def test_an_error_comes_out_where_the_calls_come_from() -> None:
    stage, failed = Stage("some", 1), threading.Event()

    def fail() -> None:
        failed.set()
        raise ValueError("a call failed")

    stage.submit(fail)
    assert failed.wait(LONG)
    idle(stage)
    with pytest.raises(ValueError, match="a call failed"):
        stage.submit(fail)
    with pytest.raises(ValueError, match="a call failed"):
        stage.drain()


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_system_that_allows_few_threads_is_made_do_with(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, made = Stage("some", 4), list[int]()
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if len(stage._pool._threads) == allowed:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    if not allowed:
        with pytest.raises(RuntimeError, match="start new thread"):
            stage.submit(made.append, 1)
    else:
        for number in range(20):
            stage.submit(made.append, number)
    stage.drain()
    assert made == list(range(20 * allowed))


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("submitters", [1, 24, 60])
def test_after_an_error_every_submitter_gets_it_now_and_later(workers: int, submitters: int) -> None:
    stage, gate, got = Stage("some", workers), threading.Event(), queue.SimpleQueue[str]()

    def fail() -> None:
        gate.wait(LONG)
        raise ValueError("a call failed")

    def submit() -> None:
        try:
            stage.submit(fail)
        except ValueError as error:
            got.put(str(error))

    for _ in range(2 * workers):  # as many as it takes until submitters have to wait
        stage.submit(fail)
    threads = [threading.Thread(target=submit, daemon=True) for _ in range(submitters)]
    for thread in threads:
        thread.start()
    waiting(stage, submitters)
    gate.set()
    assert [got.get(timeout=LONG) for _ in threads] == ["a call failed"] * submitters
    for thread in threads:
        thread.join(LONG)
    for _ in range(3):
        with pytest.raises(ValueError, match="a call failed"):
            stage.submit(fail)
    with pytest.raises(ValueError, match="a call failed"):
        stage.drain()


def waiting(stage: Stage, submitters: int) -> None:
    """Return when so many submitters wait for room."""
    while len(stage._room._waiters) < submitters:  # type: ignore[attr-defined] # no event says so
        threading.Event().wait(0.001)


@given(
    workers=st.integers(1, 7),
    submitters=st.integers(1, 24),
    calls=st.integers(0, 80),
    failing=st.integers(0, 80),
    bounded=st.booleans(),
    in_turn=st.booleans(),
    starts=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whichever_call_fails_nobody_waits_for_ever(
    workers: int, submitters: int, calls: int, failing: int, *, bounded: bool, in_turn: bool, starts: bool
) -> None:
    stage, lock = Stage("some", workers, bounded=bounded, in_turn=in_turn), threading.Lock()
    accepted, refused, made = [], [], []

    def call(number: int) -> None:
        with lock:
            made.append(number)
        if in_turn and (number != failing or starts):
            stage.started()
        if number == failing:
            raise ValueError("a call failed")

    def submit(first: int) -> None:
        for number in range(first, calls, submitters):
            try:
                stage.submit(call, number)
            except ValueError:
                refused.append(number)
            else:
                accepted.append(number)

    threads = [threading.Thread(target=submit, args=[first], daemon=True) for first in range(submitters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads)
    failed = failing in accepted
    with pytest.raises(ValueError, match="a call failed") if failed else nullcontext():
        stage.drain()
    assert failed or not refused
    assert sorted(made) == sorted(accepted)
    assert sorted(accepted + refused) == list(range(calls))
