"""A bucket in memory that answers listings a page at a time, as both clouds' do."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

CONTENT = b"made-up content\n"


class Range(NamedTuple):
    """What a listing asks for: keys with `prefix`, from `start` on, and less than `end` if that is given."""

    prefix: str
    start: str
    end: str
    delimiter: str
    limit: int


class Page(NamedTuple):
    """A page of a listing. `rest` is the key to go on from, empty if there is no more."""

    keys: list[str]
    prefixes: list[str]
    rest: str


class Bucket:
    """Keys in order, and the content of those that were written since the bucket was filled.

    Keys have to be text whose code points are in the order of its UTF-8, as all but lone
    surrogates are. `rendered` holds answers to listings; it is emptied by every change.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._filled = tuple(sorted(keys))
        self.restore()

    def restore(self) -> None:
        """Make the bucket as it was filled; answers stay if nothing was changed."""
        self._bodies: dict[str, bytes] = {}
        if getattr(self, "_changed", True):
            self._keys = list(self._filled)
            self.rendered: dict[str, bytes] = {}
        self._changed = False

    def keys(self) -> tuple[str, ...]:
        """What it was filled with."""
        return self._filled

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> bytes | None:
        """The content of an object, or None."""
        found = self._keys[(at := self._position(key)) : at + 1] == [key]
        return self._bodies.get(key, CONTENT) if found else None

    def put(self, key: str, body: bytes, *, only_if_absent: bool) -> bool:
        """Write an object; whether it was written."""
        at = self._position(key)
        exists = self._keys[at : at + 1] == [key]
        if exists and only_if_absent:
            return False
        if not exists:
            self._keys.insert(at, key)
        self._bodies[key] = body
        self._change()
        return True

    def delete(self, key: str) -> bool:
        """Remove an object; whether there was one."""
        at = self._position(key)
        if self._keys[at : at + 1] != [key]:
            return False
        del self._keys[at]
        self._bodies.pop(key, None)
        self._change()
        return True

    def page(self, wanted: Range) -> Page:
        """One page; keys with the delimiter behind the prefix are rolled up into one entry each."""
        keys = self._keys
        at = bisect_left(keys, max(wanted.prefix, wanted.start))
        end = bisect_left(keys, behind(wanted.prefix), at) if wanted.prefix else len(keys)
        if wanted.end:
            end = min(end, max(at, bisect_left(keys, wanted.end, at)))
        if not wanted.delimiter:
            last = min(end, at + wanted.limit)
            return Page(keys[at:last], [], keys[last] if last < end else "")
        page = Page([], [], "")
        while at < end and len(page.keys) + len(page.prefixes) < wanted.limit:
            key = keys[at]
            cut = key.find(wanted.delimiter, len(wanted.prefix))
            if cut < 0:
                page.keys.append(key)
                at += 1
            else:
                page.prefixes.append(key[: cut + len(wanted.delimiter)])
                at = bisect_left(keys, behind(page.prefixes[-1]), at)
        return page._replace(rest=keys[at]) if at < end else page

    def _position(self, key: str) -> int:
        return bisect_left(self._keys, key)

    def _change(self) -> None:
        self._changed = True
        if self.rendered:
            self.rendered = {}


def behind(prefix: str) -> str:
    """The least text that is greater than everything that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
