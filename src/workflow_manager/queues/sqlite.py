"""A durable task queue in one SQLite file, for one machine: no server, no account.

Publishing is one transaction a request, in write-ahead mode with full synchronisation,
so that an acknowledged message survives the death of the process and of the machine.
The consumer's side (`peek`, `pull`, `ack`) is what the `tasks` command shows.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Self

from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings, never

if TYPE_CHECKING:
    import sqlite3

_BUSY_TIMEOUT = 30.0  # seconds to wait for other writers, in this process and in others
_PAUSE = 0.01  # seconds between tries where SQLite does not wait by itself
_PAGE = 500
_VERSION = 1
_SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    body BLOB NOT NULL,
    published REAL NOT NULL,
    leased_until REAL NOT NULL DEFAULT 0,
    receipt TEXT NOT NULL DEFAULT ''
);
CREATE INDEX messages_by_topic ON messages (topic, id);
"""
_ADVICE = (
    ("unable to open", "does the directory exist, and may this user write to it?"),
    ("disk is full", "make room on the disk; what is not in the queue stays due"),
    ("disk I/O error", "check the disk; what is not in the queue stays due"),
    ("locked", "another process has held the queue for long; end it, or try again"),
    ("readonly", "let the user that runs this write the file and its directory"),
    ("not a database", "this is some other file: correct --sqlite-path"),
    ("malformed", "the file is damaged: move it away, and delete the markers of the tasks that it held"),
)


