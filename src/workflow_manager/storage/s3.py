"""Buckets of Amazon S3 and of services like it: `s3://{region}/{name}`.

Requests are plain REST calls (https://docs.aws.amazon.com/AmazonS3/latest/API/), since a
client of botocore takes fifty times as long to read a listing.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Self
from urllib.parse import quote, unquote_plus

from workflow_manager.clouds import aws
from workflow_manager.clouds.http import (
    OPERATIONS,
    PAGE_BYTES,
    READ_STATUSES,
    Answer,
    CloudError,
    Request,
    body_read,
    first_bytes,
    unfinished,
)
from workflow_manager.clouds.paging import Page, follow, narrowest_prefix, page_size
from workflow_manager.clouds.service import Service, require
from workflow_manager.errors import AccessDeniedError, ConfigError, Mistake, StorageError, location
from workflow_manager.key_range import KeyRange
from workflow_manager.ports import Settings
from workflow_manager.random_ids import random_hex

_URL = re.compile(r"s3://([a-z0-9-]+)/([A-Za-z0-9._-]{3,255})/?")
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_LONGEST_KEY = 1024  # bytes, https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_KEYS = re.compile("<Key>([^<]*)</Key>")
_DIRECTORIES = re.compile(r"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_TOKEN = re.compile("<NextContinuationToken>([^<]*)</NextContinuationToken>")
_OK = frozenset({200})
_WRITTEN_ID = "x-amz-meta-write-id"
_CREDENTIALS = "renew the credentials, and check that they belong to the right account"
_PERMISSIONS = {
    "list": "s3:ListBucket on the bucket",
    "write": "s3:PutObject on its objects",
    "read": "s3:GetObject on its objects",
    "delete": "s3:DeleteObject on its objects",
}
_ADVICE = {
    "NoSuchBucket": "create the bucket, or correct its name and region in the URL",
    "ExpiredToken": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "TokenRefreshRequired": _CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock",
}


class S3Store:
    """A bucket of S3."""

    def __init__(self, url: str, path: str, service: Service, who: str, ask: Callable[[], str]) -> None:
        self.url = url
        self._path = path
        self._service = service
        self._who = who
        self._ask = ask

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The bucket at `s3://{region}/{name}`; raises ConfigError, also if the libraries are missing."""
        require("s3://", "aws", "botocore", "pycurl")
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigError([Mistake("", "", "not a valid S3 URL: use s3://{region}/{name}")])
        region, name = match.groups()
        endpoint = aws.endpoint(settings.environ, "s3")
        path = f"/{name}"
        if endpoint is None and _HOST_LABEL.fullmatch(name):
            endpoint, path = f"https://{name}.s3.{aws.domain(region)}", ""
        # Names with dots match no wildcard certificate, so those stay in the path.
        endpoint = endpoint or f"https://s3.{aws.domain(region)}"
        service, who = aws.open_service(settings, "s3", region, endpoint)
        return cls(f"s3://{region}/{name}", path, service, who, partial(aws.caller, settings, region))

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        """See ObjectStore. One request for each 1,000 keys behind `after`."""
        within = KeyRange(prefix, after, before)
        with self._translated("list", prefix):
            yield from follow(partial(self._page, within, _KEYS, ""), within)

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        """See ObjectStore. Objects that lie beside the directories are listed too, and left out."""
        within = KeyRange(prefix)
        with self._translated("list", prefix):
            for page in follow(partial(self._page, within, _DIRECTORIES, "/"), within):
                yield [name[len(prefix) : -1] for name in page]

    def put(self, key: str, body: bytes) -> None:
        """See ObjectStore."""
        with self._translated("write", key):
            self._write(key, body, {})

    def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[StorageError | None]:
        """See BatchWriter."""
        answers = self._service.send_all([self._to_write(key, body, {}) for key, body in objects], _OK)
        return [
            self._error("write", key, answer) if isinstance(answer, CloudError) else None
            for (key, _), answer in zip(objects, answers, strict=True)
        ]

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See ObjectStore. Where a look-alike has no `If-None-Match`, it is looked up and then written.

        Between the two, another writer may get in: only there, two may both hear that they won.
        """
        mine = random_hex()
        with self._translated("write", key):
            try:
                answer = self._write(
                    key, body, {"if-none-match": "*", _WRITTEN_ID: mine}, frozenset({200, 412})
                )
            except CloudError as error:
                if error.status != HTTPStatus.NOT_IMPLEMENTED:
                    raise
                if self._head(key) is not None:
                    return False
                self._write(key, body, {})
                return True
            if answer.status == HTTPStatus.OK:
                return True
            # An earlier try, of ours or of libcurl's on another connection, may have got through although
            # its answer was lost.
            return (self._head(key) or {}).get(_WRITTEN_ID) == mine

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See ObjectStore."""
        if self.unstorable(key):
            return None
        with self._translated("read", key):
            answer = self._send("GET", key, READ_STATUSES, headers=first_bytes(limit))
        return body_read(answer)

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        if not self.unstorable(key):
            with self._translated("delete", key):
                self._send("DELETE", key, frozenset({200, 204, 404}))

    def identity(self) -> str:
        """See ObjectStore. Only STS knows whose credentials these are; not every network has a way to it."""
        try:
            return f"{self._ask()} ({self._who})"
        except CloudError as error:
            return f"{self._who} (their identity could not be determined: {error.cause})"

    def unstorable(self, key: str) -> str | None:
        """Names that are empty, too long, or not UTF-8."""
        try:
            length = len(key) if key.isascii() else len(key.encode())
        except UnicodeEncodeError:
            return "an object name must be UTF-8"
        if not 1 <= length <= _LONGEST_KEY:
            return f"an object name must have 1 to {_LONGEST_KEY} bytes"
        return None

    def close(self) -> None:
        """See ObjectStore."""
        self._service.close()

    def _page(
        self, within: KeyRange, pattern: re.Pattern[str], delimiter: str, token: str, start: str
    ) -> Page:
        query = {
            "continuation-token": token,
            "delimiter": delimiter,
            "encoding-type": "url",
            "list-type": "2",
            "max-keys": str(page_size(within)),
            "prefix": narrowest_prefix(within),
            "start-after": "" if token else _just_before(start),
        }
        text = "&".join(f"{name}={_quoted(value)}" for name, value in query.items() if value)
        request = Request("GET", f"{self._path}/?{text}", limit=PAGE_BYTES, operation="list")
        return self._service.fetch(request, _OK, partial(_parsed, pattern))

    def _write(
        self, key: str, body: bytes, headers: Mapping[str, str], accept: frozenset[int] = _OK
    ) -> Answer:
        request = self._to_write(key, body, headers)
        if isinstance(request, CloudError):
            raise request
        return self._answer(request, accept)

    def _to_write(self, key: str, body: bytes, headers: Mapping[str, str]) -> Request | CloudError:
        if problem := self.unstorable(key):
            return CloudError(problem)
        return self._request("PUT", key, body, headers)

    def _head(self, key: str) -> Mapping[str, str] | None:
        answer = self._send("HEAD", key, frozenset({200, 404}))
        return answer.headers if answer.status == HTTPStatus.OK else None

    def _send(
        self, method: str, key: str, accept: frozenset[int], headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._answer(self._request(method, key, b"", headers or {}), accept)

    def _request(self, method: str, key: str, body: bytes, headers: Mapping[str, str]) -> Request:
        target = f"{self._path}/{quote(key, safe='/~')}"
        return Request(method, target, body, headers, operation=OPERATIONS[method])

    def _answer(self, request: Request, accept: frozenset[int]) -> Answer:
        answer = self._service.send(request, accept)
        if answer.status == HTTPStatus.NOT_FOUND and b"NoSuchBucket" in answer.body:
            code, message = aws.explain(answer.body)
            raise CloudError(f"the service answered 404 {code}: {message}", status=404, code=code)
        return answer

    @contextmanager
    def _translated(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            raise self._error(operation, name, error) from error

    def _error(self, operation: str, name: str, error: CloudError) -> StorageError:
        where = location(self.url, name)
        advice = error.advice or _advice(error, operation, self._who)
        denied = error.status == HTTPStatus.FORBIDDEN and error.code not in _ADVICE
        kind = AccessDeniedError if denied else StorageError
        return kind(operation, f"{where} as {self._who}", error.cause, advice)


def _advice(error: CloudError, operation: str, who: str) -> str:
    if region := error.headers.get("x-amz-bucket-region", "") if error.status in (301, 400) else "":
        return f"the bucket is in the region {region}: correct its URL"
    if error.code in _ADVICE:
        return _ADVICE[error.code]
    if error.status in (401, 403):
        permission = _PERMISSIONS[operation]
        return f"grant {who} the permission {permission}; check also the policies of the bucket and its key"
    if error.status == HTTPStatus.NOT_FOUND:
        return _ADVICE["NoSuchBucket"]
    return "check the bucket's URL and the endpoint" if error.status else ""


def _parsed(pattern: re.Pattern[str], answer: Answer) -> Page:
    """The names in a page, by one pattern: a parser of XML would take most of the time of a listing."""
    text = answer.body.decode(errors="surrogateescape")
    if not text.rstrip().endswith("</ListBucketResult>"):
        raise unfinished("broke off in the middle of a listing")
    found = _TOKEN.search(text)
    token = aws.unescape(found[1]) if found else ""
    if "<IsTruncated>true<" not in text:
        token = ""
    elif not token:
        raise unfinished("says that the listing continues, but not where")
    names: list[str] = pattern.findall(text)
    joined = "".join(names)  # what stands beside the names, such as ETags, is full of entities
    if "&" in joined:
        names = [aws.unescape(name) for name in names]
    # The answer says whether the names are encoded: some look-alikes pay no heed to encoding-type.
    if ("%" in joined or "+" in joined) and "<EncodingType>url<" in text:
        names = [_unquoted(name) if "%" in name or "+" in name else name for name in names]
    return Page(names, token)


def _just_before(start: str) -> str:
    """A name a little less than `start`, for start-after; what lies between the two is left out later.

    SeaweedFS takes the name of a directory for all that is in it, and would leave the first
    minute of a window out: it is given `18/04~` for `18/05`. To others it makes no difference.
    """
    if not start or not "0" <= start[-1] <= "z":
        return start
    return f"{start[:-1]}{chr(ord(start[-1]) - 1)}~"


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _unquoted(name: str) -> str:
    return unquote_plus(name, errors="surrogateescape")
