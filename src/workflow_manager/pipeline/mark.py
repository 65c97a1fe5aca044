"""Write the marker of a task whose message is confirmed, and only then."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from workflow_manager import __version__
from workflow_manager.core.marker_record import (
    LONGEST_RECORD,
    MarkerRecord,
    ScheduledAgain,
    Writer,
    parse_record,
    record_of,
    timestamp,
)
from workflow_manager.core.report import Kind
from workflow_manager.core.task_messages import Task
from workflow_manager.errors import CircuitOpenError, explain
from workflow_manager.observe.events import MarkerFailed
from workflow_manager.observe.wording import AGAIN
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.stage import Stage, WorkerPool
from workflow_manager.ports import BatchWriter, Bucket, Observer
from workflow_manager.random_ids import random_between

TRIES = 3
FIRST_PAUSE = 0.2  # seconds; doubled each time, and shortened at random so that many do not retry at once
MOST_UNMARKED = 10  # tasks that may be published in vain before the run stops publishing
FIRST_AHEAD = 2 * MOST_UNMARKED  # tasks that may be published before the first marker is written
UNMARKED = f"published, but its marker could not be written; {AGAIN}"
TOGETHER = 16  # markers that are written at once, by stores that can; one by one takes more CPU
GROWTH = 3  # tasks more that may be published ahead for each of the first markers that are written
AHEAD = 4  # tasks for each worker that may be published and not yet marked, later on


class Acknowledged(NamedTuple):
    """A task whose message the queue has, and the message's trace ID."""

    task: Task
    trace_id: str


def this_writer() -> Writer:
    """Who writes the records of this process."""
    return Writer(os.uname().nodename, __version__)


def most_ahead(workers: int) -> int:
    """How many tasks can be published and not yet marked at any time, with these workers."""
    return max(FIRST_AHEAD, AHEAD * workers)


