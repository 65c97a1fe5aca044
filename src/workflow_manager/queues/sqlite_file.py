"""The file of an SQLite task queue: transactions, waiting for other writers, the schema and its versions."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from workflow_manager.errors import QueueError
from workflow_manager.ports import never

if TYPE_CHECKING:
    import sqlite3

_BUSY_TIMEOUT = 30.0  # seconds to wait for other writers, in this process and in others
_PAUSE = 0.01  # seconds between tries where SQLite does not wait by itself
_VERSION = 2
_SCHEMA = (
    """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        body BLOB NOT NULL,
        published REAL NOT NULL,
        leased_until REAL NOT NULL DEFAULT 0,
        receipt TEXT NOT NULL DEFAULT '',
        deliveries INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX messages_by_topic ON messages (topic, id)",
    "CREATE TABLE topics (name TEXT PRIMARY KEY) WITHOUT ROWID",
)
# From each version to the next.
_MIGRATIONS = {
    1: (
        "ALTER TABLE messages ADD COLUMN deliveries INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE topics (name TEXT PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO topics SELECT DISTINCT topic FROM messages",
    ),
}
_ADVICE = (
    ("unable to open", "check that the directory exists and that this user may write to it"),
    ("disk is full", "free space on the disk; tasks that are not in the queue remain due"),
    ("disk I/O error", "check the disk; tasks that are not in the queue remain due"),
    ("locked", "another process has locked the queue; end it, or try again"),
    ("readonly", "grant this user write permission for the file and its directory"),
    ("not a database", "this file is not a task queue: correct --sqlite-path"),
    ("malformed", "the file is damaged: move it away, and delete the markers of the tasks that it held"),
)


class SqliteFile:
    """A file with the tables of a queue. One transaction at a time: SQLite has one writer in any case."""

    def __init__(self, path: str, until: Callable[[], float] = never) -> None:
        self.path = path
        self._until = until
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(
        self, operation: str, *, writes: bool = False, make: bool = False
    ) -> Iterator["sqlite3.Connection"]:
        """One transaction; raises QueueError, also if there is no such file and it is not to be made."""
        import sqlite3  # noqa: PLC0415 (only runs that use this queue should load it)

        deadline = min(monotonic() + _BUSY_TIMEOUT, self._until())
        with self._lock:
            if monotonic() >= self._until():
                raise QueueError(operation, f"the queue {self.path}", "there was no time left to do it")
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

        if not make and not Path(self.path).exists():
            raise self._refusal(
                "it does not exist", "check --sqlite-path; the first run that publishes creates the file"
            )
        connection = sqlite3.connect(
            self.path,
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
        """Make the tables in a new file, and bring those of an earlier version to this one."""
        if _version(connection) == _VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # another process may have changed it in the meantime
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version > _VERSION:
            raise self._refusal("a newer version of workflow-manager created it", "upgrade workflow-manager")
        if tables and not version:
            raise self._refusal("it is a database, but not a task queue", "correct --sqlite-path")
        statements: Sequence[str] = _SCHEMA
        if version:
            steps = range(version, _VERSION)
            statements = [statement for step in steps for statement in _MIGRATIONS[step]]
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")

    def _refusal(self, cause: str, advice: str) -> QueueError:
        return QueueError("open", f"the queue {self.path}", cause, advice)

    def _translated(self, operation: str, error: "sqlite3.Error") -> QueueError:
        cause = str(error)
        advice = next((advice for sign, advice in _ADVICE if sign in cause), "")
        return QueueError(operation, f"the queue {self.path}", cause, advice)


def _version(connection: "sqlite3.Connection") -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
