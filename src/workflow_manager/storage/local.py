"""Buckets that are directories: `file:///{directory}`. An object's key is its path below that.

Names are bytes on a file system. Those that are not UTF-8 come out as lone surrogates, as
Python has it everywhere, so that they can be listed, refused, and do no other harm.
"""

import errno
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Self
from urllib.parse import unquote_to_bytes, urlsplit

from workflow_manager.errors import AccessDeniedError, ConfigError, Mistake, StorageError, escaped, location
from workflow_manager.ports import NobodyCounts, RequestObserver, Settings
from workflow_manager.random_ids import random_hex

# Files of our own that are not objects, such as those that are still being written.
RESERVED = b".workflow-manager-"
_PAGE = 1000
_LONGEST_COMPONENT = 255  # bytes, on every file system in common use
_LONGEST_PATH = 4095  # bytes, on Linux
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY

_FORBIDDEN = (errno.EACCES, errno.EPERM)
_ADVICE = {
    errno.ENOENT: "create the directory, or correct the bucket's URL",
    errno.ENOTDIR: "a directory is needed, and symbolic links below the bucket are not followed",
    errno.EEXIST: "an entry that is not an object has this name",
    errno.EISDIR: "a directory has this name",
    errno.EACCES: "grant this user read and write permission",
    errno.EPERM: "grant this user read and write permission",
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space, or raise the quota",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


class LocalStore:
    """A directory as a bucket. It is never left: symbolic links in it are not followed.

    A listing, with all its pages, counts as one request.
    """

    def __init__(self, root: str, requests: RequestObserver | None = None) -> None:
        self.url = f"file://{root}"
        self._root = root
        self._requests = requests or NobodyCounts()

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The directory of a `file://` URL; raises ConfigError if the URL has no absolute path."""
        if settings.identity:
            raise ConfigError([Mistake("", "", "directories do not use an identity: omit it")])
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ConfigError(
                [Mistake("", "", "not an absolute path: file:///{directory}, with three slashes")]
            )
        if parts.query or parts.fragment:
            raise ConfigError([Mistake("", "", "write ? as %3F and # as %23 in the directory's name")])
        path = os.fsdecode(unquote_to_bytes(parts.path))
        if "\0" in path:
            raise ConfigError([Mistake("", "", "a directory name cannot contain a NUL")])
        return cls(os.path.realpath(path), settings.requests)

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
        with self._translated("write", key, body), self._written(key, body) as (temporary, name, directory):
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See ObjectStore."""
        with self._translated("write", key, body), self._written(key, body) as (temporary, name, directory):
            try:
                os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                if not _is_object(name, directory):  # a directory, say, in which no marker ever was
                    raise
                return False
        return True

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See ObjectStore."""
        with self._translated("read", key) as content, self._existing(key) as (name, directory):
            if name is None:
                return None
            with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory), "rb") as file:
                content.append(file.read(-1 if limit is None else limit))
                return content[0]

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with self._translated("delete", key), self._existing(key) as (name, directory):
            if name is not None:
                os.unlink(name, dir_fd=directory)

    def identity(self) -> str:
        """The user of this process."""
        try:
            return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
        except KeyError:  # in a container, users often have no name
            return f"user {os.geteuid()}"

    def unstorable(self, key: str) -> str | None:
        """Names that are no path below the directory, or longer than a path may be."""
        try:
            path = os.fsencode(f"{self._root}/{key}")
        except UnicodeEncodeError:
            return "the name is neither UTF-8 nor the bytes of a file's name"
        components = os.fsencode(key).split(b"/")
        problems = (
            ("\0" in key, "a file name cannot contain a NUL"),
            (
                any(part in (b"", b".", b"..") for part in components),
                "a path has no empty, . or .. components",
            ),
            (any(part.startswith(RESERVED) for part in components), f"{RESERVED.decode()}… is reserved"),
            (
                any(len(part) > _LONGEST_COMPONENT for part in components),
                f"a file name can have at most {_LONGEST_COMPONENT} bytes",
            ),
            (len(path) > _LONGEST_PATH, f"a path can have at most {_LONGEST_PATH} bytes"),
        )
        return next((reason for applies, reason in problems if applies), None)

    def close(self) -> None:
        """Nothing is kept open."""

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
    def _directory(self, key: str, *, make: bool) -> Iterator[tuple[bytes, int]]:
        """The last component of a key, and a descriptor of the directory that it is in.

        It is reached one component after the other, so that no symbolic link is followed.
        """
        *above, name = os.fsencode(key).split(b"/")
        descriptor = os.open(self._root, _DIRECTORY)
        try:
            for component in above:
                try:
                    inner = os.open(component, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                except FileNotFoundError:
                    if not make:
                        raise
                    with suppress(FileExistsError):
                        os.mkdir(component, dir_fd=descriptor)
                        os.fsync(descriptor)
                    inner = os.open(component, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield name, descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _existing(self, key: str) -> Iterator[tuple[bytes | None, int]]:
        """As `_directory` has it, with None for the name if there is no such object."""
        with ExitStack() as opened:
            name: bytes | None = None
            directory = -1
            if not self.unstorable(key):
                try:
                    name, directory = opened.enter_context(self._directory(key, make=False))
                except (FileNotFoundError, NotADirectoryError):
                    os.stat(self._root)  # a bucket that is not there is another matter
            yield name if name is not None and _is_object(name, directory) else None, directory

    @contextmanager
    def _written(self, key: str, body: bytes) -> Iterator[tuple[bytes, bytes, int]]:
        """A durable temporary file, the name that it is to get, and the directory that both are in."""
        if problem := self.unstorable(key):
            raise StorageError("write", location(self.url, key), problem)
        with self._directory(key, make=True) as (name, directory):
            temporary = RESERVED + random_hex().encode()
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=directory), "wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary, name, directory
                os.fsync(directory)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)

    @contextmanager
    def _translated(self, operation: str, name: str, body: bytes = b"") -> Iterator[list[bytes]]:
        """Counts an operation, with what it adds to the list as its answer, and translates its errors."""
        answer: list[bytes] = []
        try:
            yield answer
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "check the disk and the directory")
            where = f" ({escaped(os.fsdecode(error.filename))})" if error.filename else ""
            cause = f"{error.strerror}{where}"
            kind = AccessDeniedError if error.errno in _FORBIDDEN else StorageError
            raise kind(operation, location(self.url, name), cause, advice) from error
        finally:
            self._requests.requested(operation, len(body), sum(map(len, answer)))


def _is_object(name: bytes, directory: int) -> bool:
    """Whether there is a regular file of this name: no directory, link, pipe or device."""
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
