"""The queue contract, over the queues of both clouds, on servers that the tests start."""

import uuid
from collections.abc import Iterator, Sequence

import pytest

from servers import moto, pubsub
from servers.fixtures import KEYS
from workflow_manager.ports import Settings, TaskQueue
from workflow_manager.queues.pubsub import PubSubQueue
from workflow_manager.queues.sns import SnsQueue
from workflow_manager.queues.sqs import SqsQueue
from workflow_manager.testing.inspect_contract import InspectContract
from workflow_manager.testing.queue_contract import QueueContract
from workflow_manager.testing.redrive_contract import RedriveContract, publish_all


class TestPubSubOnTheEmulator(QueueContract, InspectContract, RedriveContract):
    @pytest.fixture
    def queue(self, pubsub_url: str) -> Iterator[TaskQueue]:
        self.url = pubsub_url
        self.project = f"p-{uuid.uuid4()}"
        options = {"gcp-project-id": self.project, "gcp-pubsub-create-topics": True}
        queue = PubSubQueue.open(Settings(options, environ={"PUBSUB_EMULATOR_HOST": pubsub_url}))
        queue.prepare([self.topic, self.other_topic, self.source])
        yield queue
        queue.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        return pubsub.pull(self.url, f"projects/{self.project}/subscriptions/{topic}", count)


class TestSnsToSqsOnMoto(QueueContract, InspectContract, RedriveContract):
    @pytest.fixture
    def queue(self, moto_url: str) -> Iterator[TaskQueue]:
        self.url = moto_url
        self.topic, self.other_topic = (moto.make_topic(moto_url, uuid.uuid4().hex) for _ in range(2))
        self.source = uuid.uuid4().hex
        moto.make_queue(moto_url, self.source)
        self.unknown_topic = f"{self.topic}-not-there"
        options = {"aws-sns-region": moto.REGION}
        queue = SnsQueue.open(Settings(options, environ={"AWS_ENDPOINT_URL": moto_url, **KEYS}))
        yield queue
        queue.close()

    def bury(self, queue: TaskQueue, bodies: Sequence[bytes]) -> None:
        options = {"aws-sqs-region": moto.REGION}
        other = SqsQueue.open(Settings(options, environ={"AWS_ENDPOINT_URL": self.url, **KEYS}))
        publish_all(other, self.source, bodies)
        other.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        return moto.receive(self.url, topic.rpartition(":")[2], count)


class TestSqsOnMoto(QueueContract, InspectContract, RedriveContract):
    @pytest.fixture
    def queue(self, moto_url: str) -> Iterator[TaskQueue]:
        self.url = moto_url
        self.topic = uuid.uuid4().hex
        moto.make_queue(moto_url, self.topic)
        self.other_topic = moto.make_queue(moto_url, uuid.uuid4().hex)
        self.source = uuid.uuid4().hex
        moto.make_queue(moto_url, self.source)
        options = {"aws-sqs-region": moto.REGION}
        queue = SqsQueue.open(Settings(options, environ={"AWS_ENDPOINT_URL": moto_url, **KEYS}))
        yield queue
        queue.close()

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        return moto.receive(self.url, topic.rpartition("/")[2], count)
