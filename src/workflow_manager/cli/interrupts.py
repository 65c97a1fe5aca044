"""How a run is made to end: by a signal or its timeout, in order or at last by force."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType

from workflow_manager.cli.exit_status import ExitStatus, of_signal
from workflow_manager.flag_types import written

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class Interruption:
    """Which signal came first, if one did."""

    received: signal.Signals | None = None

    @property
    def exit_status(self) -> int | None:
        """143 for SIGTERM, 130 for SIGINT, 129 for SIGHUP, None if no signal came."""
        return None if self.received is None else of_signal(self.received)


class _Ending:
    """Stops the run once; if it has not ended after the grace, gives it up and ends the process."""

    def __init__(self, give_up: Callable[[int], None], grace: timedelta) -> None:
        self._give_up = give_up
        self._grace = grace.total_seconds()
        self._begun = threading.Lock()
        self.over = threading.Event()

    def begin(self, stop: Callable[[str], None], reason: str, status: int) -> None:
        """Have the run stop, and wait for that on this thread."""
        if not self._begun.acquire(blocking=False):
            return
        stop(reason)
        if not self.over.wait(self._grace):
            self._give_up(status)
            os._exit(status)


@contextmanager
def interruptible(
    interrupt: Callable[[str], None],
    time_out: Callable[[str], None],
    give_up: Callable[[int], None],
    grace: timedelta,
    timeout: timedelta | None,
) -> Iterator[Interruption]:
    """Call `interrupt` with the reason at the first signal, or `time_out` when `timeout` is over.

    What is in flight has `grace` to be finished; then `give_up` is called with the exit status
    (that of the signal, or 1), and the process ends. A second signal ends it at once.

    All of that happens on threads of its own: a signal's handler runs in the midst of whatever
    the main thread is doing, which may hold the very lock that these calls want.
    """
    interruption = Interruption()
    ending = _Ending(give_up, grace)

    def handle(number: int, _: FrameType | None) -> None:
        if interruption.received is not None:
            os._exit(of_signal(number))
        interruption.received = signal.Signals(number)
        reason = f"{interruption.received.name} received"
        begin = (interrupt, reason, of_signal(number))
        threading.Thread(target=ending.begin, args=begin, daemon=True).start()

    timer = None
    if timeout is not None:
        reason = f"--run-timeout of {written(timeout)} is over"
        timer = threading.Timer(timeout.total_seconds(), ending.begin, (time_out, reason, ExitStatus.FAILED))
        timer.daemon = True
        timer.start()
    hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # which is what nohup is for
    heeded = (*_SIGNALS, signal.SIGHUP) if hangs_up else _SIGNALS
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield interruption
    finally:
        ending.over.set()
        if timer is not None:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