class UnmarkedLimit:
    """How many tasks may be published and not yet marked.

    They are what is repeated after a crash, or where no marker can be written. So there
    are few of them until markers have been written, and never more than `most`.
    """

    def __init__(self, first: int, most: int) -> None:
        self._all = min(first, most)
        self._most = most
        self._taken = 0
        self._enough = 0
        self._turn = threading.Lock()  # one waits for room, the others for their turn
        self._room = threading.Condition()

    def take(self, wanted: int) -> int:
        """Wait until some tasks may be published, and say how many: at most `wanted`, at least one."""
        with self._turn, self._room:
            self._enough = max(1, min(wanted, self._all // 4))  # rather than a request for each marker
            self._room.wait_for(lambda: self._all - self._taken >= self._enough)
            count = min(wanted, self._all - self._taken)
            self._taken += count
            return count

    def give_back(self, count: int, *, marked: bool) -> None:
        """These tasks are marked now, or were not published."""
        with self._room:
            self._taken -= count
            if marked:
                self._all = min(self._all + GROWTH * count, self._most)
            if self._all - self._taken >= self._enough:
                self._room.notify()


class MarkerWriter:
    """Writes markers, several at a time, and stops the run when they cannot be written.

    A task that is published but not marked will be published again by the next run, so
    going on without markers would repeat the whole backlog each time. Room for a marker is
    reserved before its task is published, and taken by `submit` or given back by `release`.
    With a `reason`, tasks are those published again: their markers get an entry that says so.
    """

    def __init__(
        self,
        store: Bucket,
        ledger: Ledger,
        observer: Observer,
        *,
        workers: int,
        pool: WorkerPool | None = None,
        reason: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._observer = observer
        # With a reason, each marker is read first, and without such a store there is nothing to gain.
        self._batch_writer = store if isinstance(store, BatchWriter) and not reason else None
        self._together = min(TOGETHER, workers) if self._batch_writer else 1
        self._stage = Stage("mark", workers // self._together, pool=pool)
        self._sleep = sleep
        self._unmarked_limit = UnmarkedLimit(FIRST_AHEAD, most_ahead(workers))
        self._waiting: deque[tuple[Acknowledged, str]] = deque()
        self._lock = threading.Lock()
        self._unmarked = 0
        self._writer = this_writer()
        self.reason = reason

    def reserve(self, wanted: int) -> int:
        """Wait until some of `wanted` tasks may be published, and say how many."""
        return self._unmarked_limit.take(wanted)

    def release(self, count: int) -> None:
        """So many tasks that there is room for were not published."""
        if count:
            self._unmarked_limit.give_back(count, marked=False)

    def submit(self, tasks: Sequence[Acknowledged], topic: str) -> None:
        """Mark tasks that the queue has acknowledged; waits while too many are waiting."""
        self._waiting.extend((task, topic) for task in tasks)
        for _ in range(0, len(tasks), self._together):
            self._stage.submit(self._mark_some)

    def drain(self) -> None:
        """Wait until every marker is written or has failed."""
        self._stage.drain()

    @property
    def seconds(self) -> float:
        """From the first write of a marker to the last; see Stage."""
        return self._stage.seconds

    def _mark_some(self) -> None:
        """Mark as many as are written at once, of whichever requests; perhaps others have marked all."""
        taken: list[tuple[Acknowledged, str]] = []
        with suppress(IndexError):
            while len(taken) < self._together:
                taken.append(self._waiting.popleft())
        if taken:
            self._mark(taken)

    def _mark(self, tasks: Sequence[tuple[Acknowledged, str]]) -> None:
        pending: dict[str, tuple[Task, MarkerRecord]] | None = None
        try:
            now = timestamp(datetime.now(UTC))
            pending = {
                task.marker: (task, record_of(task, trace_id, topic, now, self._writer))
                for (task, trace_id), topic in tasks
            }
            for attempt in range(TRIES):
                self._write(pending, last=attempt == TRIES - 1)
                if not pending:
                    break
                self._sleep(FIRST_PAUSE * 2**attempt * random_between(0.5, 1))
        except BaseException as error:
            # Nothing can be marked any more, and whoever waits for room must come to know.
            try:
                self._ledger.stop(f"markers can no longer be written: {error!r}", Kind.MARKER)
            finally:
                held = len(tasks if pending is None else pending)
                self._unmarked_limit.give_back(held, marked=False)
            raise

    def _write(self, pending: dict[str, tuple[Task, MarkerRecord]], *, last: bool) -> None:
        """Write markers, and take those that are written or given up out of `pending`."""
        marked = unmarked = 0
        try:
            for key, error in zip(list(pending), self._outcomes(pending), strict=True):
                if error is None:
                    marked += 1
                elif last or isinstance(error, CircuitOpenError):
                    self._give_up(pending[key][0], error)
                    # One that will not be marked keeps its room, as long as the run goes on in spite of it.
                    unmarked += self._unmarked > MOST_UNMARKED
                else:
                    continue
                del pending[key]
        finally:  # of those before one that raises
            if marked:
                self._unmarked_limit.give_back(marked, marked=True)
            if unmarked:
                self._unmarked_limit.give_back(unmarked, marked=False)

    def _outcomes(self, pending: Mapping[str, tuple[Task, MarkerRecord]]) -> Sequence[Exception | None]:
        """Whatever a store raises, a marker that fails must not end the others."""
        try:
            objects = [(key, self._content(key, record)) for key, (_, record) in pending.items()]
            if self._batch_writer is not None:
                return self._batch_writer.put_many(objects)
            for key, body in objects:
                self._store.put(key, body)
        except Exception as error:  # noqa: BLE001 (see above)
            return [error] * len(pending)
        return [None] * len(pending)

    def _content(self, key: str, record: MarkerRecord) -> bytes:
        """What to write: the record or, for a task that was published again, the one before with an entry."""
        if self.reason and (before := self._store.get(key, LONGEST_RECORD)) is not None:
            entry = ScheduledAgain(record.time or "", record.trace_id or "", self._writer.host, self.reason)
            record = parse_record(key, before).scheduled_again(entry, record.batches)
        return record.render()

    def _give_up(self, task: Task, error: Exception) -> None:
        self._observer.notify(MarkerFailed(task, explain(error)))
        self._ledger.fail_task(task, Kind.MARKER, f"{UNMARKED}: {explain(error)}")
        with self._lock:
            self._unmarked += 1
            too_many = self._unmarked == MOST_UNMARKED
        if too_many:
            self._ledger.stop(
                f"the markers of {MOST_UNMARKED} published tasks could not be written;"
                " the next run publishes them again"
            )
