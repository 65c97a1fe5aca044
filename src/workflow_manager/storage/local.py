"""Buckets that are directories: `file:///{directory}`. An object's key is its path below that.

Names are bytes on a file system. Those that are not UTF-8 come out as lone surrogates, as
Python has it everywhere, so that they can be listed, refused, and do no other harm.
"""

import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import unquote_to_bytes, urlsplit

from workflow_manager.errors import ConfigError, Mistake, StorageError
from workflow_manager.ports import Settings

# Files of our own that are not objects, such as those that are still being written.
RESERVED = b".workflow-manager-"
_PAGE = 1000
_LONGEST_COMPONENT = 255  # bytes, on every file system in common use
_LONGEST_PATH = 4095  # bytes, on Linux

_ADVICE = {
    errno.ENOENT: "create the directory, or correct the bucket's URL",
    errno.ENOTDIR: "the URL of a bucket has to name a directory",
    errno.EACCES: "let the user that runs this read and write it",
    errno.EPERM: "let the user that runs this read and write it",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room, or raise the quota",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


class LocalStore:
    """A directory as a bucket. It is never left: symbolic links in it are not followed."""

    def __init__(self, root: str) -> None:
        self.url = f"file://{root}"
        self._root = root

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The directory of a `file://` URL; raises ConfigError if the URL has no absolute path."""
        if settings.identity:
            raise ConfigError([Mistake("", "", "a directory has no identities: leave the identity away")])
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ConfigError(
                [Mistake("", "", "not an absolute path: file:///{directory}, with three slashes")]
            )
        if parts.query or parts.fragment:
            raise ConfigError([Mistake("", "", "write ? as %3F and # as %23 in the directory's name")])
        path = os.fsdecode(unquote_to_bytes(parts.path))
        if "\0" in path:
            raise ConfigError([Mistake("", "", "a directory's name cannot hold a NUL")])
        return cls(os.path.normpath(path))

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        """See ObjectStore. Opens no directory that lies outside the range."""
        page: list[str] = []
        with self._translated("list", prefix):
            for key in self._walk(b"", os.fsencode(prefix), os.fsencode(after), os.fsencode(before)):
                page.append(os.fsdecode(key))
                if len(page) == _PAGE:
                    yield page
                    page = []
        if page:
            yield page

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        """See ObjectStore. A directory counts if there is an object somewhere in it."""
        directory, slash, beginning = os.fsencode(prefix).rpartition(b"/")
        with self._translated("list", prefix):
            found = [
                os.fsdecode(name[len(beginning) : -1])
                for name in self._entries(directory + slash)
                if name.endswith(b"/") and name.startswith(beginning)
                if any(self._walk(directory + slash + name))
            ]
        for begin in range(0, len(found), _PAGE):
            yield found[begin : begin + _PAGE]

    def put(self, key: str, body: bytes) -> None:
        """See ObjectStore."""
        with self._translated("write", key), self._written(key, body) as (temporary, target):
            os.replace(temporary, target)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See ObjectStore."""
        with self._translated("write", key), self._written(key, body) as (temporary, target):
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        return True

    def get(self, key: str) -> bytes | None:
        """See ObjectStore."""
        if self.unstorable(key):
            return None
        with self._translated("read", key):
            try:
                return Path(self._path(key)).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        if self.unstorable(key):
            return
        with self._translated("delete", key), suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._path(key))

    def unstorable(self, key: str) -> str | None:
        """Names that are no path below the directory, or longer than a path may be."""
        if not key or "\0" in key:
            return "a file's name cannot be empty or hold a NUL"
        components = os.fsencode(key).split(b"/")
        if any(component in (b"", b".", b"..") for component in components):
            return "a path cannot have empty, . or .. components"
        if any(component.startswith(RESERVED) for component in components):
            return f"names that begin with {RESERVED.decode()} are reserved"
        if any(len(component) > _LONGEST_COMPONENT for component in components):
            return f"a file's name can have at most {_LONGEST_COMPONENT} bytes"
        if len(os.fsencode(self._path(key))) > _LONGEST_PATH:
            return f"a path can have at most {_LONGEST_PATH} bytes"
        return None

    def close(self) -> None:
        """Nothing is kept open."""

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key)

    def _walk(
        self, top: bytes, prefix: bytes = b"", after: bytes = b"", before: bytes = b""
    ) -> Iterator[bytes]:
        """The keys in a directory that lie in a range, in order. Not recursive: depth is up to others."""
        levels = [(top, iter(self._entries(top)))]
        while levels:
            directory, entries = levels[-1]
            name = next(entries, None)
            if name is None:
                levels.pop()
                continue
            path = directory + name
            if before and path >= before:
                return  # all that follows is greater still
            if not name.endswith(b"/"):
                if path > after and path.startswith(prefix):
                    yield path
            elif path[:-1] + b"0" > after and (path.startswith(prefix) or prefix.startswith(path)):
                levels.append((path, iter(self._entries(path))))  # "0" is what follows "/"

    def _entries(self, directory: bytes) -> list[bytes]:
        """What is in a directory, in the order of the keys: a directory has a slash behind its name."""
        names = []
        try:
            with os.scandir(os.path.join(os.fsencode(self._root), directory)) as entries:
                for entry in entries:
                    if entry.name.startswith(RESERVED):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        names.append(entry.name + b"/")
                    elif entry.is_file(follow_symlinks=False):
                        names.append(entry.name)
        except OSError as error:
            # Below the top, a directory may vanish at any time, or lie too deep to have a path.
            if directory and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return []
            raise
        return sorted(names)

    @contextmanager
    def _written(self, key: str, body: bytes) -> Iterator[tuple[str, str]]:
        """A durable temporary file beside the object's place, which then has to be put there."""
        if problem := self.unstorable(key):
            raise StorageError("write", f"{self.url}/{key!r}", problem)
        target = self._path(key)
        directory = os.path.dirname(target)
        os.stat(self._root)  # a bucket that does not exist is not made by writing to it
        made = _make_directories(directory)
        root = os.path.realpath(self._root)
        if os.path.commonpath([os.path.realpath(directory), root]) != root:
            raise StorageError("write", f"{self.url}/{key!r}", "a symbolic link leads out of the bucket")
        temporary = os.path.join(directory, f"{RESERVED.decode()}{uuid.uuid4()}")
        try:
            with open(temporary, "xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            yield temporary, target
            for changed in (directory, *made):
                _sync_directory(changed)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    @contextmanager
    def _translated(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "check the disk and the directory")
            where = f" ({os.fsdecode(error.filename)!r})" if error.filename else ""
            subject = f"{self.url}/{name!r}" if name else self.url
            raise StorageError(operation, subject, f"{error.strerror}{where}", advice) from error


def _make_directories(directory: str) -> list[str]:
    """Make a directory and those above it that are missing; the directories that got a new entry."""
    changed = []
    parent = directory
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
        changed.append(parent)
    os.makedirs(directory, exist_ok=True)
    return changed


def _sync_directory(directory: str) -> None:
    """Make a new name in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
