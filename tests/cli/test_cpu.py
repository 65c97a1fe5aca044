"""The threads of a run stay together on one CPU, wherever the system puts them."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from support.command import Deployment
from workflow_manager.cli import cpu, run
from workflow_manager.cli.cpu import one_cpu

if sys.platform != "linux":
    pytest.skip("only Linux lets a program choose its CPU", allow_module_level=True)

ALLOWED = os.sched_getaffinity(0)
several = pytest.mark.skipif(len(ALLOWED) < 2, reason="there is one CPU here, and so no choice")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    assert os.sched_getaffinity(0) == ALLOWED


@several
def test_threads_that_were_there_and_new_ones_run_on_the_same_cpu() -> None:
    over = threading.Event()
    before = threading.Thread(target=over.wait)
    during = threading.Thread(target=over.wait)
    before.start()
    with one_cpu():
        eventually(lambda: len(os.sched_getaffinity(0)) == 1)
        during.start()
        eventually(
            lambda: (
                affinity(before) == affinity(during) == os.sched_getaffinity(0) and len(affinity(before)) == 1
            )
        )
        over.set()
        before.join()
        during.join()


@several
def test_all_move_where_the_system_has_room() -> None:
    with one_cpu():
        for there in (min(ALLOWED), max(ALLOWED), min(ALLOWED)):
            os.sched_setaffinity(scout(), {there})  # as if all other CPUs were busy
            eventually(partial(is_on, there))


@several
def test_threads_may_run_anywhere_again_afterwards() -> None:
    with one_cpu():
        eventually(lambda: len(os.sched_getaffinity(0)) == 1)
        over = threading.Event()
        left = threading.Thread(target=over.wait)
        left.start()
    assert affinity(left) == ALLOWED
    over.set()
    left.join()


def test_nothing_is_done_where_there_is_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("there is no choice"))
    with one_cpu():
        assert "scout" not in {thread.name for thread in threading.enumerate()}
    monkeypatch.undo()


@pytest.mark.parametrize("refused", ["sched_setaffinity", "/proc"])
def test_a_run_goes_on_where_the_system_does_not_allow_it(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def refuse(*_: object) -> None:
        asked.set()
        raise PermissionError(1, "Operation not permitted")

    if refused == "sched_setaffinity":
        monkeypatch.setattr(os, refused, refuse)
    else:
        monkeypatch.setattr(cpu, "_THREADS", Path("/proc/nothing"))
        asked.set()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with one_cpu():
        assert asked.wait(30)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("flags", "done"),
    [
        ([], ["pinned", "tuned"]),
        (["--no-cpu-pinning"], ["tuned"]),
        (["--no-malloc-tuning"], ["pinned"]),
        (["--no-cpu-pinning", "--no-malloc-tuning"], []),
    ],
)
def test_a_run_does_neither_if_it_is_told_so(
    flags: list[str], done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[str] = []

    @contextmanager
    def pinned() -> Iterator[None]:
        called.append("pinned")
        yield

    monkeypatch.setattr(run, "one_cpu", pinned)
    monkeypatch.setattr(run, "share_one_arena", lambda: called.append("tuned"))
    deployment = Deployment(Path("none"), tmp_path)
    assert run.run([*deployment.flags(), *flags]) == 0
    assert sorted(called) == done


def is_on(place: int) -> bool:
    """Whether this thread is bound to a CPU."""
    return os.sched_getaffinity(0) == {place}


def affinity(thread: threading.Thread) -> set[int]:
    """The CPUs that a thread may run on."""
    assert thread.native_id is not None
    return os.sched_getaffinity(thread.native_id)


def scout() -> int:
    """The thread that is bound to no CPU, once it is there."""
    [found] = [thread for thread in threading.enumerate() if thread.name == "scout"]
    assert found.native_id is not None
    return found.native_id


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another thread brings about."""
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.01)
    assert holds()
