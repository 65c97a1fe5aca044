"""Threads that several stages share: every stage gets on, whatever the calls of the others wait for."""

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_manager.pipeline.stage import Stage, WorkerPool

WAIT = 30.0


class Calls:
    """Calls that wait until they are let go, and how many of them run at a time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.running = 0
        self.most = 0
        self.done = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go.wait(WAIT)
        with self._lock:
            self.running -= 1
            self.done += 1


@pytest.fixture
def pool() -> Iterator[Callable[[int], WorkerPool]]:
    made: list[WorkerPool] = []

    def make(most: int) -> WorkerPool:
        made.append(WorkerPool("shared", most))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stage(workers: int, shared: WorkerPool) -> Stage:
    return Stage("some", workers, bounded=False, pool=shared)


def test_a_stage_alone_has_all_the_threads_that_it_may_have(pool: Callable[[int], WorkerPool]) -> None:
    calls, one = Calls(), stage(5, pool(8))
    for _ in range(20):
        one.submit(calls)
    assert all(calls.begun.acquire(timeout=WAIT) for _ in range(5))
    calls.go.set()
    one.drain()
    assert (calls.most, calls.done) == (5, 20)


def test_stages_whose_calls_hang_do_not_keep_another_from_working(pool: Callable[[int], WorkerPool]) -> None:
    shared = pool(4)
    hanging = [Calls() for _ in range(6)]
    stages = [stage(4, shared) for _ in hanging]
    for calls, one in zip(hanging, stages, strict=True):
        for _ in range(8):
            one.submit(calls)
    assert all(calls.begun.acquire(timeout=WAIT) for calls in hanging)
    good, other = Calls(), stage(4, shared)
    good.go.set()
    for _ in range(50):
        other.submit(good)
    other.drain()
    assert good.done == 50
    for calls in hanging:
        calls.go.set()
    for one in stages:
        one.drain()
    assert sum(calls.done for calls in hanging) == 48


def test_the_pool_has_no_more_threads_than_its_bound_and_one_for_each_other_stage(
    pool: Callable[[int], WorkerPool],
) -> None:
    shared = pool(4)
    many = [(Calls(), stage(4, shared)) for _ in range(10)]
    for calls, one in many:
        for _ in range(10):
            one.submit(calls)
    assert all(calls.begun.acquire(timeout=WAIT) for calls, _ in many)
    assert len(shared._threads) <= 4 + 10 - 1
    for calls, one in many:
        calls.go.set()
        one.drain()


def test_an_error_stays_with_its_stage(pool: Callable[[int], WorkerPool]) -> None:
    shared = pool(2)

    def fail() -> None:
        raise ValueError("made to")

    bad, good, calls = stage(2, shared), stage(2, shared), Calls()
    calls.go.set()
    bad.submit(fail)
    good.submit(calls)
    good.drain()
    with pytest.raises(ValueError, match="made to"):
        bad.drain()


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 30), st.booleans()), min_size=1, max_size=6),
)
def test_every_call_is_made_once_however_stages_share(most: int, plans: list[tuple[int, int, bool]]) -> None:
    shared = WorkerPool("shared", most)
    done: list[list[int]] = [[] for _ in plans]
    stages = [Stage("s", workers, bounded=bounded, pool=shared) for workers, _, bounded in plans]

    def submit(number: int) -> None:
        for call in range(plans[number][1]):
            stages[number].submit(done[number].append, call)
        stages[number].drain()

    threads = [threading.Thread(target=submit, args=(number,), daemon=True) for number in range(len(plans))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    shared.close()
    assert [sorted(made) for made in done] == [list(range(count)) for _, count, _ in plans]
