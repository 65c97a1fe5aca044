"""What the services of the benchmark server have in common: requests, answers, counters."""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from bucket import Bucket

_REASONS = {
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    400: "Bad Request",
    404: "Not Found",
    412: "Precondition Failed",
    416: "Range Not Satisfiable",
    501: "Not Implemented",
}


_FIRST_BYTES = re.compile(rb"\r\nrange: bytes=0-([0-9]+)\r\n")


class Request(NamedTuple):
    """A request as it came. `head` is everything before the body, in lower case; names of headers too."""

    method: str
    target: str
    head: bytes
    body: bytes

    @property
    def path(self) -> str:
        """The path, still quoted."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query."""
        return query_of(self.target)

    def has_header(self, line: bytes) -> bool:
        """Whether a header is given exactly as in `line`, in lower case: `if-none-match: *`."""
        return b"\r\n" + line + b"\r\n" in self.head


def content(request: Request, body: bytes, headers: str = "") -> bytes:
    """An object's content: all of it, or as many of its first bytes as the request asks for."""
    kind = "application/octet-stream"
    found = _FIRST_BYTES.search(request.head)
    if not found:
        return answer(200, body, kind, headers)
    if not body:
        return answer(416, headers=f"{headers}content-range: bytes */0\r\n")
    part = body[: int(found[1]) + 1]
    return answer(206, part, kind, f"{headers}content-range: bytes 0-{len(part) - 1}/{len(body)}\r\n")


@dataclass(slots=True)
class State:
    """All that the server holds. `counts` has the requests by kind."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    messages: int = 0


class Unknown(Exception):  # noqa: N818 (an answer more than an error)
    """The request is none that the server knows."""


@lru_cache(maxsize=4096)
def query_of(target: str) -> dict[str, str]:
    """The parameters of a query, the last of each name. Not to be changed: it is kept."""
    return dict(parse_qsl(target.partition("?")[2], keep_blank_values=True, errors="surrogateescape"))


def unquoted(text: str) -> str:
    """Part of a path as it was before it was quoted."""
    return unquote(text, errors="surrogateescape") if "%" in text else text


def answer(status: int, body: bytes = b"", kind: str = "application/xml", headers: str = "") -> bytes:
    """A whole answer, ready to be sent."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body
