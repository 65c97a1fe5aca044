"""A durable task queue in one SQLite file, for one machine: no server, no account.

Publishing is one transaction a request, in write-ahead mode with full synchronisation,
so that an acknowledged message survives the death of the process and of the machine.
The consumer's side (`peek`, `pull`, `ack`) is what the `tasks` command shows.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings, never
from workflow_manager.queues.sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3

_PAGE = 500


def _path(text: str) -> str:
    if text == ":memory:" or text.startswith("file:"):  # SQLite's names for what may be gone with the process
        raise ValueError("not the path of a file")
    return text


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in the queue. Times are in seconds since 1970; `leased_until` is 0 if it never was leased.

    `deliveries` says how often it was leased.
    """

    number: int
    body: bytes
    published: float
    leased_until: float
    deliveries: int


@dataclass(frozen=True, slots=True)
class LeasedMessage:
    """A message that is ours until its lease runs out; `ack_id` removes it."""

    ack_id: str
    body: bytes


class SqliteQueue:
    """A queue in the file `sqlite-path`, which is made when the first run prepares it."""

    kind: ClassVar[str] = "sqlite"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "sqlite-path", "file that holds the queue; made if it is not there", parse=_path, required=True
        ),
    )
    # A request is what a run that is killed may repeat: no more than pays for the disk's part of it.
    limits: ClassVar[Limits] = Limits(messages=100, request_bytes=16_000_000, message_bytes=16_000_000)

    def __init__(
        self, path: str, clock: Callable[[], float] = time.time, until: Callable[[], float] = never
    ) -> None:
        self._file = SqliteFile(path, until)
        self._clock = clock

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queue in the file that the settings name."""
        return cls(str(settings.options["sqlite-path"]), until=settings.retry_policy.until)

    def prepare(self, topics: Sequence[str]) -> None:
        """Make the file and the topics, unless they are there."""
        with self._file.transaction("create", writes=True, make=True) as database:
            _add_topics(database, topics)

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. Either all messages of a request are in the queue, or none is."""
        now = self._clock()
        with self._file.transaction(f"publish to topic {topic!r} in", writes=True, make=True) as database:
            _add_topics(database, [topic])
            database.executemany(
                "INSERT INTO messages (topic, body, published) VALUES (?, ?, ?)",
                [(topic, message.body, now) for message in messages],
            )
        return [None] * len(messages)

    def check(self, topic: str) -> str:
        """See TaskQueue. A file that is not there yet needs a directory to be made in."""
        if Path(self._file.path).exists():
            waiting = self.topics().get(topic, 0)
            return f"tasks waiting in topic {topic}: {waiting}"
        directory = Path(self._file.path).absolute().parent
        if os.access(directory, os.W_OK):
            return "the file will be made by the first run"
        raise QueueError(
            "make",
            f"the queue {self._file.path}",
            "no such directory, or it cannot be written",
            "correct --sqlite-path",
        )

    def close(self) -> None:
        """See TaskQueue."""
        self._file.close()

    def topics(self) -> dict[str, int]:
        """All topics, and how many messages each has, leased ones as well."""
        with self._file.transaction("read") as database:
            return dict(
                database.execute(
                    "SELECT name, count(id) FROM topics LEFT JOIN messages ON topic = name"
                    " GROUP BY name ORDER BY name"
                )
            )

    def peek(self, topic: str) -> Iterator[StoredMessage]:
        """The messages on a topic, oldest first, leased ones as well; nothing is taken."""
        last = 0
        while True:
            with self._file.transaction("read") as database:
                rows = database.execute(
                    "SELECT id, body, published, leased_until, deliveries FROM messages"
                    " WHERE topic = ? AND id > ? ORDER BY id LIMIT ?",
                    (topic, last, _PAGE),
                ).fetchall()
            for row in rows:
                yield StoredMessage(*row)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def pull(self, topic: str, most: int, lease: timedelta) -> list[LeasedMessage]:
        """Take up to `most` messages that nobody has, oldest first, for as long as `lease`."""
        now = self._clock()
        with self._file.transaction(f"pull from topic {topic!r} in", writes=True) as database:
            rows = database.execute(
                "SELECT id, body FROM messages WHERE topic = ? AND leased_until <= ? ORDER BY id LIMIT ?",
                (topic, now, most),
            ).fetchall()
            leased = [(number, secrets.token_hex(8), body) for number, body in rows]
            database.executemany(
                "UPDATE messages SET leased_until = ?, receipt = ?, deliveries = deliveries + 1 WHERE id = ?",
                [(now + lease.total_seconds(), receipt, number) for number, receipt, _ in leased],
            )
        return [LeasedMessage(f"{number}-{receipt}", body) for number, receipt, body in leased]

    def ack(self, ack_ids: Sequence[str]) -> list[str]:
        """Remove messages that are done; returns the IDs that name no message of ours any more.

        A message whose lease has run out can still be removed, until someone else leases it.
        """
        unknown = []
        with self._file.transaction("acknowledge in", writes=True) as database:
            for ack_id in ack_ids:
                number, _, receipt = ack_id.partition("-")
                done = database.execute(
                    "DELETE FROM messages WHERE id = ? AND receipt = ? AND receipt != ''", (number, receipt)
                )
                if not done.rowcount:
                    unknown.append(ack_id)
        return unknown


def _add_topics(database: "sqlite3.Connection", topics: Sequence[str]) -> None:
    database.executemany("INSERT OR IGNORE INTO topics VALUES (?)", [(topic,) for topic in topics])
