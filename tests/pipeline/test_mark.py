"""Which markers are written together, and how many tasks may be published before they are marked."""

import threading
import time
from collections.abc import Sequence

from support.harness import Events
from workflow_manager.core.names import Batch
from workflow_manager.core.task_messages import IntakeTask
from workflow_manager.errors import StorageError
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.pipeline.mark import GROWTH, TOGETHER, Acknowledged, MarkerWriter, UnmarkedLimit
from workflow_manager.storage.memory import MemoryStore


class OneAtATime(MemoryStore):
    """Writes nothing before it may, and notes down how many it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()
        self.sizes: list[int] = []

    def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[StorageError | None]:
        self.sizes.append(len(objects))
        self.may_write.wait()
        return super().put_many(objects)


def acknowledged(*ids: int) -> list[Acknowledged]:
    return [Acknowledged(IntakeTask("agg", Batch("2026/11/22/17/05", str(one))), "trace") for one in ids]


def test_markers_of_several_requests_are_written_together() -> None:
    store, events = OneAtATime(), Events()
    writer = MarkerWriter(store, Ledger(events, dry_run=False), events, workers=TOGETHER)

    def submit() -> None:
        for ids in (range(4, 10), range(10, 16)):
            writer.submit(acknowledged(*ids), "topic")

    writer.submit(acknowledged(*range(4)), "topic")
    while not store.sizes:
        time.sleep(0.001)
    submitting = threading.Thread(target=submit)
    submitting.start()
    while len(writer._waiting) < 12:  # until both wait for the first write
        time.sleep(0.001)
    store.may_write.set()
    submitting.join()
    writer.drain()
    assert store.sizes == [4, 12]
    assert len([key for page in store.list_keys("task-markers/") for key in page]) == 16


def test_a_request_takes_the_room_that_there_is() -> None:
    limit = UnmarkedLimit(20, 256)
    assert limit.take(100) == 20
    limit.give_back(16, marked=True)
    assert limit.take(100) == 16 + GROWTH * 16
    limit.give_back(64, marked=True)
    assert limit.take(1000) == 256 - 4


def test_a_request_waits_for_a_quarter_of_the_room() -> None:
    limit = UnmarkedLimit(20, 256)
    assert limit.take(20) == 20
    taken: list[int] = []
    waiting = threading.Thread(target=lambda: taken.append(limit.take(40)))
    waiting.start()
    limit.give_back(4, marked=False)
    waiting.join(0.05)
    assert not taken, "a request for each marker that is written would be many"
    limit.give_back(1, marked=False)
    waiting.join()
    assert taken == [5]


def test_nobody_waits_for_more_than_is_wanted() -> None:
    limit = UnmarkedLimit(20, 256)
    assert limit.take(19) == 19
    assert limit.take(1) == 1
