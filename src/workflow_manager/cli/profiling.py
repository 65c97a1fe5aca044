"""Profiles of a run, in forms that common tools open."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_FRAMES = 24  # kept of each allocation's stack


@contextmanager
def cpu_profile(path: str) -> Iterator[None]:
    """Write to a file where the processor's time went, in all threads. Nothing if `path` is empty.

    The form is that of Python's `pstats`, which snakeviz and gprof2dot open too.
    """
    if not path:
        yield
        return
    import cProfile  # noqa: PLC0415 (only a profiled run should load it)
    import pstats  # noqa: PLC0415 (as above)

    profiles = [cProfile.Profile(time.thread_time)]

    def begin_thread(_frame: FrameType, _event: str, _argument: object) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        profile.enable()  # takes the place of this function for the rest of the thread

    threading.setprofile(begin_thread)
    profiles[0].enable()
    try:
        yield
    finally:
        profiles[0].disable()
        threading.setprofile(None)
        stats = pstats.Stats(profiles[0])
        for profile in profiles[1:]:
            stats.add(profile)
        stats.dump_stats(path)


@contextmanager
def memory_profile(path: str) -> Iterator[None]:
    """Write to a file which lines held memory when there was most of it. Nothing if `path` is empty.

    The form is collapsed stacks with bytes behind them, which flame graph tools and
    speedscope open.
    """
    if not path:
        yield
        return
    import tracemalloc  # noqa: PLC0415 (only a profiled run should load it)

    tracemalloc.start(_FRAMES)
    try:
        yield
    finally:
        snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
        with Path(path).open("w") as file:
            for statistic in snapshot.statistics("traceback"):
                stack = ";".join(
                    f"{Path(frame.filename).name}:{frame.lineno}" for frame in statistic.traceback
                )
                file.write(f"{stack} {statistic.size}\n")
