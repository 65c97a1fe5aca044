"""What is in queues of SQS, for the adapters of SQS and SNS: dead letters are in SQS for both."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from workflow_manager.clouds import aws
from workflow_manager.clouds.aws_batch_requests import BatchSender, Dialect
from workflow_manager.errors import QueueError
from workflow_manager.queue_ports import DeadLetter, TopicStats

T = TypeVar("T")

FIND = "find"
LOOK = "look at"
ASK_LIMIT = "read the size limit of"
_RECEIVE = "receive from"
_DELETE = "remove from"
_RELEASE = "release in"
DIALECT = Dialect(
    service="sqs",
    noun="queue",
    version="2012-11-05",
    action="SendMessageBatch",
    target="QueueUrl",
    entry="SendMessageBatchRequestEntry",
    body="MessageBody",
    permissions={
        "publish to": "sqs:SendMessage",
        FIND: "sqs:GetQueueUrl",
        LOOK: "sqs:GetQueueAttributes, which a run needs only for messages over 256 KiB,",
        ASK_LIMIT: "sqs:GetQueueAttributes",
        _RECEIVE: "sqs:ReceiveMessage",
        _DELETE: "sqs:DeleteMessage",
        _RELEASE: "sqs:ChangeMessageVisibility",
    },
)
_AT_ONCE = 10  # messages in a request, of all kinds
_WAIT_SECONDS = "1"  # any at all has SQS ask all of its servers, and not only some
_URL = re.compile(r"<QueueUrl>([^<]+)</QueueUrl>")
_MESSAGE = re.compile("<Message>(.*?)</Message>", re.DOTALL)
_FIELDS = [
    re.compile(f"<{name}>(.*?)</{name}>", re.DOTALL) for name in ("MessageId", "Body", "ReceiptHandle")
]
_DELETED = re.compile(r"<DeleteMessageBatchResultEntry>.*?<Id>([0-9]+)</Id>", re.DOTALL)
_ATTRIBUTE = re.compile(r"<Name>([^<]+)</Name>\s*<Value>([^<]*)</Value>")
_DEAD_LETTER_ARN = re.compile(r'"deadLetterTargetArn"\s*:\s*"([^"]+)"')
_ELSEWHERE = "oldest: see ApproximateAgeOfOldestMessage of AWS/SQS in CloudWatch"


class QueueUrls:
    """The URLs of queues that are given by URL or by name: one request for each name."""

    def __init__(self, sender: BatchSender) -> None:
        self._sender = sender
        self._urls: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, queue: str) -> str:
        """The URL of a queue; raises QueueError."""
        if "://" in queue:
            return queue
        with self._lock:
            if queue not in self._urls:
                answer = self._sender.ask(FIND, queue, "GetQueueUrl", {"QueueName": queue})
                found = _URL.search(answer)
                if found is None:
                    raise QueueError(
                        FIND, f"queue {queue}", "the service's answer contains no URL", "check the endpoint"
                    )
                self._urls[queue] = aws.unescape(found[1])
            return self._urls[queue]


def stats(sender: BatchSender, urls: QueueUrls, queue: str) -> TopicStats:
    """How full a queue is, and its dead letters' queue if there is one that we may look at."""
    attributes = _attributes(sender, urls, queue)
    waiting = int(attributes["ApproximateNumberOfMessages"])
    leased = int(attributes["ApproximateNumberOfMessagesNotVisible"])
    policy = _DEAD_LETTER_ARN.search(attributes.get("RedrivePolicy", ""))
    if policy is None:
        elsewhere = f"{_ELSEWHERE}; dead: the queue has no redrive policy"
        return TopicStats(waiting, leased, None, None, elsewhere=elsewhere)
    name = policy[1].rpartition(":")[2]
    try:
        dead = int(_attributes(sender, urls, name)["ApproximateNumberOfMessages"])
    except QueueError as error:
        return TopicStats(waiting, leased, None, None, name, f"{_ELSEWHERE}; dead: {error}")
    return TopicStats(waiting, leased, None, dead, name, _ELSEWHERE)


def _attributes(sender: BatchSender, urls: QueueUrls, queue: str) -> Mapping[str, str]:
    fields = {"QueueUrl": urls.of(queue), "AttributeName.1": "All"}
    answer = sender.ask(LOOK, queue, "GetQueueAttributes", fields)
    return {name: aws.unescape(value) for name, value in _ATTRIBUTE.findall(answer)}


class SqsDeadLetters:
    """See DeadLetters: messages of a queue, hidden from others for as long as the lease."""

    def __init__(self, sender: BatchSender, urls: QueueUrls, source: str, lease: timedelta) -> None:
        self._sender = sender
        self._source = source
        self._url = urls.of(source)
        self._seconds = max(1, min(int(lease.total_seconds()), 43_200))  # SQS has 12 hours at most
        self._held: dict[str, None] = {}

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        letters: list[DeadLetter] = []
        while len(letters) < most:
            fields = {
                "QueueUrl": self._url,
                "MaxNumberOfMessages": str(min(_AT_ONCE, most - len(letters))),
                "VisibilityTimeout": str(self._seconds),
                "WaitTimeSeconds": _WAIT_SECONDS,
            }
            answer = self._sender.ask(_RECEIVE, self._source, "ReceiveMessage", fields)
            received = [_letter(text) for text in _MESSAGE.findall(answer)]
            if not received:
                break
            letters += received
        self._held |= dict.fromkeys(letter.receipt for letter in letters)
        return letters

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        outcomes: list[QueueError | None] = []
        for some in _tens(letters):
            fields = {"QueueUrl": self._url}
            for number, letter in enumerate(some):
                entry = f"DeleteMessageBatchRequestEntry.{number + 1}"
                fields |= {f"{entry}.Id": str(number), f"{entry}.ReceiptHandle": letter.receipt}
            answer = self._sender.ask(_DELETE, self._source, "DeleteMessageBatch", fields)
            done = set(map(int, _DELETED.findall(answer)))
            for number, letter in enumerate(some):
                if number in done:
                    self._held.pop(letter.receipt, None)
                    outcomes.append(None)
                else:
                    cause = f"the service did not remove the message {letter.id}"
                    outcomes.append(QueueError(_DELETE, f"queue {self._source}", cause, "redrive again"))
        return outcomes

    def close(self) -> None:
        """See DeadLetters."""
        try:
            for some in _tens(list(self._held)):
                fields = {"QueueUrl": self._url}
                for number, receipt in enumerate(some):
                    entry = f"ChangeMessageVisibilityBatchRequestEntry.{number + 1}"
                    fields |= {f"{entry}.Id": str(number), f"{entry}.ReceiptHandle": receipt}
                    fields[f"{entry}.VisibilityTimeout"] = "0"
                self._sender.ask(_RELEASE, self._source, "ChangeMessageVisibilityBatch", fields)
        except QueueError:
            return  # the leases end by themselves


def _letter(text: str) -> DeadLetter:
    found = [pattern.search(text) for pattern in _FIELDS]
    name, body, receipt = (aws.unescape(match[1]) if match else "" for match in found)
    return DeadLetter(name, body.encode(), receipt)


def _tens(items: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
