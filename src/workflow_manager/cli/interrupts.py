"""SIGTERM and SIGINT: the first has the run end in order, the second ends the process at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_EXIT_BASE = 128  # shells have the exit status of a process ended by signal n as 128 + n


@dataclass(slots=True)
class Interruption:
    """Which signal came first, if one did."""

    received: signal.Signals | None = None

    @property
    def exit_status(self) -> int | None:
        """143 for SIGTERM, 130 for SIGINT, None if no signal came."""
        return None if self.received is None else _EXIT_BASE + self.received


@contextmanager
def interruptible(stop: Callable[[str], None]) -> Iterator[Interruption]:
    """Call `stop` with the reason when the first signal comes, in a thread of its own.

    A signal's handler runs in the midst of whatever the main thread is doing, which may
    hold the very lock that `stop` wants.
    """
    interruption = Interruption()

    def handle(number: int, _: FrameType | None) -> None:
        if interruption.received is not None:
            os._exit(_EXIT_BASE + number)
        interruption.received = signal.Signals(number)
        threading.Thread(target=stop, args=(f"{interruption.received.name} received",)).start()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
