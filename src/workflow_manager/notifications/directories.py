"""Uploads to a bucket that is a directory, by the file system's own notifications: `watch`."""

import errno
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_to_bytes, urlsplit

from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, NotificationError
from workflow_manager.notices import ANY_KEY, Notice, Upload
from workflow_manager.ports import Settings

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

_GATHER_MS = 50  # that changes are collected for after the first
_QUIET_MS = 10  # without a change, after which no more of them are waited for
_WAIT_MS = 5000  # until there is a change


class WatchedDirectory:
    """A directory with all that is below it. It is watched from the first `receive` on.

    Nothing is kept for anyone who is not there, so that the first notice is about everything.
    """

    def __init__(self, url: str, root: str) -> None:
        self._url = url
        self._root = root
        self._watch: RustNotify | None = None

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """See NotificationSource."""
        if settings.identity:
            raise ConfigError([Mistake("", "", "directories do not use an identity: omit it")])
        if find_spec("watchfiles") is None:
            raise MissingExtraError("watch", "serve", "watchfiles")
        return cls(url, _path(url))

    @staticmethod
    def bucket_name(url: str) -> str | None:
        """See NotificationSource."""
        return _path(url) if urlsplit(url).scheme == "file" else None

    def receive(self) -> Sequence[Notice]:
        """See NotificationSource."""
        from watchfiles import Change  # noqa: PLC0415 (comes with an extra)
        from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 (as above)

        try:
            if self._watch is None:
                Path(self._root).stat()  # or a directory that is not there is watched in vain
                self._watch = RustNotify([self._root], False, False, 0, True, True)  # noqa: FBT003 (all there is)
                return [Notice("", (Upload(self._root, ANY_KEY),))]  # whatever came before that
            found = self._watch.watch(_GATHER_MS, _QUIET_MS, _WAIT_MS, None)
        except (OSError, RuntimeError) as error:
            self.close()
            raise self._explained(error) from error
        if isinstance(found, str):
            return []  # the time is over
        paths = {path for change, path in found if change != Change.deleted}
        keys = [os.path.relpath(path, self._root) + "/" * Path(path).is_dir() for path in paths]
        # One notice for all: they stand for nothing that could be acknowledged.
        now = time.time()
        return [Notice("", tuple(Upload(self._root, key, now) for key in keys))] if keys else []

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Nothing is delivered twice."""

    def close(self) -> None:
        """See NotificationSource."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _explained(self, error: Exception) -> NotificationError:
        advice = "create the directory, or correct the bucket's URL"
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EMFILE) or "limit" in str(error):
            advice = "raise fs.inotify.max_user_watches and max_user_instances (sysctl)"
        return NotificationError("watch", self._url, str(error) or "the watch has ended", advice)


def _path(url: str) -> str:
    return str(Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path))))
