"""The queue contract, over every kind of queue."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from nats.js.errors import NotFoundError
from redis import Redis

from servers.kubernetes import ControlPlane
from support.jobs import jobs, jobs_queue, message_of
from workflow_manager.ports import Settings, TaskQueue
from workflow_manager.queues.in_memory import MemoryQueue
from workflow_manager.queues.nats import NatsQueue
from workflow_manager.queues.rabbitmq import RabbitQueue
from workflow_manager.queues.redis import FIELD, RedisQueue
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.testing.inspect_contract import InspectContract
from workflow_manager.testing.queue_contract import QueueContract
from workflow_manager.testing.redrive_contract import RedriveContract, publish_all


class TestMemoryQueue(QueueContract, InspectContract, RedriveContract):
    @pytest.fixture
    def queue(self) -> TaskQueue:
        return MemoryQueue.open(Settings())

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        assert isinstance(queue, MemoryQueue)
        return [message.body for message in queue.published.get(topic, [])]


class TestSqliteQueue(QueueContract, InspectContract, RedriveContract):
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


class TestRedisQueue(QueueContract, InspectContract, RedriveContract):
    @pytest.fixture
    def queue(self, redis_url: str) -> Iterator[TaskQueue]:
        Redis.from_url(redis_url).flushall()
        queue = RedisQueue.open(Settings(options={"redis-url": redis_url}))
        yield queue
        queue.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        assert isinstance(queue, RedisQueue)
        entries: Any = queue._client.xrange(topic)
        return [fields[FIELD.encode()] for _, fields in entries]


class TestNatsQueue(QueueContract, InspectContract, RedriveContract):
    @pytest.fixture
    def queue(self, nats_url: str) -> Iterator[TaskQueue]:
        self.url = nats_url
        queue = NatsQueue.open(Settings(options={"nats-url": nats_url, "nats-create-stream": "tasks"}))
        for stream in ("tasks", "dead"):
            queue._run("delete", "stream", self._forget(queue, stream))
        queue.prepare(["intake", "aggregate"])
        yield queue
        queue.close()

    def bury(self, queue: TaskQueue, bodies: Sequence[bytes]) -> None:
        other = NatsQueue.open(Settings(options={"nats-url": self.url, "nats-create-stream": "dead"}))
        other.prepare([self.source])
        publish_all(other, self.source, bodies)
        other.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        assert isinstance(queue, NatsQueue)
        return queue._run("pull", topic, self._pull(queue, topic, count))

    async def _forget(self, queue: NatsQueue, stream: str) -> None:
        with suppress(NotFoundError):
            await (await queue._connected()).jetstream().delete_stream(stream)

    async def _pull(self, queue: NatsQueue, topic: str, count: int) -> list[bytes]:
        stream = (await queue._connected()).jetstream()
        subscription = await stream.pull_subscribe(topic, durable=f"worker-{topic}")
        found: list[bytes] = []
        while len(found) < count:
            for message in await subscription.fetch(count - len(found), timeout=5):
                await message.ack()
                found.append(message.data)
        await subscription.unsubscribe()
        return found


class TestKubernetesJobs(QueueContract, InspectContract):
    @pytest.fixture
    def queue(self, control_plane: ControlPlane, tmp_path: Path) -> Iterator[TaskQueue]:
        self.plane, self.namespace = control_plane, control_plane.namespace()
        queue = jobs_queue(control_plane, self.namespace, tmp_path)
        queue.prepare(["intake", "aggregate"])
        yield queue
        queue.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        found = jobs(self.plane, self.namespace, f"workflow-manager/task={topic}")
        return [message_of(self.plane, job) for job in found]


class TestRabbitQueue(QueueContract, InspectContract, RedriveContract):
    stable_ids: ClassVar[bool] = False

    @pytest.fixture
    def queue(self, rabbitmq_url: str) -> Iterator[TaskQueue]:
        options = {"rabbitmq-url": rabbitmq_url, "rabbitmq-declare-queues": True}
        queue = RabbitQueue.open(Settings(options=options))
        topics = ["intake", "aggregate", "dead-letters"]
        queue.prepare(topics)
        for topic in topics:
            with queue._session("purge", topic) as channel:
                channel.queue_purge(topic)
        yield queue
        queue.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        assert isinstance(queue, RabbitQueue)
        found: list[bytes] = []
        with queue._session("read", topic) as channel:
            while len(found) < count:
                method, _, body = channel.basic_get(topic, auto_ack=True)
                if method is None or body is None:
                    break
                found.append(body)
        return found
