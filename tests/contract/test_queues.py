"""The queue contract, over every kind of queue that needs no server."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from workflow_manager.ports import Settings, TaskQueue
from workflow_manager.queues.memory import MemoryQueue
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.testing.queue_contract import QueueContract


class TestMemoryQueue(QueueContract):
    @pytest.fixture
    def queue(self) -> TaskQueue:
        return MemoryQueue.open(Settings())

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        assert isinstance(queue, MemoryQueue)
        return [message.body for message in queue.published.get(topic, [])]


class TestSqliteQueue(QueueContract):
    @pytest.fixture
    def queue(self, tmp_path: Path) -> Iterator[TaskQueue]:
        queue = SqliteQueue.open(Settings(options={"sqlite-path": str(tmp_path / "tasks.db")}))
        queue.prepare(["intake", "aggregate"])
        yield queue
        queue.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        assert isinstance(queue, SqliteQueue)
        leased = queue.pull(topic, count + 1, timedelta(minutes=1))
        assert queue.ack([message.ack_id for message in leased]) == []
        return [message.body for message in leased]
