"""Buckets of Google Cloud Storage: `gs://{name}`.

Requests are plain calls of the JSON API (https://cloud.google.com/storage/docs/json_api/v1), which
can leave out of a listing everything but the names.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

from workflow_manager.clouds import google
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

_URL = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/?")
_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_ENDPOINT = "https://storage.googleapis.com"
_LONGEST_KEY = 1024  # bytes, https://cloud.google.com/storage/docs/objects#naming
_RESERVED = ".well-known/acme-challenge/"
_FIELDS = "items(name),prefixes,nextPageToken"
_OK = frozenset({200})
_MEDIA = {"content-type": "application/octet-stream"}
_WRITE_ID = "write-id"
# A page of names, from the outside in: `{"nextPageToken":"…","items":[{"name":"…"},{"name":"…"}]}`.
_NEXT_PAGE = r'"nextPageToken"\s*:\s*"([^"]*)"'
_BEFORE_NAMES = re.compile(rf'\s*{{\s*(?:{_NEXT_PAGE}\s*,\s*)?"items"\s*:\s*\[\s*{{\s*"name"\s*:\s*"')
_BETWEEN_NAMES = re.compile(r'[^"]*("\s*}\s*,\s*{\s*"name"\s*:\s*")')
_BEHIND_NAMES = re.compile(rf'"\s*}}\s*\](?:\s*,\s*{_NEXT_PAGE})?\s*}}\s*')
_PLAIN = re.compile("[A-Za-z0-9_.~/-]*").fullmatch
_PERMISSIONS = {
    "list": "storage.objects.list on the bucket",
    "write": "storage.objects.create and, to replace an object, storage.objects.delete on the bucket",
    "read": "storage.objects.get on the bucket",
    "delete": "storage.objects.delete on the bucket",
}


class GcsStore:
    """A bucket of Cloud Storage."""

    def __init__(self, url: str, name: str, service: Service, who: google.Who) -> None:
        self.url = url
        self._path = f"/storage/v1/b/{name}/o"
        self._service = service
        self._who = who

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The bucket at `gs://{name}`; raises ConfigError, also if the libraries are missing."""
        require("gs://", "gcp", "google.auth", "pycurl")
        if settings.identity:
            raise ConfigError([Mistake("", "", "gs:// buckets do not use an identity: omit it")])
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigError([Mistake("", "", "not a valid Cloud Storage URL: use gs://{name}")])
        emulator = settings.environ.get("STORAGE_EMULATOR_HOST", "")
        return cls(f"gs://{match[1]}", match[1], *google.open_service(settings, _SCOPES, _ENDPOINT, emulator))

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        """See ObjectStore. One request for each 1,000 keys of the range."""
        within = KeyRange(prefix, after, before)
        with self._translated("list", prefix):
            yield from follow(partial(self._page, within, ""), within)

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        """See ObjectStore. Objects that lie beside the directories are listed too, and left out."""
        within = KeyRange(prefix)
        with self._translated("list", prefix):
            for page in follow(partial(self._page, within, "/"), within):
                yield [name[len(prefix) : -1] for name in page]

    def put(self, key: str, body: bytes) -> None:
        """See ObjectStore."""
        with self._translated("write", key):
            request = self._to_write(key, body)
            if isinstance(request, CloudError):
                raise request
            self._service.send(request, _OK)

    def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[StorageError | None]:
        """See BatchWriter."""
        answers = self._service.send_all([self._to_write(key, body) for key, body in objects], _OK)
        return [
            self._error("write", key, answer) if isinstance(answer, CloudError) else None
            for (key, _), answer in zip(objects, answers, strict=True)
        ]

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See ObjectStore."""
        mine = random_hex()
        with self._translated("write", key):
            answer = self._service.send(self._to_create(key, body, mine), frozenset({200, 412}))
            if answer.status == HTTPStatus.OK:
                return True
            # An earlier try, of ours or of libcurl's on another connection, may have got through although
            # its answer was lost.
            return self._write_id(key) == mine

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See ObjectStore."""
        if self.unstorable(key):
            return None
        with self._translated("read", key):
            answer = self._send("GET", key, "?alt=media", READ_STATUSES, first_bytes(limit))
        return body_read(answer)

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        if not self.unstorable(key):
            with self._translated("delete", key):
                self._send("DELETE", key, "", frozenset({200, 204, 404}))

    def identity(self) -> str:
        """See ObjectStore."""
        return self._who()

    def unstorable(self, key: str) -> str | None:
        """Names that are empty, too long, not UTF-8, or that Cloud Storage forbids."""
        try:
            length = len(key) if key.isascii() else len(key.encode())
        except UnicodeEncodeError:
            return "an object name must be UTF-8"
        if not 1 <= length <= _LONGEST_KEY:
            return f"an object name must have 1 to {_LONGEST_KEY} bytes"
        if "\r" in key or "\n" in key:
            return "an object name cannot contain line breaks"
        if key in (".", "..") or key.startswith(_RESERVED):
            return f"an object name cannot be . or .., or begin with {_RESERVED}"
        return None

    def close(self) -> None:
        """See ObjectStore."""
        self._service.close()

    def _page(self, within: KeyRange, delimiter: str, token: str, start: str) -> Page:
        query = {
            "delimiter": delimiter,
            "endOffset": within.before,
            "fields": _FIELDS,
            "maxResults": str(page_size(within)),
            "pageToken": token,
            "prefix": narrowest_prefix(within),
            "prettyPrint": "false",
            "startOffset": start,
        }
        text = "&".join(f"{name}={_quoted(value)}" for name, value in query.items() if value)
        request = Request("GET", f"{self._path}?{text}", limit=PAGE_BYTES, operation="list")
        return self._service.fetch(request, _OK, _parsed_directories if delimiter else _parsed_keys)

    def _to_write(self, key: str, body: bytes) -> Request | CloudError:
        if problem := self.unstorable(key):
            return CloudError(problem)
        target = f"/upload{self._path}?uploadType=media&name={_quoted(key)}"
        return Request("POST", target, body, _MEDIA, operation="write")

    def _to_create(self, key: str, body: bytes, write_id: str) -> Request:
        """As `_to_write`, if there is no such object yet. The metadata has to be in a part of its own."""
        if problem := self.unstorable(key):
            raise CloudError(problem)
        boundary = random_hex()
        described = json.dumps({"name": key, "metadata": {_WRITE_ID: write_id}})
        parts = (
            (
                f"--{boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n{described}\r\n"
                f"--{boundary}\r\ncontent-type: application/octet-stream\r\n\r\n"
            ).encode()
            + body
            + f"\r\n--{boundary}--\r\n".encode()
        )
        headers = {"content-type": f"multipart/related; boundary={boundary}"}
        target = f"/upload{self._path}?uploadType=multipart&ifGenerationMatch=0"
        return Request("POST", target, parts, headers, operation="write")

    def _write_id(self, key: str) -> str:
        answer = self._send("GET", key, "?fields=metadata", frozenset({200, 404}))
        metadata = json.loads(answer.body).get("metadata", {}) if answer.status == HTTPStatus.OK else {}
        return str(metadata.get(_WRITE_ID, ""))

    def _send(
        self,
        method: str,
        key: str,
        query: str,
        accept: frozenset[int],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        target = f"{self._path}/{_quoted(key)}{query}"
        request = Request(method, target, b"", headers or {}, operation=OPERATIONS[method])
        answer = self._service.send(request, accept)
        if answer.status == HTTPStatus.NOT_FOUND and b"bucket does not exist" in answer.body:
            raise CloudError("the service answered 404: the bucket does not exist", status=404)
        return answer

    @contextmanager
    def _translated(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except CloudError as error:
            raise self._error(operation, name, error) from error

    def _error(self, operation: str, name: str, error: CloudError) -> StorageError:
        where = location(self.url, name)
        who = self._who()
        advice = error.advice or _advice(error, operation, who)
        kind = AccessDeniedError if error.status == HTTPStatus.FORBIDDEN else StorageError
        return kind(operation, f"{where} as {who}", error.cause, advice)


def _advice(error: CloudError, operation: str, who: str) -> str:
    if error.status == HTTPStatus.UNAUTHORIZED:
        return google.RENEW
    if error.status == HTTPStatus.FORBIDDEN:
        return f"grant {who} the permission {_PERMISSIONS[operation]}"
    if error.status == HTTPStatus.NOT_FOUND:
        return "create the bucket, or correct its name in the URL"
    return "check the bucket's URL and STORAGE_EMULATOR_HOST" if error.status else ""


def _parsed_keys(answer: Answer) -> Page:
    page = _usual_page(answer.body)
    if page is None:
        listing = _listing(answer)
        page = Page([item["name"] for item in listing.get("items", ())], listing.get("nextPageToken", ""))
    return page


def _usual_page(body: bytes) -> Page | None:
    """The names in a page that has nothing but names without escapes, as nearly all have; None of another.

    A parser of JSON would make a dictionary of each name, and take most of the time of a listing. All
    quotes that are not escaped stand for themselves, so what is between the first two names can be inside
    of none.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    begin = _BEFORE_NAMES.match(text)
    between = _BETWEEN_NAMES.match(text, begin.end()) if begin else None
    if begin is None or between is None or "\\" in text:
        return None
    names = text[begin.end() :].split(between[1])
    last = names.pop()
    end = max(0, last.find('"'))
    behind = _BEHIND_NAMES.fullmatch(last, end)
    names.append(last[:end])
    if behind is None or '"' in "".join(names):
        return None
    return Page(names, begin[1] or behind[1] or "")


def _parsed_directories(answer: Answer) -> Page:
    listing = _listing(answer)
    return Page(listing.get("prefixes", []), listing.get("nextPageToken", ""))


def _listing(answer: Answer) -> dict[str, Any]:
    try:
        listing = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise unfinished("broke off in the middle of a listing") from None
    if not isinstance(listing, dict):
        raise unfinished("is not a listing")
    return listing


def _quoted(text: str) -> str:
    if _PLAIN(text):  # quote would look at each character
        return text.replace("/", "%2F")
    return quote(text, safe="", errors="surrogateescape")
