"""Write the marker of a task whose message is confirmed, and only then."""

import random
import threading
import time
from collections.abc import Callable

from workflow_manager.core.names import marker_content
from workflow_manager.core.report import Kind
from workflow_manager.core.tasks import Task
from workflow_manager.errors import GivenUpError, explain
from workflow_manager.observe.events import MarkerFailed
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.stage import Stage
from workflow_manager.ports import Bucket, Observer

TRIES = 3
FIRST_PAUSE = 0.2  # seconds; doubled each time, and shortened at random so that many do not retry at once
MOST_UNMARKED = 10  # tasks that may be published in vain before the run stops publishing


class Marker:
    """Writes markers, several at a time, and stops the run when they cannot be written.

    A task that is published but not marked will be published again by the next run, so
    going on without markers would repeat the whole backlog each time.
    """

    def __init__(
        self,
        store: Bucket,
        ledger: Ledger,
        observer: Observer,
        *,
        workers: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._observer = observer
        self._stage = Stage("mark", workers)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._unmarked = 0

    def submit(self, task: Task) -> None:
        """Mark a task that the queue has acknowledged; waits while too many are waiting."""
        self._stage.submit(self._mark, task)

    def drain(self) -> None:
        """Wait until every marker is written or has failed."""
        self._stage.drain()

    def _mark(self, task: Task) -> None:
        for attempt in range(TRIES):
            try:
                self._store.put(task.marker, marker_content(task.marker))
            except Exception as error:  # noqa: BLE001 (a marker that fails must not end the others)
                if attempt == TRIES - 1 or isinstance(error, GivenUpError):
                    self._give_up(task, error)
                    return
                self._sleep(FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 (no secret)
            else:
                return

    def _give_up(self, task: Task, error: Exception) -> None:
        self._observer.notify(MarkerFailed(task, explain(error)))
        self._ledger.fail_task(task, Kind.MARKER, f"a task was published but not marked: {explain(error)}")
        with self._lock:
            self._unmarked += 1
            too_many = self._unmarked == MOST_UNMARKED
        if too_many:
            self._ledger.stop(
                f"{MOST_UNMARKED} tasks were published but could not be marked, and each will be repeated"
            )
