"""Event notifications of S3 by a queue of SQS: `sqs://{region}/{queue}`, a name or `{account}/{name}`.

They may come from S3 itself, through an SNS topic (with raw delivery or without), or from EventBridge.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Self
from urllib.parse import quote_plus, urlsplit

from workflow_manager.clouds import aws
from workflow_manager.clouds.http import Answer, CloudError, Request, unfinished
from workflow_manager.clouds.service import Service, require
from workflow_manager.errors import ConfigError, Mistake, NotificationError
from workflow_manager.notices import Notice
from workflow_manager.notifications.announcements import s3_uploads
from workflow_manager.ports import Settings

_URL = re.compile(r"sqs://([a-z0-9-]{1,63})/(?:([0-9]{12})/)?([A-Za-z0-9_-]{1,80})")
_VERSION = "2012-11-05"
_OK = frozenset({200})
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_BATCH = 10  # messages that the service gives out, or deletes, in one request
_WAIT = 20  # seconds that the service holds a request until there is a message
_MESSAGE = re.compile("<Message>(.*?)</Message>", re.DOTALL)
_BODY = re.compile("<Body>(.*?)</Body>", re.DOTALL)
_RECEIPT = re.compile("<ReceiptHandle>([^<]+)</ReceiptHandle>")
_QUEUE_URL = re.compile("<QueueUrl>([^<]+)</QueueUrl>")


class SqsNotifications:
    """A queue that gets the event notifications of buckets of S3."""

    def __init__(self, url: str, account: str, name: str, service: Service, who: str) -> None:
        self._url = url
        self._account = account
        self._name = name
        self._service = service
        self._who = who
        self._lock = threading.Lock()
        self._found = ""

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """See NotificationSource."""
        require("sqs://", "aws", "botocore", "pycurl")
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigError([Mistake("", "", "not a queue: sqs://{region}/{queue}")])
        region, account, name = match[1], match[2] or "", match[3]
        endpoint = aws.endpoint(settings.environ, "sqs") or f"https://sqs.{aws.domain(region)}"
        held = max(settings.retry_policy.read_timeout, 2.0 * _WAIT)
        settings = replace(settings, retry_policy=settings.retry_policy._replace(read_timeout=held))
        return cls(url, account, name, *aws.open_service(settings, "sqs", region, endpoint))

    @staticmethod
    def bucket_name(url: str) -> str | None:
        """See NotificationSource. Names of buckets are unique across regions."""
        parts = urlsplit(url)
        return parts.path.strip("/") if parts.scheme == "s3" else None

    def receive(self) -> Sequence[Notice]:
        """See NotificationSource."""
        with self._translated("receive from", "sqs:ReceiveMessage"):
            text = self._call("ReceiveMessage", MaxNumberOfMessages=str(_BATCH), WaitTimeSeconds=str(_WAIT))
        return list(_notices(text))

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """See NotificationSource."""
        for begin in range(0, len(receipts), _BATCH):
            entries: dict[str, str] = {}
            for place, receipt in enumerate(receipts[begin : begin + _BATCH], 1):
                entry = f"DeleteMessageBatchRequestEntry.{place}"
                entries |= {f"{entry}.Id": str(place), f"{entry}.ReceiptHandle": receipt}
            with self._translated("acknowledge to", "sqs:DeleteMessage"):
                self._call("DeleteMessageBatch", **entries)

    def close(self) -> None:
        """See NotificationSource."""
        self._service.close()

    def _call(self, action: str, **fields: str) -> str:
        return self._ask(action, QueueUrl=self._queue_url(), **fields)

    def _queue_url(self) -> str:
        with self._lock:
            if not self._found:
                owner = {"QueueOwnerAWSAccountId": self._account} if self._account else {}
                answer = self._ask("GetQueueUrl", QueueName=self._name, **owner)
                if (found := _QUEUE_URL.search(answer)) is None:
                    raise unfinished("contains no queue URL")
                self._found = aws.unescape(found[1])
            return self._found

    def _ask(self, action: str, **fields: str) -> str:
        form = {"Action": action, "Version": _VERSION, **fields}
        body = "&".join(f"{name}={quote_plus(value)}" for name, value in form.items())

        def text(answer: Answer) -> str:
            said = answer.body.decode(errors="replace")
            if f"</{action}Response>" not in said:
                raise unfinished(f"to {action} broke off")
            return said

        return self._service.fetch(Request("POST", "/", body.encode(), _FORM), _OK, text)

    @contextmanager
    def _translated(self, operation: str, permission: str) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            advice = error.advice
            if not advice and error.status == HTTPStatus.FORBIDDEN:
                advice = f"grant {self._who} the permissions sqs:GetQueueUrl and {permission} on the queue"
            elif not advice and error.status:
                advice = "create the queue, or correct its URL"
            raise NotificationError(operation, f"{self._url} as {self._who}", error.cause, advice) from error


def _notices(text: str) -> Iterator[Notice]:
    for message in _MESSAGE.findall(text):
        body, receipt = _BODY.search(message), _RECEIPT.search(message)
        if receipt is not None:
            yield Notice(aws.unescape(receipt[1]), s3_uploads(aws.unescape(body[1])) if body else ())
