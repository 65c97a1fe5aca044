"""A stage of the pipeline: calls that some threads make, and a bound on what may wait for them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import ParamSpec

P = ParamSpec("P")


class WorkerPool:
    """Threads for stages of one kind, of one run or of all that a process does; started as they are needed.

    At most `most` calls run at a time, but every stage that has calls may always run one: calls that
    wait for another service, however many, never keep a stage from getting on. Several stages get
    about the same share.
    """

    def __init__(self, name: str, most: int) -> None:
        self.lock = threading.Lock()
        self._name = name
        self._most = most
        self._work = threading.Condition(self.lock)
        self._ready: deque[Stage] = deque()  # those with waiting calls, each once
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._idle = 0
        self._active = 0
        self._closed = False

    def close(self) -> None:
        """Give back the threads; nothing may be waiting or running any more."""
        with self.lock:
            self._closed = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, stage: "Stage", *, first: bool) -> None:
        """A call waits in a stage, whose `first` it may be. Called with the lock held, as all that follow."""
        self._active += first
        if not stage.queued:
            stage.queued = True
            self._ready.append(stage)
        self.serve(stage)

    def serve(self, stage: "Stage") -> None:
        """Have a thread see to a call that waits in a stage, if it may run one more."""
        if not self._allowed(stage):
            return  # one of its calls that run makes room for this one
        if self._idle:
            self._notify()
        elif len(self._threads) < self._most + self._active - 1:
            self._start()

    def _notify(self) -> None:
        """Wake a thread. From now on it is not idle: another call would not wake another one."""
        self._idle -= 1
        self._work.notify()

    def _allowed(self, stage: "Stage") -> bool:
        running = stage.running
        if not running:
            return True
        if stage.starting is not None:
            return False
        share = max(1, self._most // max(1, self._active))
        return running < min(stage.workers, share) and self._running < self._most

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name}_{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            if not self._threads:
                self._withdraw()
                raise
            self._most = len(self._threads)
        else:
            self._threads.append(thread)

    def _withdraw(self) -> None:
        for stage in self._ready:
            stage.withdraw()
        self._ready.clear()
        self._active = 0

    def _run(self) -> None:
        found: tuple[Stage, Callable[[], None]] | None = None
        error: BaseException | None = None
        while True:
            with self.lock:
                if found is not None:
                    self._done(*found, error)
                    found = None  # what it was called with is not held while there is nothing to do
                found = self._next()
            if found is None:
                return
            error = None
            try:
                found[1]()
            except BaseException as raised:  # noqa: BLE001 (it is raised where the calls came from)
                error = raised

    def _done(self, stage: "Stage", call: Callable[[], None], error: BaseException | None) -> None:
        self._running -= 1
        stage.running -= 1
        if stage.starting is call:
            stage.starting = None
        if stage.done(error):
            self._active -= 1
            if self._ready:
                self._idle = 0  # the others may have a larger share now
                self._work.notify_all()

    def _next(self) -> "tuple[Stage, Callable[[], None]] | None":
        """What to run next, once there is something; None if there will be no more."""
        while (found := self._taken()) is None:
            if self._closed:
                return None
            self._idle += 1  # until it is notified
            self._work.wait()
        return found

    def _taken(self) -> "tuple[Stage, Callable[[], None]] | None":
        """The next call of the stage whose turn it is, of those that may run one more."""
        for _ in range(len(self._ready)):
            stage = self._ready.popleft()
            if not self._allowed(stage):
                self._ready.append(stage)
                continue
            call = stage.waiting.popleft()
            stage.queued = bool(stage.waiting)
            if stage.queued:
                self._ready.append(stage)
            stage.running += 1
            stage.starting = call if stage.in_turn else None
            stage.began = stage.began or time.monotonic()
            self._running += 1
            if self._idle and self._ready and self._active > 1:
                self._notify()  # one after the other, until nothing may run any more
            return stage, call
        return None


class Stage:
    """Has at most `workers` of its calls run at a time, on the threads of a pool, or on its own.

    A bounded stage makes the caller wait while enough are waiting. Bounded stages form
    a chain in which each waits only for the next, so that waiting cannot come to a
    standstill; stages that wait for each other have threads of different pools. Calls of
    an unbounded stage may submit more to that same stage.

    If calls start `in_turn`, each starts when the one before has called `started`, or has ended: of calls
    that first wait for the same thing, one waits, and the others take no threads.

    Not concurrent.futures: a future for each marker, and a caller that is woken for each one
    that is done, take longer than all else that is done for it between two requests.
    """

    def __init__(
        self,
        name: str,
        workers: int,
        *,
        bounded: bool = True,
        in_turn: bool = False,
        pool: WorkerPool | None = None,
    ) -> None:
        self.workers = workers
        self.in_turn = in_turn
        self.running = 0  # this and what follows it are for the pool, which holds the lock
        self.starting: Callable[[], None] | None = None  # the call that holds up the next, if any
        self.began = 0.0  # when the first call began, on the monotonic clock
        self.waiting: deque[Callable[[], None]] = deque()
        self.queued = False
        self._pool = pool or WorkerPool(name, workers)
        self._shared = pool is not None
        # Callers that had to wait go on when there is room for several, and not for each one.
        self._full = 2 * workers if bounded else 0
        self._roomy = workers + workers // 2
        self._lock = self._pool.lock
        self._room = threading.Condition(self._lock)
        self._end = threading.Condition(self._lock)
        self._ended = 0.0
        self._outstanding = 0
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
            self.waiting.append(partial(call, *args, **kwargs))
            self._pool.add(self, first=self._outstanding == 1)

    def started(self) -> None:
        """Let the next call start; called once by each call of a stage whose calls start in turn."""
        with self._lock:
            self.starting = None
            if self.queued:
                self._pool.serve(self)

    def drain(self) -> None:
        """Wait until all that was submitted is done, and give back threads of its own."""
        with self._lock:
            self._end.wait_for(lambda: not self._outstanding)
        if not self._shared:
            self._pool.close()
        self._raise_error()

    @property
    def seconds(self) -> float:
        """From the start of the first call to the end of the last so far; 0 if there was none."""
        return max(0.0, self._ended - self.began)

    def done(self, error: BaseException | None) -> bool:
        """A call has ended, with an `error` or none; whether it was the last one. For the pool."""
        self._outstanding -= 1
        self._ended = time.monotonic()
        if error is not None and self._error is None:
            self._error, self._traceback = error, error.__traceback__
        if self._error is not None:
            self._room.notify_all()  # nobody submits any more, so nobody would wake the next
        elif self._full and self._outstanding <= self._roomy:
            self._room.notify()
        if self._outstanding:
            return False
        self._end.notify_all()
        return True

    def withdraw(self) -> None:
        """Forget the calls that wait, as no thread can be had to run them. For the pool."""
        self._outstanding -= len(self.waiting)
        self.waiting.clear()
        self.queued = False

    def _raise_error(self) -> None:
        if self._error is not None:
            # With its own traceback, which would grow with each submitter that raises it.
            raise self._error.with_traceback(self._traceback)
