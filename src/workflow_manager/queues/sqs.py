"""Queues of Amazon SQS, each given by its URL or its name, for deployments with no SNS.

On FIFO queues, the aggregation is a message's group, and the hash of its marker its deduplication
ID: what is published again within five minutes is delivered once.
"""

import re
import threading
from collections.abc import Sequence
from typing import ClassVar, Self

from workflow_manager.clouds import aws, aws_batch_requests
from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings, TopicLimit

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")
_URL = re.compile(r"<QueueUrl>([^<]+)</QueueUrl>")
_FIND = "find"
_LOOK = "look at"
_ASK_LIMIT = "ask for the limit of"
_DIALECT = aws_batch_requests.Dialect(
    service="sqs",
    noun="queue",
    version="2012-11-05",
    action="SendMessageBatch",
    target="QueueUrl",
    entry="SendMessageBatchRequestEntry",
    body="MessageBody",
    permissions={
        "publish to": "sqs:SendMessage",
        _FIND: "sqs:GetQueueUrl",
        _LOOK: "sqs:GetQueueAttributes, which a run needs only for messages over 256 KiB,",
        _ASK_LIMIT: "sqs:GetQueueAttributes",
    },
)


class SqsQueue:
    """Queues in a region of AWS. A name stands for the queue of the account that publishes."""

    kind: ClassVar[str] = "aws-sqs"
    options: ClassVar[tuple[Option, ...]] = aws_batch_requests.options(kind, _DIALECT.noun)
    limits: ClassVar[Limits] = aws_batch_requests.LIMITS

    def __init__(self, sender: aws_batch_requests.BatchSender) -> None:
        self._sender = sender
        self._urls: dict[str, str] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queues in the region that the settings name; raises ConfigError."""
        return cls(aws_batch_requests.BatchSender.open(cls.kind, settings, _DIALECT))

    def prepare(self, topics: Sequence[str]) -> None:
        """Nothing is created; names that cannot be right are found before any work."""
        for topic in topics:
            if not topic.startswith(("https://", "http://")) and not _NAME.fullmatch(topic):
                raise QueueError(
                    "use",
                    f"queue {topic}",
                    "it is neither the URL nor the name of a queue",
                    "correct the topic's flag",
                )

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. Each message has its own outcome."""
        return self._sender.publish(topic, self._url(topic), messages)

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        self.prepare([topic])
        limit = self._limit(_LOOK, topic)
        return (
            f"the queue is there, as {self._sender.who}; "
            f"it takes messages of {limit.message_bytes} bytes ({limit.setting})"
        )

    def topic_limit(self, topic: str) -> TopicLimit:
        """See TopicLimited."""
        return self._limit(_ASK_LIMIT, topic)

    def close(self) -> None:
        """See TaskQueue."""
        self._sender.close()

    def _limit(self, operation: str, topic: str) -> TopicLimit:
        fields = {"QueueUrl": self._url(topic), "AttributeName.1": aws_batch_requests.SIZE_ATTRIBUTE}
        return aws_batch_requests.topic_limit(
            self._sender.ask(operation, topic, "GetQueueAttributes", fields)
        )

    def _url(self, topic: str) -> str:
        """The URL of a queue; one request for each that is given by its name."""
        if "://" in topic:
            return topic
        with self._lock:
            if topic not in self._urls:
                answer = self._sender.ask(_FIND, topic, "GetQueueUrl", {"QueueName": topic})
                found = _URL.search(answer)
                if found is None:
                    raise QueueError(
                        _FIND, f"queue {topic}", "the service's answer has no URL in it", "check the endpoint"
                    )
                self._urls[topic] = aws.unescape(found[1])
            return self._urls[topic]
