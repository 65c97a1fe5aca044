"""Profiles: where the time goes in all threads, and who holds memory at its peak."""

import pstats
import threading
import time
from pathlib import Path

import pytest

from workflow_manager.cli.profiling import cpu_profile, memory_profile


def test_a_cpu_profile_has_every_thread_and_no_time_that_was_waited(tmp_path: Path) -> None:
    path = tmp_path / "cpu.prof"
    with cpu_profile(str(path)):
        threads = [threading.Thread(target=_work), threading.Thread(target=_wait)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    cumulative = {
        name: figures[3]
        for (_, _, name), figures in pstats.Stats(str(path)).stats.items()  # type: ignore[attr-defined] # undocumented, but what tools read
    }
    assert cumulative["_work"] > cumulative["_wait"]


def test_a_memory_profile_is_of_the_peak_and_not_of_the_end(tmp_path: Path) -> None:
    path = tmp_path / "memory.txt"
    with memory_profile(str(path)):
        _hold(50_000_000)
    sizes = [
        int(line.rpartition(" ")[2]) for line in path.read_text().splitlines() if "test_profiling.py" in line
    ]
    assert max(sizes) >= 50_000_000


def test_profiles_are_written_when_the_work_fails(tmp_path: Path) -> None:
    paths = (tmp_path / "cpu.prof", tmp_path / "memory.txt")
    with pytest.raises(ZeroDivisionError), cpu_profile(str(paths[0])), memory_profile(str(paths[1])):
        divmod(1, 0)
    assert all(path.stat().st_size for path in paths)


def _work() -> None:
    sum(number % 7 for number in range(300_000))


def _wait() -> None:
    time.sleep(0.5)


def _hold(size: int) -> None:
    block = bytearray(size)
    time.sleep(1)  # longer than there is between two looks
    del block
