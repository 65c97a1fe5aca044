"""Queues of Amazon SQS, each given by its URL or its name, for deployments with no SNS.

On FIFO queues, the aggregation is a message's group, and the hash of its marker its deduplication
ID: what is published again within five minutes is delivered once.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Self

from workflow_manager.clouds import aws_batch_requests, sqs_messages
from workflow_manager.clouds.sqs_messages import ASK_LIMIT, DIALECT, LOOK, QueueUrls, SqsDeadLetters
from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings, TopicLimit
from workflow_manager.queue_ports import DeadLetters, TopicStats

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")


class SqsQueue:
    """Queues in a region of AWS. A name stands for the queue of the account that publishes."""

    kind: ClassVar[str] = "aws-sqs"
    options: ClassVar[tuple[Option, ...]] = aws_batch_requests.options(kind, DIALECT.noun)
    limits: ClassVar[Limits] = aws_batch_requests.LIMITS

    def __init__(self, sender: aws_batch_requests.BatchSender) -> None:
        self._sender = sender
        self._urls = QueueUrls(sender)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queues in the region that the settings name; raises ConfigError."""
        return cls(aws_batch_requests.BatchSender.open(cls.kind, settings, DIALECT))

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
        return self._sender.publish(topic, self._urls.of(topic), messages)

    def check(self, topic: str) -> str:
        """See TaskQueue."""
        self.prepare([topic])
        limit = self._limit(LOOK, topic)
        return (
            f"the queue exists, as {self._sender.who}; "
            f"it accepts messages of up to {limit.message_bytes} bytes ({limit.setting})"
        )

    def topic_limit(self, topic: str) -> TopicLimit:
        """See TopicLimited."""
        return self._limit(ASK_LIMIT, topic)

    def close(self) -> None:
        """See TaskQueue."""
        self._sender.close()

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. SQS's numbers are approximate."""
        return sqs_messages.stats(self._sender, self._urls, topic)

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable."""
        if self._urls.of(source) == self._urls.of(topic):
            raise QueueError("redrive from", f"queue {source}", "tasks are published to it", "correct --from")
        return SqsDeadLetters(self._sender, self._urls, source, lease)

    def _limit(self, operation: str, topic: str) -> TopicLimit:
        fields = {"QueueUrl": self._urls.of(topic), "AttributeName.1": aws_batch_requests.SIZE_ATTRIBUTE}
        return aws_batch_requests.topic_limit(
            self._sender.ask(operation, topic, "GetQueueAttributes", fields)
        )
