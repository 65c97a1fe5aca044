"""Which CPU the threads of a run are on."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLLOW_EVERY = 0.5  # seconds
_THREADS = Path("/proc/self/task")
_CPU = 36  # the field of /proc/…/stat, counted from the one behind the name (proc(5): 39)


@contextmanager
def one_cpu() -> Iterator[None]:
    """Keep all threads of this process on one CPU, the one where the system has room.

    Only one thread at a time runs Python, and each request has it change several times. On several
    CPUs every change wakes up another one, which takes longer than what the thread then does:
    a marker costs up to twice the CPU time. So that the run does not stay on a CPU that others
    need as well, a thread that is bound to none looks again and again where the system puts it,
    and all follow. Where the system is not Linux, or does not allow this, nothing is done.
    """
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set()
    if len(allowed) < 2:  # noqa: PLR2004 (there is no choice)
        yield
        return
    over = threading.Event()
    scout = threading.Thread(target=_lead, args=(over,), name="scout", daemon=True)
    scout.start()
    try:
        yield
    finally:
        over.set()
        scout.join()
        with suppress(OSError):
            _bind(allowed, _threads())


def _lead(over: threading.Event) -> None:
    me = threading.get_native_id()
    with suppress(OSError, ValueError, IndexError):  # not allowed, or /proc is not what it is on Linux
        while True:
            _bind({_cpu_of(me)}, _threads() - {me})
            if over.wait(_FOLLOW_EVERY):
                return


def _bind(cpus: set[int], threads: set[int]) -> None:
    """Have these threads, and those that they start, run on these CPUs; raises OSError."""
    for thread in threads:
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(thread, cpus)


def _threads() -> set[int]:
    return {int(name) for name in os.listdir(_THREADS)}  # noqa: PTH208 (names are enough)


def _cpu_of(thread: int) -> int:
    """The CPU that a thread of this process was last put on."""
    behind_name = (_THREADS / str(thread) / "stat").read_text().rpartition(")")[2]
    return int(behind_name.split()[_CPU])
