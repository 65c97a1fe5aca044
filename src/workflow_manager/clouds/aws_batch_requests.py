"""Batches of messages to SNS and SQS, which take them alike: signed forms, an outcome for each entry.

Entries that failed through no fault of ours are sent again, without those that were taken.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote_plus

from workflow_manager.clouds import aws, service
from workflow_manager.clouds.http import ALWAYS, Answer, CloudError, Request, unfinished
from workflow_manager.clouds.service import Service
from workflow_manager.errors import QueueError
from workflow_manager.hashes import sha256
from workflow_manager.ports import Limits, Message, Option, Settings, TopicLimit

T = TypeVar("T")

# Of both services, unless the attribute of a topic or queue says otherwise.
LIMITS = Limits(messages=10, request_bytes=262_144, message_bytes=262_144)
SIZE_ATTRIBUTE = "MaximumMessageSize"
_MOST_BYTES = 1_048_576

_OK = frozenset({200})
# What messages are full of, quoted as in a form; the first two first, as they come of the others.
_FREQUENT = (
    (b"%", b"%25"),
    (b"+", b"%2B"),
    (b" ", b"+"),
    *((char.encode(), f"%{ord(char):02X}".encode()) for char in '",/:[]{}'),
)
_IS_QUOTED = re.compile(rb"[A-Za-z0-9%+_.~-]*").fullmatch
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_REGION = re.compile("[a-z0-9-]{1,63}")
# A success is a `member` in SNS and a `SendMessageBatchResultEntry` in SQS; a failure is a `member`
# there too, and a `BatchResultErrorEntry` here.
_ENTRY = re.compile(r"<(member|SendMessageBatchResultEntry|BatchResultErrorEntry)>(.*?)</\1>", re.DOTALL)
_ID = re.compile("<Id>([0-9]+)</Id>")
# SNS lists attributes as key and value, SQS as Name and Value.
_SIZE = re.compile(rf"<(key|Name)>{SIZE_ATTRIBUTE}</\1>\s*<[vV]alue>([0-9]+)</[vV]alue>")
_TAKEN = re.compile("<MessageId>[^<]+</MessageId>")
_SENDER_FAULT = re.compile(r"<SenderFault>\s*true\s*</SenderFault>")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
# The complement, with all that is allowed, takes a dozen times as long to compile.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatchRequestEntry.html
_GROUP = re.compile("[!-~]{1,128}")
_FIFO = ".fifo"
_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
    }
)
# https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html and that of SQS; SQS's own are in its
# two protocols' words.
_ABSENT = frozenset({"NotFound", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


class Dialect(NamedTuple):
    """How a service calls things. `noun` is what it has: topics or queues."""

    service: str
    noun: str
    version: str
    action: str
    target: str
    entry: str
    body: str
    permissions: Mapping[str, str]


def options(kind: str, noun: str) -> tuple[Option, ...]:
    """The flags of a kind of queue: region and identity."""
    return (
        Option(f"{kind}-region", f"AWS region of the {noun}s", parse=_region, required=True),
        Option(f"{kind}-identity", f"role to assume for publishing to the {noun}s with"),
    )


class BatchSender:
    """A service that takes batches of messages, in the region and as the identity that options say."""

    def __init__(self, service: Service, who: str, settings: Settings, dialect: Dialect) -> None:
        self.who = who
        self._service = service
        self._retry_policy = settings.retry_policy
        self._dialect = dialect

    @classmethod
    def open(cls, kind: str, settings: Settings, dialect: Dialect) -> Self:
        """The service; raises ConfigError. Sends no request."""
        service.require(kind, "aws", "botocore", "pycurl")
        region = str(settings.options[f"{kind}-region"])
        settings = replace(settings, identity=str(settings.options.get(f"{kind}-identity", "")))
        url = aws.endpoint(settings.environ, dialect.service)
        url = url or f"https://{dialect.service}.{aws.domain(region)}"
        return cls(*aws.open_service(settings, dialect.service, region, url), settings, dialect)

    def publish(self, topic: str, target: str, messages: Sequence[Message]) -> list[QueueError | None]:
        """The outcome of each message; raises QueueError if the first request fails as a whole.

        `target` is what the service knows the topic by: its ARN or URL.
        """
        outcomes: list[CloudError | None] = [_unsent(message) for message in messages]
        begun = time.monotonic()
        for attempt in range(self._retry_policy.tries):
            pending = [number for number, error in enumerate(outcomes) if error and error.tries > 1]
            if not pending or (attempt and time.monotonic() > self._retry_policy.deadline(begun)):
                break
            if attempt:
                time.sleep(service.pause(attempt))
            try:
                answered = self._send(target, {number: messages[number] for number in pending})
            except CloudError as error:
                if not attempt:
                    raise self._translated("publish to", topic, error) from error
                error.tries = 1  # it has been tried often enough
                answered = dict.fromkeys(pending, error)
            for number in pending:
                outcomes[number] = answered.get(number, _unmentioned())
        return [self._translated("publish to", topic, error) if error else None for error in outcomes]

    def ask(self, operation: str, topic: str, action: str, fields: Mapping[str, str]) -> str:
        """The text of the answer to some other request; raises QueueError."""
        try:
            return self._call(action, fields, str)
        except CloudError as error:
            raise self._translated(operation, topic, error) from error

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _send(self, target: str, messages: Mapping[int, Message]) -> dict[int, CloudError | None]:
        """What became of each message that the answer mentions."""
        dialect = self._dialect
        fifo = target.endswith(_FIFO)
        fields: dict[str, str | bytes] = {dialect.target: target}
        for place, (number, message) in enumerate(messages.items(), 1):
            entry = f"{dialect.entry}.{place}"
            fields[f"{entry}.Id"] = str(number)
            fields[f"{entry}.{dialect.body}"] = message.body
            if fifo:
                fields[f"{entry}.MessageGroupId"] = _group(message.group)
                fields[f"{entry}.MessageDeduplicationId"] = sha256(message.key.encode()).hexdigest()
        return self._call(dialect.action, fields, _outcomes)

    def _call(self, action: str, fields: Mapping[str, str | bytes], parse: Callable[[str], T]) -> T:
        fields = {"Action": action, "Version": self._dialect.version, **fields}
        # The names are ours, and have nothing in them to be quoted: to find that out takes long.
        form = "&".join([f"{name}={form_quoted(value)}" for name, value in fields.items()])
        request = Request("POST", "/", form.encode(), _FORM)
        return self._service.fetch(request, _OK, partial(_whole, action, parse))

    def _translated(self, operation: str, topic: str, error: CloudError) -> QueueError:
        subject = f"{self._dialect.noun} {topic} as {self.who}"
        return QueueError(operation, subject, error.cause, error.advice or self._advice(operation, error))

    def _advice(self, operation: str, error: CloudError) -> str:
        noun = self._dialect.noun
        if error.code in _CREDENTIALS:
            return "renew the credentials, and check this machine's clock"
        if error.code.upper().startswith("KMS"):
            return f"grant {self.who} the permissions kms:GenerateDataKey and kms:Decrypt on the {noun}'s key"
        if error.status == HTTPStatus.FORBIDDEN:
            return f"grant {self.who} the permission {self._dialect.permissions[operation]} on the {noun}"
        if error.code in _ABSENT:
            return f"create the {noun}, or correct its name, account and region"
        return f"check the {noun}, the region and the endpoint" if error.status else ""


def topic_limit(attributes: str) -> TopicLimit:
    """The limit in an answer that lists attributes; the default where it lists none."""
    found = _SIZE.search(attributes)
    size = int(found[2]) if found else LIMITS.message_bytes
    return TopicLimit(size, SIZE_ATTRIBUTE, _MOST_BYTES)


def _whole(action: str, parse: Callable[[str], T], answer: Answer) -> T:
    text = answer.body.decode(errors="replace")
    if not text.rstrip().endswith(f"</{action}Response>"):
        raise unfinished(f"to {action} broke off")
    return parse(text)


def _outcomes(text: str) -> dict[int, CloudError | None]:
    outcomes: dict[int, CloudError | None] = {}
    for _, entry in _ENTRY.findall(text):
        if found := _ID.search(entry):
            outcomes[int(found[1])] = None if _TAKEN.search(entry) else _refusal(entry)
    return outcomes


def _refusal(entry: str) -> CloudError:
    code, message = aws.explain(entry.encode())
    ours = _SENDER_FAULT.search(entry)
    said = ": ".join(part for part in (code, message) if part)
    return CloudError(f"the service refused the message: {said}", code=code, tries=1 if ours else ALWAYS)


def _unsent(message: Message) -> CloudError:
    """What there is to say of a message before it is sent, or why it cannot be."""
    try:
        text = message.body.decode()
    except UnicodeDecodeError:
        return CloudError("the service accepts only UTF-8, and the message is not valid UTF-8")
    # None of them is printable, and that is known at once.
    forbidden = None if text.isprintable() else _FORBIDDEN.search(text)
    if forbidden:
        return CloudError(f"the service accepts no message that contains the character {forbidden[0]!a}")
    return CloudError("the message was not sent", tries=ALWAYS)


def _unmentioned() -> CloudError:
    return CloudError("the service's answer does not say whether it accepted the message", tries=ALWAYS)


def _group(name: str) -> str:
    """A message group for each aggregation: by its name, or its hash where that cannot be one."""
    return name if _GROUP.fullmatch(name) else sha256(name.encode()).hexdigest()


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("not a valid AWS region, such as us-east-1")
    return text


def form_quoted(value: str | bytes) -> str:
    """A value as quote_plus has it in a form: that looks at each character, which took a tenth of a run."""
    quoted = value.encode() if isinstance(value, str) else value
    for plain, code in _FREQUENT:
        quoted = quoted.replace(plain, code)
    return quoted.decode() if _IS_QUOTED(quoted) else quote_plus(value)
