"""A stage of the pipeline: some threads, and a bound on what may wait for them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec

P = ParamSpec("P")


class Stage:
    """Runs calls on at most `workers` threads, which are started as they are needed.

    A bounded stage makes the caller wait while enough are waiting. Bounded stages form
    a chain in which each waits only for the next, so that waiting cannot come to a
    standstill. Calls of an unbounded stage may submit more to that same stage.
    """

    def __init__(self, name: str, workers: int, *, bounded: bool = True) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._most_waiting = 2 * workers if bounded else None
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._outstanding = 0
        self._error: BaseException | None = None

    def submit(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have `call` run soon.

        An error that a call does not deal with itself is raised by the next `submit`, and by `drain`.
        """
        with self._lock:
            self._room.wait_for(self._has_room)
            if self._error is not None:
                raise self._error
            self._outstanding += 1
        self._pool.submit(call, *args, **kwargs).add_done_callback(self._done)

    def drain(self) -> None:
        """Wait until all that was submitted is done, and give back the threads."""
        with self._lock:
            self._idle.wait_for(lambda: not self._outstanding)
        self._pool.shutdown()
        if self._error is not None:
            raise self._error

    def _has_room(self) -> bool:
        return self._most_waiting is None or self._outstanding < self._most_waiting

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._outstanding -= 1
            self._error = self._error or future.exception()
            self._room.notify()  # there is room for one
            if not self._outstanding:
                self._idle.notify_all()
