"""Whether a task's message fits: the queue's limit, and the topic's own where that may be higher."""

import threading

from workflow_manager.core.task_messages import AggregationTask, Task
from workflow_manager.errors import MessageTooLargeError, QueueError
from workflow_manager.observe.wording import describe
from workflow_manager.ports import TaskQueue, TopicLimit, TopicLimited


class MessageLimits:
    """The limits of a queue and its topics. A topic is asked for its own once, when a task needs more."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._topics: dict[str, TopicLimit | QueueError] = {}

    def refusal(self, task: Task, topic: str, size: int) -> MessageTooLargeError | None:
        """Why a task whose message has `size` bytes cannot be published, or None if it can."""
        limit = self._queue.limits.message_bytes
        if size <= limit:
            return None
        if not isinstance(self._queue, TopicLimited):
            return _too_large(task, size, f"the queue accepts at most {limit}", _shorter(task))
        found = self._of_topic(self._queue, topic)
        if isinstance(found, QueueError):
            cause = f"the queue accepts {limit} unless the topic allows more: {found}"
            return _too_large(task, size, cause, _shorter(task))
        if size <= found.message_bytes:
            return None
        cause = f"{found.setting} of {topic} is {found.message_bytes}"
        if size <= found.most_bytes:
            return _too_large(task, size, cause, f"set {found.setting} to {size} or more")
        return _too_large(task, size, cause, f"it can be {found.most_bytes} at most; {_shorter(task)}")

    def most_bytes(self, topic: str) -> int:
        """How long a message `topic` takes, in bytes; asks it if that may be more than the queue's limit."""
        if not isinstance(self._queue, TopicLimited):
            return self._queue.limits.message_bytes
        found = self._of_topic(self._queue, topic)
        return self._queue.limits.message_bytes if isinstance(found, QueueError) else found.message_bytes

    def _of_topic(self, queue: TopicLimited, topic: str) -> TopicLimit | QueueError:
        with self._lock:
            if topic not in self._topics:
                try:
                    self._topics[topic] = queue.topic_limit(topic)
                except QueueError as error:
                    self._topics[topic] = error
            return self._topics[topic]


def _too_large(task: Task, size: int, cause: str, advice: str) -> MessageTooLargeError:
    return MessageTooLargeError(
        "publish", describe(task), f"its message has {size} bytes, and {cause}", advice
    )


def _shorter(task: Task) -> str:
    if isinstance(task, AggregationTask):
        return "aggregate shorter windows: lower --aggregation-period on both processors"
    return "the names of the aggregation and the batch are too long for this queue"
