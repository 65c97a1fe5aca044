"""Profiles of a run, in forms that common tools open."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflow_manager.errors import ConfigError, Mistake

_FRAMES = 24  # kept of each allocation's stack
_LOOK_EVERY = 0.2  # seconds
_WORTH_A_LOOK = 1.05  # times the memory of the last look that was kept: a look takes long


@contextmanager
def cpu_profile(path: str) -> Iterator[None]:
    """Write to a file where the processor's time went, in all threads. Nothing if `path` is empty.

    The form is that of Python's `pstats`, which snakeviz and gprof2dot open too.
    """
    if not path:
        yield
        return
    _make("--cpuprofile", path)
    import yappi  # noqa: PLC0415 (only a profiled run should load it)

    yappi.set_clock_type("cpu")
    yappi.start(builtins=True)
    try:
        yield
    finally:
        yappi.stop()
        yappi.get_func_stats().save(path, type="pstat")
        yappi.clear_stats()


@contextmanager
def memory_profile(path: str) -> Iterator[None]:
    """Write to a file which lines held memory when there was most of it. Nothing if `path` is empty.

    It is looked at several times a second, and at the end. The form is collapsed stacks with
    bytes behind them, which flame graph tools and speedscope open.
    """
    if not path:
        yield
        return
    _make("--memprofile", path)
    import tracemalloc  # noqa: PLC0415 (only a profiled run should load it)

    over = threading.Event()
    most, peak = 0, None

    def look() -> None:
        nonlocal most, peak
        size, _ = tracemalloc.get_traced_memory()
        if size > most * _WORTH_A_LOOK:
            most, peak = size, tracemalloc.take_snapshot()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY):
            look()

    tracemalloc.start(_FRAMES)
    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        look()
        tracemalloc.stop()
        with Path(path).open("w") as file:
            for statistic in peak.statistics("traceback") if peak else ():
                stack = ";".join(
                    f"{Path(frame.filename).name}:{frame.lineno}" for frame in statistic.traceback
                )
                file.write(f"{stack} {statistic.size}\n")


def _make(flag: str, path: str) -> None:
    """Make the file before any work is done; raises ConfigError."""
    try:
        Path(path).open("w").close()
    except OSError as error:
        raise ConfigError([Mistake(flag, path, f"cannot be written: {error.strerror}")]) from None
