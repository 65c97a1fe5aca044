"""What is special to the SQLite queue: leases, several processes, faults, and death."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from workflow_manager.errors import QueueError
from workflow_manager.ports import Message
from workflow_manager.queues import sqlite_file
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.testing.queue_contract import messages

MINUTE = timedelta(minutes=1)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def queue(path: Path, clock: Time) -> Iterator[SqliteQueue]:
    queue = SqliteQueue(str(path), clock)
    yield queue
    queue.close()


def test_opening_makes_nothing(queue: SqliteQueue, path: Path) -> None:
    assert not path.exists()
    queue.prepare([])
    assert path.exists()


def test_whoever_has_waited_for_its_neighbours_does_not_wait_as_long_for_others_once_more(
    queue: SqliteQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_TIMEOUT", 3600)
    queue.prepare([])
    times = iter([0, 3600, 3600])  # when it began, and when its turn came
    monkeypatch.setattr(sqlite_file, "monotonic", lambda: next(times))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(QueueError, match="another process has locked the queue"):
            queue.publish("t", messages(1))


def test_a_pulled_message_is_nobody_elses_until_its_lease_runs_out(queue: SqliteQueue, clock: Time) -> None:
    queue.publish("t", messages(2))
    (first,) = queue.pull("t", 1, MINUTE)
    (second,) = queue.pull("t", 5, MINUTE)
    assert {first.body, second.body} == {message.body for message in messages(2)}
    assert queue.pull("t", 5, MINUTE) == []
    clock.now += 61
    assert [message.body for message in queue.pull("t", 5, MINUTE)] == [first.body, second.body]


def test_an_acknowledged_message_is_gone(queue: SqliteQueue, clock: Time) -> None:
    queue.publish("t", messages(1))
    (leased,) = queue.pull("t", 1, MINUTE)
    assert queue.ack([leased.ack_id]) == []
    clock.now += 3600
    assert queue.pull("t", 1, MINUTE) == []
    assert queue.ack([leased.ack_id]) == [leased.ack_id]


def test_an_old_lease_does_not_remove_what_another_worker_has(queue: SqliteQueue, clock: Time) -> None:
    queue.publish("t", messages(1))
    (lost,) = queue.pull("t", 1, MINUTE)
    clock.now += 61
    (taken_over,) = queue.pull("t", 1, MINUTE)
    assert queue.ack([lost.ack_id]) == [lost.ack_id]
    assert queue.ack([taken_over.ack_id]) == []


@pytest.mark.parametrize("ack_id", ["", "1", "1-", "x-y", "1-' OR 1=1 --", "-"])
def test_an_id_that_nobody_was_given_removes_nothing(queue: SqliteQueue, ack_id: str) -> None:
    queue.publish("t", messages(1))
    assert queue.ack([ack_id]) == [ack_id]
    assert queue.topics() == {"t": 1}


def test_peeking_takes_nothing_and_shows_leases(queue: SqliteQueue) -> None:
    queue.publish("t", messages(1200))
    queue.pull("t", 1, MINUTE)
    seen = list(queue.browse("t"))
    assert [message.body for message in seen] == [message.body for message in messages(1200)]
    assert [message.state for message in seen[:2]] == ["leased", "waiting"]
    assert len(queue.pull("t", 2000, MINUTE)) == 1199


def test_it_counts_how_often_a_message_was_leased(queue: SqliteQueue, clock: Time) -> None:
    queue.publish("t", messages(2))
    for _ in range(3):
        queue.pull("t", 1, MINUTE)
        clock.now += 61
    assert [message.leases for message in queue.browse("t")] == [3, 0]


def test_a_topic_stays_known_when_all_its_messages_are_done(queue: SqliteQueue) -> None:
    queue.prepare(["prepared"])
    queue.publish("published", messages(1))
    (leased,) = queue.pull("published", 1, MINUTE)
    queue.ack([leased.ack_id])
    assert queue.topics() == {"prepared": 0, "published": 0}


def test_a_queue_of_the_first_version_is_brought_to_this_one(path: Path, queue: SqliteQueue) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.executescript(FIRST_VERSION)
        old.execute("INSERT INTO messages (topic, body, published) VALUES ('t', CAST('body' AS BLOB), 5)")
    assert queue.topics() == {"t": 1}
    (seen,) = queue.browse("t")
    assert (seen.body, seen.published, seen.leases) == (b"body", 5, 0)
    (leased,) = queue.pull("t", 1, MINUTE)
    assert queue.ack([leased.ack_id]) == []


def test_a_queue_of_a_later_version_is_left_alone(path: Path, queue: SqliteQueue) -> None:
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(QueueError, match="a newer version of workflow-manager created it"):
        queue.publish("t", messages(1))


def test_several_processes_take_each_message_once(path: Path, queue: SqliteQueue) -> None:
    queue.publish("t", messages(300))
    taken = [line for output in _side_by_side(TAKE_ALL, path) for line in output.splitlines()]
    assert sorted(taken) == sorted(message.body.decode() for message in messages(300))


def test_several_processes_publish_at_once(path: Path, queue: SqliteQueue) -> None:
    _side_by_side(PUBLISH_SOME, path)
    assert queue.topics() == {"t": 300}


def test_a_file_that_another_is_just_making_is_waited_for(
    path: Path, queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # of a file that is not in write-ahead mode yet
        monkeypatch.setattr(time, "sleep", lambda _: other.execute("ROLLBACK"))
        queue.prepare(["t"])
        assert not other.in_transaction, "it has waited"
    assert queue.topics() == {"t": 0}


@pytest.mark.parametrize("_attempt", range(3))
def test_every_acknowledged_message_survives_kill_9(path: Path, _attempt: int) -> None:
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISH_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert publisher.stdout is not None
    for _ in range(20):
        publisher.stdout.readline()
    publisher.send_signal(signal.SIGKILL)
    acknowledged = 20 + len(publisher.stdout.readlines())
    publisher.wait()
    publisher.stdout.close()
    survivor = SqliteQueue(str(path))
    stored = survivor.topics()["t"]
    survivor.close()
    # The last request may have been stored without our hearing of it, but only as a whole.
    assert stored in (3 * acknowledged, 3 * (acknowledged + 1))


def test_a_directory_that_does_not_exist_is_said(tmp_path: Path) -> None:
    queue = SqliteQueue(str(tmp_path / "missing" / "tasks.db"))
    with pytest.raises(QueueError, match=r"unable to open.*check that the directory exists"):
        queue.publish("t", messages(1))


def test_a_file_that_is_no_database_is_said(path: Path, queue: SqliteQueue) -> None:
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(QueueError, match=r"not a database.*--sqlite-path"):
        queue.publish("t", messages(1))
    assert path.read_bytes().startswith(b"something else")


def test_somebody_elses_database_is_left_alone(path: Path, queue: SqliteQueue) -> None:
    theirs = sqlite3.connect(str(path))
    theirs.execute("CREATE TABLE patients (id)")
    theirs.commit()
    with pytest.raises(QueueError, match="not a task queue"):
        queue.prepare([])
    assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("patients",)]
    theirs.close()


@pytest.mark.parametrize("operation", ["topics", "browse", "pull", "ack"])
def test_reading_a_queue_that_is_not_there_makes_none(queue: SqliteQueue, path: Path, operation: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "topics": queue.topics,
        "browse": lambda: list(queue.browse("t")),
        "pull": lambda: queue.pull("t", 1, MINUTE),
        "ack": lambda: queue.ack(["1-x"]),
    }
    with pytest.raises(QueueError, match=r"could not .*it does not exist"):
        calls[operation]()
    assert not path.exists()


def test_a_full_disk_loses_nothing_that_was_acknowledged(full_disk: Path) -> None:
    queue = SqliteQueue(str(full_disk / "tasks.db"))
    try:
        queue.prepare(["t"])
        acknowledged, error = _publish_until_it_fails(queue)
        assert "free space" in str(error)
        assert len(list(queue.browse("t"))) == acknowledged
    finally:
        queue.close()


def _publish_until_it_fails(queue: SqliteQueue) -> tuple[int, QueueError]:
    for number in range(1000):
        try:
            queue.publish("t", [Message(b"x" * 4000, "g", "k")] * 2)
        except QueueError as error:
            return 2 * number, error
    raise AssertionError("the disk never was full")


FIRST_VERSION = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    body BLOB NOT NULL,
    published REAL NOT NULL,
    leased_until REAL NOT NULL DEFAULT 0,
    receipt TEXT NOT NULL DEFAULT ''
);
CREATE INDEX messages_by_topic ON messages (topic, id);
PRAGMA user_version = 1;
"""

PUBLISH_FOR_EVER = """
import sys
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.testing.queue_contract import messages
queue = SqliteQueue(sys.argv[1])
while True:
    queue.publish("t", messages(3))
    print("acknowledged", flush=True)
"""


TAKE_ALL = """
import sys
from datetime import timedelta
from workflow_manager.queues.sqlite import SqliteQueue
queue = SqliteQueue(sys.argv[1])
while leased := queue.pull("t", 7, timedelta(minutes=1)):
    for message in leased:
        print(message.body.decode())
"""

PUBLISH_SOME = """
import sys
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.testing.queue_contract import messages
queue = SqliteQueue(sys.argv[1])
for number in range(20):
    queue.publish("t", messages(5))
"""


def _side_by_side(program: str, path: Path) -> list[str]:
    """Run a program in three processes at once; what each prints."""
    command = [sys.executable, "-c", program, str(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    return outputs
