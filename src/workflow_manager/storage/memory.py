"""Buckets in the memory of this process, for tests and for trying things: `memory://{name}`."""

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

from workflow_manager.errors import ConfigError, Mistake, StorageError
from workflow_manager.ports import Settings


class MemoryStore:
    """A bucket that ends with the process. Opening a URL again gives the same bucket."""

    _opened: ClassVar[dict[str, Self]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, url: str = "memory://unnamed", page_size: int = 1000) -> None:
        self.url = url
        self._page_size = page_size
        self._objects: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._lock = threading.Lock()

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The bucket of this URL in this process; raises ConfigError if an identity is given."""
        if settings.identity:
            raise ConfigError([Mistake("", "", "a bucket in memory has no identities")])
        url = url.rstrip("/")
        with cls._opening:
            return cls._opened.setdefault(url, cls(url))

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        """See ObjectStore."""
        return self._pages(prefix, after, before)

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        """See ObjectStore."""
        names: dict[str, None] = {}
        for page in self._pages(prefix):
            for key in page:
                name, slash, _ = key[len(prefix) :].partition("/")
                if slash:
                    names[name] = None
        found = list(names)
        for begin in range(0, len(found), self._page_size):
            yield found[begin : begin + self._page_size]

    def put(self, key: str, body: bytes) -> None:
        """See ObjectStore."""
        self._put(_octets(key), body, replace=True)

    def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[StorageError | None]:
        """See BatchWriter."""
        return [self._outcome(key, body) for key, body in objects]

    def _outcome(self, key: str, body: bytes) -> StorageError | None:
        try:
            self.put(key, body)
        except StorageError as error:
            return error
        return None

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See ObjectStore."""
        return self._put(_octets(key), body, replace=False)

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See ObjectStore."""
        body = self._objects.get(_octets(key))
        return None if body is None else body[:limit]

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with self._lock:
            if self._objects.pop(_octets(key), None) is not None:
                del self._keys[bisect_left(self._keys, _octets(key))]

    def identity(self) -> str:
        """See ObjectStore."""
        return "this process"

    def unstorable(self, key: str) -> str | None:
        """Every name but the empty one can be stored here, even one that is no UTF-8."""
        return None if key else "the name is empty"

    def close(self) -> None:
        """The bucket stays: it is closed when the process ends."""

    def _pages(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        start, last = _octets(prefix), _octets(after)
        while True:
            with self._lock:
                begin = bisect_left(self._keys, max(start, last + b"\0"))
                page = self._keys[begin : begin + self._page_size]
            inside = [key for key in page if key.startswith(start) and (not before or key < _octets(before))]
            if inside:
                yield [_text(key) for key in inside]
            if len(inside) < self._page_size:
                return
            last = inside[-1]

    def _put(self, key: bytes, body: bytes, *, replace: bool) -> bool:
        if not key:
            raise StorageError("write", self.url, "the name is empty")
        with self._lock:
            if key not in self._objects:
                insort(self._keys, key)
            elif not replace:
                return False
            self._objects[key] = body
            return True


def _octets(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