def _file(text: str) -> str:
    if text == ":memory:" or text.startswith("file:"):  # SQLite's names for what may be gone with the process
        raise ValueError("not the path of a file")
    return text


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in the queue. Times are in seconds since 1970; `leased_until` is 0 if it never was leased."""

    number: int
    body: bytes
    published: float
    leased_until: float


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
            "sqlite-path", "file that holds the queue; made if it is not there", parse=_file, required=True
        ),
    )
    # A request is what a run that is killed may repeat: no more than pays for the disk's part of it.
    limits: ClassVar[Limits] = Limits(messages=100, request_bytes=16_000_000, message_bytes=16_000_000)

    def __init__(
        self, path: str, clock: Callable[[], float] = time.time, until: Callable[[], float] = never
    ) -> None:
        self._path = path
        self._until = until
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queue in the file that the settings name."""
        return cls(str(settings.options["sqlite-path"]), until=settings.retry_policy.until)

    def prepare(self, topics: Sequence[str]) -> None:
        """Make the file if it is not there. Topics need no preparation."""
        del topics
        with self._transaction("create", writes=True, make=True):
            pass

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        """See TaskQueue. Either all messages of a request are in the queue, or none is."""
        now = self._clock()
        with self._transaction(f"publish to topic {topic!r} in", writes=True, make=True) as database:
            database.executemany(
                "INSERT INTO messages (topic, body, published) VALUES (?, ?, ?)",
                [(topic, message.body, now) for message in messages],
            )
        return [None] * len(messages)

    def check(self, topic: str) -> str:
        """See TaskQueue. A file that is not there yet needs a directory to be made in."""
        if Path(self._path).exists():
            waiting = self.topics().get(topic, 0)
            return f"tasks waiting in topic {topic}: {waiting}"
        directory = Path(self._path).absolute().parent
        if os.access(directory, os.W_OK):
            return "the file will be made by the first run"
        raise QueueError(
            "make",
            f"the queue {self._path}",
            "no such directory, or it cannot be written",
            "correct --sqlite-path",
        )

    def close(self) -> None:
        """See TaskQueue."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def topics(self) -> dict[str, int]:
        """The topics that have messages, and how many each has, leased ones as well."""
        with self._transaction("read") as database:
            return dict(
                database.execute("SELECT topic, count(*) FROM messages GROUP BY topic ORDER BY topic")
            )

    def peek(self, topic: str) -> Iterator[StoredMessage]:
        """The messages on a topic, oldest first, leased ones as well; nothing is taken."""
        last = 0
        while True:
            with self._transaction("read") as database:
                rows = database.execute(
                    "SELECT id, body, published, leased_until FROM messages"
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
        with self._transaction(f"pull from topic {topic!r} in", writes=True) as database:
            rows = database.execute(
                "SELECT id, body FROM messages WHERE topic = ? AND leased_until <= ? ORDER BY id LIMIT ?",
                (topic, now, most),
            ).fetchall()
            leased = [(number, secrets.token_hex(8), body) for number, body in rows]
            database.executemany(
                "UPDATE messages SET leased_until = ?, receipt = ? WHERE id = ?",
                [(now + lease.total_seconds(), receipt, number) for number, receipt, _ in leased],
            )
        return [LeasedMessage(f"{number}-{receipt}", body) for number, receipt, body in leased]

    def ack(self, ack_ids: Sequence[str]) -> list[str]:
        """Remove messages that are done; returns the IDs that name no message of ours any more.

        A message whose lease has run out can still be removed, until someone else leases it.
        """
        unknown = []
        with self._transaction("acknowledge in", writes=True) as database:
            for ack_id in ack_ids:
                number, _, receipt = ack_id.partition("-")
                done = database.execute(
                    "DELETE FROM messages WHERE id = ? AND receipt = ? AND receipt != ''", (number, receipt)
                )
                if not done.rowcount:
                    unknown.append(ack_id)
        return unknown

    @contextmanager
    def _transaction(
        self, operation: str, *, writes: bool = False, make: bool = False
    ) -> Iterator["sqlite3.Connection"]:
        """One transaction at a time: SQLite has one writer in any case. Translates its errors."""
        import sqlite3  # noqa: PLC0415 (only runs that use this queue should load it)

        deadline = min(monotonic() + _BUSY_TIMEOUT, self._until())
        with self._lock:
            if monotonic() >= self._until():
                raise QueueError(operation, f"the queue {self._path}", "there was no time left to do it")
            try:
                if self._connection is None:
                    self._connection = self._connect(deadline, make=make)
                # Or a hundred threads that wait for each other would each wait as long once more.
                left = max(0.0, deadline - monotonic())
                self._connection.execute(f"PRAGMA busy_timeout = {left * 1000:.0f}")
                self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._translated(operation, error) from error

    def _connect(self, deadline: float, *, make: bool) -> "sqlite3.Connection":
        import sqlite3  # noqa: PLC0415 (as above)

        if not make and not Path(self._path).exists():
            raise QueueError(
                "open", f"the queue {self._path}", "there is no such file", "has a run published yet?"
            )
        connection = sqlite3.connect(
            self._path,
            timeout=max(0.0, deadline - monotonic()),
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._write_ahead(connection, deadline)
            connection.execute("PRAGMA synchronous = FULL")
            self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _write_ahead(self, connection: "sqlite3.Connection", deadline: float) -> None:
        """Put the file into write-ahead mode, unless it is.

        Of several that do so at once with a new file, SQLite refuses all but one without waiting
        as `timeout` says, since each could wait for another. So they wait here.
        """
        import sqlite3  # noqa: PLC0415 (as above)

        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest says why
                if not busy or monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def _check_schema(self, connection: "sqlite3.Connection") -> None:
        def pragma() -> int:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return int(version)

        if pragma() == _VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            for statement in _SCHEMA.strip().split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif pragma() != _VERSION:  # nor has another process made it in the meantime
            raise QueueError(
                "open",
                f"the queue {self._path}",
                "it is a database, but not a task queue of this version",
                "correct --sqlite-path",
            )
        connection.execute("COMMIT")

    def _translated(self, operation: str, error: "sqlite3.Error") -> QueueError:
        cause = str(error)
        advice = next((advice for sign, advice in _ADVICE if sign in cause), "")
        return QueueError(operation, f"the queue {self._path}", cause, advice)
