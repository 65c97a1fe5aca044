"""A durable task queue in one SQLite file, for one machine: no server, no account.

Publishing is one transaction a request, in write-ahead mode with full synchronisation,
so that an acknowledged message survives the death of the process and of the machine.
The consumer's side (`browse`, `pull`, `ack`) is what the `tasks` command shows. A message that was
leased `sqlite-max-deliveries` times, and not acknowledged, is moved to the topic's dead letters.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from workflow_manager import flag_types
from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings, never
from workflow_manager.queue_ports import DeadLetter, DeadLetters, LeasedMessage, QueuedMessage, TopicStats
from workflow_manager.queues.sqlite_file import SqliteFile

if TYPE_CHECKING:
    import sqlite3

DEAD_LETTERS = ".dead-letters"  # behind the name of a topic: where its dead letters are
MAX_DELIVERIES = 5
_PAGE = 500


def _path(text: str) -> str:
    if text == ":memory:" or text.startswith("file:"):  # SQLite's names for what may be gone with the process
        raise ValueError("not the path of a file")
    return text


class SqliteQueue:
    """A queue in the file `sqlite-path`, which is made when the first run prepares it."""

    kind: ClassVar[str] = "sqlite"
    options: ClassVar[tuple[Option, ...]] = (
        Option("sqlite-path", "file of the queue; created if it does not exist", parse=_path, required=True),
        Option(
            "sqlite-max-deliveries",
            "number of leases after which a task is moved to TOPIC.dead-letters",
            str(MAX_DELIVERIES),
            flag_types.at_least_one,
        ),
    )
    # A request is what a run that is killed may repeat: no more than pays for the disk's part of it.
    limits: ClassVar[Limits] = Limits(messages=100, request_bytes=16_000_000, message_bytes=16_000_000)

    def __init__(
        self,
        path: str,
        clock: Callable[[], float] = time.time,
        until: Callable[[], float] = never,
        *,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> None:
        self._file = SqliteFile(path, until)
        self._clock = clock
        self._max_deliveries = max_deliveries

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The queue in the file that the settings name."""
        most = settings.options.get("sqlite-max-deliveries")
        return cls(
            str(settings.options["sqlite-path"]),
            until=settings.retry_policy.until,
            max_deliveries=most if isinstance(most, int) else MAX_DELIVERIES,
        )

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
            return "the first run creates the file"
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

    def topic_names(self) -> Sequence[str]:
        """See TopicDirectory."""
        return list(self.topics())

    def stats(self, topic: str) -> TopicStats:
        """See Inspectable."""
        now = self._clock()
        count = (
            "SELECT count(*), min(published), coalesce(sum(leased_until > ?), 0)"
            " FROM messages WHERE topic = ?"
        )
        with self._file.transaction("read") as database:
            self._known(database, topic)
            total, oldest, leased = database.execute(count, (now, topic)).fetchone()
            (dead, _, _) = database.execute(count, (now, topic + DEAD_LETTERS)).fetchone()
        age = None if oldest is None else max(0.0, now - oldest)
        return TopicStats(total - leased, leased, age, dead, topic + DEAD_LETTERS)

    def browse(self, topic: str) -> Iterator[QueuedMessage]:
        """See Browsable."""
        last = 0
        while True:
            with self._file.transaction("read") as database:
                self._known(database, topic)
                rows = database.execute(
                    "SELECT id, body, published, leased_until, deliveries FROM messages"
                    " WHERE topic = ? AND id > ? ORDER BY id LIMIT ?",
                    (topic, last, _PAGE),
                ).fetchall()
            now = self._clock()
            for last, body, published, leased_until, deliveries in rows:
                state = "leased" if leased_until > now else "waiting"
                yield QueuedMessage(str(last), body, published, state, deliveries)
            if len(rows) < _PAGE:
                return

    def dead_letters(self, source: str, topic: str, lease: timedelta) -> DeadLetters:
        """See Redrivable. Any topic can be the source."""
        with self._file.transaction("read") as database:
            self._known(database, source)
            self._known(database, topic)
        if source == topic:
            raise QueueError("redrive from", f"topic {source}", "tasks are published to it", "correct --from")
        return _TakenLetters(self, source, lease)

    def pull(self, topic: str, most: int, lease: timedelta) -> list[LeasedMessage]:
        """Take up to `most` messages that nobody has, oldest first, for as long as `lease`."""
        now = self._clock()
        with self._file.transaction(f"pull from topic {topic!r} in", writes=True) as database:
            self._known(database, topic)
            self._bury(database, topic, now)
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

    def release(self, ack_ids: Sequence[str]) -> None:
        """End the leases of messages, so that anyone may take them at once."""
        with self._file.transaction("release in", writes=True) as database:
            database.executemany(
                "UPDATE messages SET leased_until = 0, receipt = '' WHERE id = ? AND receipt = ?",
                [ack_id.partition("-")[::2] for ack_id in ack_ids],
            )

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

    def _bury(self, database: "sqlite3.Connection", topic: str, now: float) -> None:
        """Move the messages that were leased too often, and that nobody has, to the dead letters."""
        if topic.endswith(DEAD_LETTERS):
            return
        buried = database.execute(
            "UPDATE messages SET topic = ?, receipt = ''"
            " WHERE topic = ? AND leased_until <= ? AND deliveries >= ?",
            (topic + DEAD_LETTERS, topic, now, self._max_deliveries),
        )
        if buried.rowcount:
            _add_topics(database, [topic + DEAD_LETTERS])

    def _known(self, database: "sqlite3.Connection", topic: str) -> None:
        """Raise QueueError if there is no such topic."""
        names = [name for (name,) in database.execute("SELECT name FROM topics ORDER BY name")]
        if topic not in names:
            there = f"existing topics: {', '.join(names)}" if names else "the queue has no topics"
            cause = f"it does not exist; {there}"
            raise QueueError("find", f"topic {topic}", cause, "correct the topic's name")


class _TakenLetters:
    """See DeadLetters: leases of messages on a topic."""

    def __init__(self, queue: SqliteQueue, source: str, lease: timedelta) -> None:
        self._queue = queue
        self._source = source
        self._lease = lease
        self._held: set[str] = set()

    def take(self, most: int) -> Sequence[DeadLetter]:
        """See DeadLetters."""
        leased = self._queue.pull(self._source, most, self._lease)
        self._held.update(message.ack_id for message in leased)
        return [
            DeadLetter(message.ack_id.partition("-")[0], message.body, message.ack_id) for message in leased
        ]

    def remove(self, letters: Sequence[DeadLetter]) -> Sequence[QueueError | None]:
        """See DeadLetters."""
        unknown = set(self._queue.ack([letter.receipt for letter in letters]))
        self._held.difference_update(letter.receipt for letter in letters)
        gone = QueueError(
            "remove from", f"topic {self._source}", "the lease has ended", "use a longer --lease"
        )
        return [gone if letter.receipt in unknown else None for letter in letters]

    def close(self) -> None:
        """See DeadLetters."""
        self._queue.release(sorted(self._held))


def _add_topics(database: "sqlite3.Connection", topics: Sequence[str]) -> None:
    database.executemany("INSERT OR IGNORE INTO topics VALUES (?)", [(topic,) for topic in topics])
