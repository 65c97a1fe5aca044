"""Uploads to a bucket that is a directory, by the file system's own notifications: `watch`."""

import errno
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_to_bytes, urlsplit

from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, NotificationError
from workflow_manager.notices import Notice, Upload
from workflow_manager.ports import Settings

if TYPE_CHECKING:
    from watchfiles.main import FileChange

_GATHER_MS = 50  # that changes are collected for after the first
_QUIET_MS = 10  # without a change, after which no more of them are waited for
_WAIT_MS = 5000  # until there is a change


class WatchedDirectory:
    """A directory with all that is below it. It is watched from the first `receive` on.

    Nothing is kept for anyone who is not there: what happens before is for the regular pass to find.
    """

    def __init__(self, url: str, root: str) -> None:
        self._url = url
        self._root = root
        self._changes: Iterator[set[FileChange]] | None = None

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """See NotificationSource."""
        if settings.identity:
            raise ConfigError([Mistake("", "", "a directory has no identities: leave the identity out")])
        if find_spec("watchfiles") is None:
            raise MissingExtraError("watch", "serve", "watchfiles")
        return cls(url, _path(url))

    @staticmethod
    def bucket_name(url: str) -> str | None:
        """See NotificationSource."""
        return _path(url) if urlsplit(url).scheme == "file" else None

    def receive(self) -> Sequence[Notice]:
        """See NotificationSource."""
        import watchfiles  # noqa: PLC0415 (comes with an extra)

        try:
            if self._changes is None:
                self._changes = watchfiles.watch(
                    self._root,
                    watch_filter=None,
                    debounce=_GATHER_MS,
                    step=_QUIET_MS,
                    rust_timeout=_WAIT_MS,
                    yield_on_timeout=True,
                )
            changes = next(self._changes)
        except (OSError, RuntimeError, StopIteration) as error:
            self._changes = None
            raise self._explained(error) from error
        keys = {
            os.path.relpath(path, self._root)
            for change, path in changes
            if change != watchfiles.Change.deleted
        }
        # One notice for all: they stand for nothing that could be acknowledged.
        return [Notice("", tuple(Upload(self._root, key) for key in keys))] if keys else []

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Nothing is delivered twice."""

    def close(self) -> None:
        """The watch ends with the last reference to it."""
        self._changes = None

    def _explained(self, error: Exception) -> NotificationError:
        advice = "create the directory, or correct the bucket's URL"
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EMFILE) or "limit" in str(error):
            advice = "raise fs.inotify.max_user_watches and max_user_instances (sysctl)"
        return NotificationError("watch", self._url, str(error) or "the watch has ended", advice)


def _path(url: str) -> str:
    return str(Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path))))
