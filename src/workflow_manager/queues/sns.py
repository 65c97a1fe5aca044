"""Topics of Amazon SNS, given by their ARNs.

On FIFO topics, the aggregation is a message's group, and the hash of its marker its deduplication
ID: what is published again within five minutes is delivered once.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from http import HTTPStatus
from typing import ClassVar, Self

from workflow_manager.clouds import aws, aws_batch_requests
from workflow_manager.clouds.http import CloudError
from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings, TopicLimit
from workflow_manager.queue_ports import DeadLetters, TopicStats

_ARN = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]+:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_ELSEWHERE = "a topic keeps no messages: ask for the queue behind it, with --task-queue-kind=aws-sqs"
_SUBSCRIBED = "find the subscriptions of"
_MEMBER = re.compile("<member>(.*?)</member>", re.DOTALL)
_PROTOCOL = re.compile("<Protocol>sqs</Protocol>")
_SUBSCRIPTION = re.compile(
    "<SubscriptionArn>(arn:[^<]*)</SubscriptionArn>"
)  # has no ARN before it is confirmed
_TOKEN = re.compile("<NextToken>([^<]+)</NextToken>")
_RAW = re.compile(r"<key>RawMessageDelivery</key>\s*<value>true</value>")
_MOST_PAGES = 10  # of 100 subscriptions, to look through for queues
_DIALECT = aws_batch_requests.Dialect(
    service="sns",
    noun="topic",
    version="2010-03-31",
    action="PublishBatch",
    target="TopicArn",
    entry="PublishBatchRequestEntries.member",
    body="Message",
    permissions={
        "publish to": "sns:Publish",
        "find": "sns:GetTopicAttributes, which a run needs only for messages over 256 KiB,",
        "read the size limit of": "sns:GetTopicAttributes",
        _SUBSCRIBED: "sns:ListSubscriptionsByTopic and sns:GetSubscriptionAttributes",
    },
)


class SnsQueue:
    """Topics in a region of AWS."""

    kind: ClassVar[str] = "aws-sns"
    options: ClassVar[tuple[Option, ...]] = aws_batch_requests.options(kind, _DIALECT.noun)
    limits: ClassVar[Limits] = aws_batch_requests.LIMITS

    def __init__(self, sender: aws_batch_requests.BatchSender, settings: Settings) -> None:
        self._sender = sender
        self._settings = settings
        self._opened = ExitStack()
        self._opened.callback(sender.close)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The topics in the region that the settings name; raises ConfigError."""
        return cls(aws_batch_requests.BatchSender.open(cls.kind, settings, _DIALECT), settings)

    def prepare(self, topics: Sequence[str]) -> None:
        """Nothing is created; names that cannot be right are found before any work."""
        for topic in topics:
            if not _ARN.fullmatch(topic):
                raise QueueError(
                    "use",
                    f"topic {topic}",
                    "it is not a valid topic ARN: arn:aws:sns:{region}:{account}:{name}",
                    "correct the topic's flag",
                )

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. Each message has its own outcome."""
        return self._sender.publish(topic, topic, messages)

    def check(self, topic: str) -> str:
        """See TaskQueue. A topic without an SQS queue that gets raw messages is an error."""
        self.prepare([topic])
        limit = self._limit("find", topic)
        try:
            subscribed = self._subscribed(topic)
        except QueueError as error:
            refusal = error.__cause__
            if not isinstance(refusal, CloudError) or refusal.status != HTTPStatus.FORBIDDEN:
                raise
            subscribed = f"its subscriptions cannot be read: {error.advice}"
        return (
            f"the topic exists, as {self._sender.who}; it accepts messages of up to"
            f" {limit.message_bytes} bytes ({limit.setting}); {subscribed}"
        )

    def topic_limit(self, topic: str) -> TopicLimit:
        """See TopicLimited."""
        return self._limit("read the size limit of", topic)

    def _subscribed(self, topic: str) -> str:
        """How many queues get the topic's messages, raw as workers read them; raises QueueError."""
        queues = list(self._queues(topic))
        if not queues:
            raise QueueError(
                "use",
                f"topic {topic}",
                "no SQS queue has a confirmed subscription to it, so its tasks would be lost",
                "subscribe a queue, with raw message delivery",
            )
        for arn in queues:
            fields = {"SubscriptionArn": arn}
            if not _RAW.search(self._sender.ask(_SUBSCRIBED, topic, "GetSubscriptionAttributes", fields)):
                raise QueueError(
                    "use",
                    f"topic {topic}",
                    f"its subscription {arn} wraps messages, which workers cannot read",
                    "set the subscription's attribute RawMessageDelivery to true",
                )
        return f"SQS queues with raw message delivery: {len(queues)}"

    def _queues(self, topic: str) -> Iterator[str]:
        """The ARNs of the confirmed subscriptions of SQS queues."""
        fields = {"TopicArn": topic}
        for _ in range(_MOST_PAGES):
            answer = self._sender.ask(_SUBSCRIBED, topic, "ListSubscriptionsByTopic", fields)
            for member in _MEMBER.findall(answer):
                if _PROTOCOL.search(member) and (found := _SUBSCRIPTION.search(member)):
                    yield aws.unescape(found[1])
            token = _TOKEN.search(answer)
            if token is None:
                return
            fields = {"TopicArn": topic, "NextToken": aws.unescape(token[1])}

    def close(self) -> None:
        """See TaskQueue."""
        self._opened.close()

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable. A topic keeps nothing."""
        self._limit("find", topic)
        return TopicStats(None, None, None, None, elsewhere=_ELSEWHERE)

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. The source is a queue of SQS in the topic's region, by its name or URL."""
        self.prepare([topic])
        from workflow_manager.clouds import sqs_messages  # noqa: PLC0415 (runs have no use for it)

        sender = aws_batch_requests.BatchSender.open(self.kind, self._settings, sqs_messages.DIALECT)
        self._opened.callback(sender.close)
        return sqs_messages.SqsDeadLetters(sender, sqs_messages.QueueUrls(sender), source, lease)

    def _limit(self, operation: str, topic: str) -> TopicLimit:
        answer = self._sender.ask(operation, topic, "GetTopicAttributes", {"TopicArn": topic})
        return aws_batch_requests.topic_limit(answer)
