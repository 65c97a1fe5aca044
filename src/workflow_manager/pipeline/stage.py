"""A stage of the pipeline: some threads, and a bound on what may wait for them."""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import ParamSpec

P = ParamSpec("P")


class Stage:
    """Runs calls on at most `workers` threads, which are started as they are needed.

    A bounded stage makes the caller wait while enough are waiting. Bounded stages form
    a chain in which each waits only for the next, so that waiting cannot come to a
    standstill. Calls of an unbounded stage may submit more to that same stage.

    Not concurrent.futures: a future for each marker, and a caller that is woken for each one
    that is done, take longer than all else that is done for it between two requests.
    """

    def __init__(self, name: str, workers: int, *, bounded: bool = True) -> None:
        self._name = name
        self._workers = workers
        # Callers that had to wait go on when there is room for several, and not for each one.
        self._full = 2 * workers if bounded else 0
        self._roomy = workers + workers // 2
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        self._end = threading.Condition(self._lock)
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._outstanding = 0
        self._drained = False
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def submit(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have `call` run soon.

        An error that a call does not deal with itself is raised by every `submit` that waits or is still
        to come, and by `drain`. Calls that were submitted before are made nevertheless.
        """
        with self._lock:
            if self._full and self._outstanding >= self._full:
                self._room.wait_for(lambda: self._error is not None or self._outstanding <= self._roomy)
            self._raise_error()
            self._outstanding += 1
            self._waiting.append(partial(call, *args, **kwargs))
            if self._idle >= len(self._waiting):
                self._work.notify()
            elif len(self._threads) < self._workers:
                self._start()

    def drain(self) -> None:
        """Wait until all that was submitted is done, and give back the threads."""
        with self._lock:
            self._end.wait_for(lambda: not self._outstanding)
            self._drained = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            # With its own traceback, which would grow with each submitter that raises it.
            raise self._error.with_traceback(self._traceback)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name}_{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            if not self._threads:
                self._waiting.clear()
                self._outstanding = 0
                raise
            self._workers = len(self._threads)
        else:
            self._threads.append(thread)

    def _run(self) -> None:
        error: BaseException | None = None
        call = self._next()
        while call is not None:
            try:
                call()
            except BaseException as raised:  # noqa: BLE001 (it is raised where the calls came from)
                error = raised
            call = self._next(error, done=1)

    def _next(self, error: BaseException | None = None, *, done: int = 0) -> Callable[[], None] | None:
        """The next call for a thread that has `done` one, if any; None if there will be no more."""
        with self._lock:
            self._outstanding -= done
            if error is not None and self._error is None:
                self._error, self._traceback = error, error.__traceback__
            if self._error is not None:
                self._room.notify_all()  # nobody submits any more, so nobody would wake the next
            elif self._full and self._outstanding <= self._roomy:
                self._room.notify()
            if not self._outstanding:
                self._end.notify_all()
            while not self._waiting:
                if self._drained:
                    return None
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            return self._waiting.popleft()
