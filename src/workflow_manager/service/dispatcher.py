"""Does the passes of many instances when they are due, several at a time, never two of one instance."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workflow_manager.service.hints import Held, Hints, settle
from workflow_manager.service.timing import Outcome, Timing, spread

GATHER = 0.1  # seconds that hints are collected for before a pass follows them
SPACING = 0.2  # least seconds between the end of a pass and one that follows hints
STRUGGLING = 2  # one in so many of the workers may be busy with instances whose last pass failed
_NEVER = float("inf")


class Job(Protocol):
    """An instance with all that its passes need."""

    name: str
    interval: float

    def perform(self, hints: Hints, *, whole: bool) -> Outcome:
        """One pass: over all aggregations, or over those that the hints name. Must not raise."""
        ...

    def interrupt(self, reason: str) -> None:
        """End the pass that is under way, if one is, as soon as what is in flight is finished."""
        ...

    def close(self) -> None:
        """Give back everything; no pass follows."""
        ...


@dataclass(slots=True)
class _Entry:
    job: Job
    timing: Timing
    hints: Hints = field(default_factory=Hints)
    hints_due: float = _NEVER
    rested: float = float("-inf")  # when a pass may follow hints again
    running: bool = False

    def due(self) -> float:
        """When the next pass is due. One that struggles follows no hints before it has recovered."""
        return self.timing.due if self.timing.failures else min(self.timing.due, self.hints_due)


class Dispatcher:
    """Has `workers` threads, and gives each the pass that has been due for longest.

    Instances whose last pass failed share a part of the threads, so that many of them, each
    waiting for services that do not answer, cannot keep the others from working.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase = random.random()  # noqa: S311 (no secret)
        self._lock = threading.Lock()
        self._watch = threading.Condition(self._lock)
        self._spare = threading.Condition(self._lock)
        self._watched = False
        self._entries: dict[str, _Entry] = {}
        self._most_struggling = max(1, workers // STRUGGLING)
        self._struggling = 0
        self._active: set[Job] = set()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"pass_{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Begin to do passes."""
        for thread in self._threads:
            thread.start()

    def use(self, jobs: Sequence[Job]) -> None:
        """Work on these instances from now on. Those that there were keep their times, by name."""
        timings = spread([job.interval for job in jobs], self._clock(), self._phase)
        unused: list[Job] = []
        with self._lock:
            before, self._entries = self._entries, {}
            for job, timing in zip(jobs, timings, strict=True):
                entry = before.pop(job.name, None)
                if entry is None:
                    entry = _Entry(job, timing)
                else:
                    unused.append(entry.job)
                    entry.job = job
                    timing.due = min(entry.timing.due, timing.due + job.interval)
                    timing.failures = entry.timing.failures
                    entry.timing = timing
                self._entries[job.name] = entry
            for entry in before.values():
                unused.append(entry.job)
                settle(entry.hints.held, done=False)
            # One that a pass is using is closed at the end of that.
            unused = [job for job in unused if job not in self._active and job not in jobs]
            self._wake()
        for job in unused:
            job.close()

    def behind(self) -> bool:
        """Whether passes that are due wait for a thread."""
        now = self._clock()
        with self._lock:
            return not self._stopped and any(entry.due() <= now for entry in self._idle())

    def hint(self, name: str, aggregation: str, uploaded: float, held: Held) -> None:
        """Have a pass look at an aggregation soon. Where there is no such instance, nothing is done."""
        with self._lock:
            entry = None if self._stopped else self._entries.get(name)
            # One that struggles gets there too, but may take long: nobody waits for it.
            waits = entry is not None and not entry.timing.failures
            if entry is not None:
                entry.hints.add(aggregation, uploaded, held if waits else None)
                self._arm(entry)
        if not waits:
            settle([held], done=False)

    def stop(self, reason: str, seconds: float) -> bool:
        """Start no pass any more, and wait for those under way; whether all have ended in time."""
        with self._lock:
            self._stopped = True
            active = list(self._active)
            self._watch.notify_all()
            self._spare.notify_all()
        for job in active:
            job.interrupt(reason)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return False
        for entry in self._entries.values():
            settle(entry.hints.held, done=False)
            entry.job.close()
        return True

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            outcome = turn.job.perform(turn.hints, whole=turn.whole)
            settle(turn.hints.held, done=outcome is Outcome.DONE)
            self._ended(turn, outcome)

    def _next(self) -> "_Turn | None":
        """What to do now, as soon as something is due; None when there is nothing to do any more.

        Of the threads that have nothing to do, one watches the clock, and the others wait for it.
        """
        with self._lock:
            while not self._stopped:
                now = self._clock()
                entry = min(self._idle(), key=_Entry.due, default=None)
                if entry is not None and entry.due() <= now:
                    self._spare.notify()
                    return self._begun(entry, now)
                if self._watched:
                    self._spare.wait()
                    continue
                self._watched = True
                self._watch.wait(None if entry is None else entry.due() - now)
                self._watched = False
        return None

    def _idle(self) -> list[_Entry]:
        """The instances that a pass may begin of, if one is due."""
        full = self._struggling >= self._most_struggling
        return [
            entry
            for entry in self._entries.values()
            if not entry.running and not (full and entry.timing.failures)
        ]

    def _begun(self, entry: _Entry, now: float) -> "_Turn":
        hints = entry.hints
        whole = now >= entry.timing.due or hints.chosen() is None
        entry.hints, entry.hints_due = Hints(), _NEVER
        entry.running = True
        turn = _Turn(entry, entry.job, hints, now, whole, struggling=entry.timing.failures > 0)
        self._active.add(turn.job)
        self._struggling += turn.struggling
        return turn

    def _ended(self, turn: "_Turn", outcome: Outcome) -> None:
        with self._lock:
            now = self._clock()
            entry, job = turn.entry, turn.job
            self._struggling -= turn.struggling
            entry.timing.ended(turn.begun, now, outcome, whole=turn.whole)
            entry.running = False
            entry.rested = now + max(SPACING, now - turn.begun)
            if outcome is not Outcome.DONE:
                entry.hints.returned(turn.hints)
            if entry.hints.aggregations or entry.hints.everything:
                self._arm(entry)
            self._active.discard(job)
            stale = job is not entry.job or self._entries.get(job.name) is not entry
            self._wake()
        if stale:
            job.close()

    def _arm(self, entry: _Entry) -> None:
        """Have a pass follow the hints of an instance."""
        if entry.hints_due == _NEVER:
            entry.hints_due = max(self._clock() + GATHER, entry.rested)
            self._wake()

    def _wake(self) -> None:
        (self._watch if self._watched else self._spare).notify()


@dataclass(frozen=True, slots=True)
class _Turn:
    """One pass of one instance."""

    entry: _Entry
    job: Job
    hints: Hints
    begun: float
    whole: bool
    struggling: bool
