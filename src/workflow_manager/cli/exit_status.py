"""What the exit status of each command says; `docs/reference/exit-statuses.md` is about these."""

from enum import IntEnum
from signal import Signals


class ExitStatus(IntEnum):
    """How a command ended. One that a signal ended has 128 and the signal's number."""

    DONE = 0
    FAILED = 1
    BAD_USAGE = 2
    UNDELIVERED = 3
    FOUND = 4


def of_signal(number: int) -> int:
    """The status of a process that a signal has ended, as shells have it: 143 for SIGTERM."""
    return 128 + Signals(number)
