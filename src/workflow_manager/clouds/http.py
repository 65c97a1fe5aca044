"""Requests, answers and errors of services over HTTP, as everything in this folder passes them on."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

# Where no connection could be made at all, a wrong address must not take as long as a busy service.
CONNECT_TRIES = 3


class CloudError(Exception):
    """A request that failed for good. Adapters turn it into an error that names their bucket or topic.

    `status` and `code` are the service's, 0 and "" if it gave no answer; `tries` says how often
    it may be tried in all. Nothing in here is secret: no header, token or signature.
    """

    def __init__(
        self,
        cause: str,
        advice: str = "",
        *,
        status: int = 0,
        code: str = "",
        tries: int = 1,
        retry_after: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.advice = advice
        self.status = status
        self.code = code
        self.tries = tries
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = headers or {}

    def __str__(self) -> str:
        return self.cause


# For errors that any number of tries may mend: as many as the retry_policy allows.
ALWAYS = 1_000_000


# The most bytes of an answer's body. A page of 1,000 keys, each of 1,024 bytes and percent-encoded, and
# what a service says of each, is below the second.
ANSWER_BYTES = 1_000_000
PAGE_BYTES = 16_000_000


class Request(NamedTuple):
    """One request. `target` is the path and query, percent-encoded as it goes over the wire.

    `secrets` are those in its body: no error will show them, even if the answer repeats them.
    `limit` is the most bytes that the answer's body may have. `operation` is what a request to a bucket
    is counted as (see ports.RequestObserver); others are not counted.
    """

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    limit: int = ANSWER_BYTES
    operation: str = ""


# A request, and the headers that it is sent with.
Call = tuple[Request, Mapping[str, str]]


class Answer(NamedTuple):
    """What a service answered; the names of `headers` are in lower case. `attempt` counts from 1."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempt: int = 1


# What a request for one object is counted as, by its method.
OPERATIONS = {"DELETE": "delete", "GET": "read", "HEAD": "read", "PUT": "write"}

# What a service may answer when an object is read: also that no byte of it lies in the range asked for.
READ_STATUSES = frozenset({200, 206, 404, 416})


def first_bytes(limit: int | None) -> Mapping[str, str]:
    """The headers that ask for no more than the first `limit` bytes of an object."""
    return {} if limit is None else {"range": f"bytes=0-{limit - 1}"}


def body_read(answer: Answer) -> bytes | None:
    """The content that was read, None if there is no object. An empty object has no first byte."""
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return b""
    return None if answer.status == HTTPStatus.NOT_FOUND else answer.body


class ErrorDocument(NamedTuple):
    """What a service's error document says."""

    code: str
    message: str


def excerpt(body: bytes) -> str:
    """The beginning of an answer that nobody can explain, on one line."""
    return " ".join(body[:400].decode(errors="replace").split())[:200]


def unfinished(what: str) -> CloudError:
    """An answer that broke off, or is not what it should be: the next may be whole."""
    return CloudError(
        f"the service's answer {what}",
        "check the proxies and load balancers between this machine and the service",
        tries=ALWAYS,
    )
