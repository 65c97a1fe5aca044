"""Planned tasks -> messages on the queue, in requests as large as it takes, several at a time."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from workflow_manager.core.report import Kind
from workflow_manager.core.task_messages import IntakeTask, Task
from workflow_manager.errors import QueueError, QueueFullError, explain
from workflow_manager.observe.events import TaskFailed, TaskScheduled, TaskWouldBeScheduled
from workflow_manager.pipeline.lease import Permission
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.mark import Acknowledged, MarkerWriter
from workflow_manager.pipeline.message_limits import MessageLimits
from workflow_manager.pipeline.stage import Stage, WorkerPool
from workflow_manager.ports import Limits, Message, Observer, TaskQueue
from workflow_manager.random_ids import random_uuid

MOST_REFUSALS = 5  # requests in a row that fail as a whole before the run stops publishing


class Sendable(Protocol):
    """Anything with a message to be sent."""

    @property
    def message(self) -> Message:
        """The message."""
        ...


S = TypeVar("S", bound=Sendable)


class Outgoing(NamedTuple):
    """A task with its message, ready to be sent."""

    task: Task
    trace_id: str
    message: Message


class Topics(NamedTuple):
    """The names of the two topics."""

    intake: str
    aggregate: str

    def of(self, task: Task) -> str:
        """The topic that a task belongs on."""
        return self.intake if isinstance(task, IntakeTask) else self.aggregate


class Publisher:
    """Publishes tasks and hands those that the queue has acknowledged on to be marked.

    One message that fails does not fail its neighbours. A queue that refuses several
    requests in a row is given up for this run: tasks that were not tried are left for the next run.
    Tasks that are published again, for the marker's `reason`, have keys of their own: they are no repeats.
    """

    def __init__(
        self,
        queue: TaskQueue,
        topics: Topics,
        marker: MarkerWriter,
        permission: Permission,
        ledger: Ledger,
        observer: Observer,
        *,
        workers: int,
        pool: WorkerPool | None = None,
    ) -> None:
        self._permission = permission
        self._queue = queue
        self._limits = MessageLimits(queue)
        self._topics = topics
        self._marker = marker
        self._ledger = ledger
        self._observer = observer
        self._stage = Stage("publish", workers, in_turn=True, pool=pool)
        self._lock = threading.Lock()
        self._refusals = 0
        self._again = f" again: {marker.reason}" if marker.reason else ""

    def submit(self, tasks: Iterable[Task]) -> None:
        """Publish tasks, all of one topic; waits while too many requests are waiting."""
        for request in requests(self._within_limits(tasks), self._queue.limits):
            self._stage.submit(self._publish, request)

    def drain(self) -> None:
        """Wait until every task is acknowledged, has failed, or is left for the next run."""
        self._stage.drain()

    @property
    def seconds(self) -> float:
        """See TaskSink."""
        return self._stage.seconds

    def _within_limits(self, tasks: Iterable[Task]) -> Iterator[Outgoing]:
        for task in tasks:
            trace_id = random_uuid()
            body = task.message(trace_id)
            if error := self._limits.refusal(task, self._topics.of(task), len(body)):
                self._failed(task, error)
            else:
                yield Outgoing(task, trace_id, Message(body, task.aggregation, task.marker + self._again))

    def _publish(self, request: Sequence[Outgoing]) -> None:
        """Send a request, once there is room for its markers; if there is for some, in parts."""
        count = self._marker.reserve(len(request))
        self._stage.started()
        while True:
            marked = 0
            try:
                marked = self._send(request[:count])
            finally:
                self._marker.release(count - marked)
            request = request[count:]
            if not request:
                return
            count = self._marker.reserve(len(request))

    def _send(self, request: Sequence[Outgoing]) -> int:
        """How many of the tasks were published, and will be marked."""
        topic = self._topics.of(request[0].task)
        if not self._ledger.stopped and not self._permission.lasting():
            self._ledger.stop(
                "the lease expired and could not be renewed; another run may hold it now", Kind.LEASE
            )
        if self._ledger.stopped:
            for out in request:
                self._ledger.leave(out.task)
            return 0
        taken = []
        for out, error in zip(request, self._outcomes(topic, request), strict=True):
            if error is None:
                taken.append(out)
            elif isinstance(error, QueueFullError):
                self._ledger.leave_to_queue(out.task, error.cause)
            else:
                self._failed(out.task, error)
        self._observer.notify(*(TaskScheduled(out.task, topic, out.trace_id) for out in taken))
        self._ledger.scheduled([out.task for out in taken])
        self._marker.submit([Acknowledged(out.task, out.trace_id) for out in taken], topic)
        return len(taken)

    def _outcomes(self, topic: str, request: Sequence[Outgoing]) -> Sequence[QueueError | None]:
        try:
            outcomes = list(self._queue.publish(topic, [out.message for out in request]))
        except Exception as error:  # noqa: BLE001 (whatever a queue raises, its neighbours go on)
            outcomes = [_as_queue_error(error, topic)] * len(request)
        if len(outcomes) != len(request):
            outcomes = [_unclear(topic, len(outcomes), len(request))] * len(request)
        if any(outcome is None or isinstance(outcome, QueueFullError) for outcome in outcomes):
            with self._lock:
                self._refusals = 0
            return outcomes
        with self._lock:
            self._refusals += 1
            given_up = self._refusals == MOST_REFUSALS
        if given_up:
            self._ledger.stop(
                f"the queue refused {MOST_REFUSALS} requests in a row, the last with: {outcomes[-1]}"
            )
        return outcomes

    def _failed(self, task: Task, error: QueueError) -> None:
        self._observer.notify(TaskFailed(task, str(error)))
        self._ledger.fail_task(task, Kind.PUBLISH, str(error))


def requests(outgoing: Iterable[S], limits: Limits) -> Iterator[list[S]]:
    """Group messages, in order, into requests that the queue takes: none is empty or over a limit.

    A message that is longer than a request may be, since its topic takes more, goes alone.
    """
    request: list[S] = []
    size = 0
    for out in outgoing:
        length = len(out.message.body)
        if request and (len(request) == limits.messages or size + length > limits.request_bytes):
            yield request
            request, size = [], 0
        request.append(out)
        size += length
    if request:
        yield request


def _unclear(topic: str, outcomes: int, messages: int) -> QueueError:
    return QueueError(
        "publish to",
        f"topic {topic}",
        f"the queue returned {outcomes} outcomes for {messages} messages,"
        " so it is unknown which of them it accepted",
        "report this to the authors of the queue's adapter",
    )


def _as_queue_error(error: Exception, topic: str) -> QueueError:
    if isinstance(error, QueueError):
        return error
    return QueueError("publish to", f"topic {topic}", explain(error))


class DryRunPublisher:
    """Stands in for the publisher in a dry run: says of each task that it would be scheduled."""

    def __init__(self, topics: Topics, ledger: Ledger, observer: Observer) -> None:
        self._topics = topics
        self._ledger = ledger
        self._observer = observer

    def submit(self, tasks: Iterable[Task]) -> None:
        """Say what would be done with these tasks."""
        for task in tasks:
            self._observer.notify(TaskWouldBeScheduled(task, self._topics.of(task)))
            self._ledger.scheduled([task])

    @property
    def seconds(self) -> float:
        """See TaskSink."""
        return 0.0

    def drain(self) -> None:
        """Nothing is in flight in a dry run."""
