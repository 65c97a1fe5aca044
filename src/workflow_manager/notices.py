"""What the service needs of the places where uploads are announced. Every source keeps this contract."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

from workflow_manager.ports import Settings

# In the place of an object's key: anything in the bucket may be new. No object can have this key.
ANY_KEY = ""


class Upload(NamedTuple):
    """What a notification says of an object; others may have made it up. `time` is in seconds since 1970.

    `bucket` is a name as `NotificationSource.bucket_name` gives it; `time` is 0 if it is not told.
    """

    bucket: str
    key: str
    time: float = 0.0


class Notice(NamedTuple):
    """A message of a source: the uploads in it, which may be none, and what acknowledges it."""

    receipt: str
    uploads: tuple[Upload, ...]


class NotificationSource(Protocol):
    """Where uploads to buckets are announced. Opening one sends no request.

    `receive` is called by one thread, `acknowledge` by any. Both raise NotificationError.
    """

    @classmethod
    def open(cls, url: str, settings: Settings) -> Self:
        """The source at `url`; raises ConfigError if that, or its identity, cannot be right."""
        ...

    @staticmethod
    def bucket_name(url: str) -> str | None:
        """What the notifications of the bucket at `url` call it; None if it has no such notifications."""
        ...

    def receive(self) -> Sequence[Notice]:
        """Wait until something is announced, and return that; nothing if that takes longer than a while."""
        ...

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Have these notices delivered no more. Those that are not acknowledged may come again."""
        ...

    def close(self) -> None:
        """Give back connections and files. Nothing is called after this."""
        ...
