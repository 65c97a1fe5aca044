"""What is special to each service's dead letters and numbers, on its real server or emulator."""

import json
import uuid
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import ConsumerConfig
from redis import Redis

from servers import moto, pubsub
from servers.fixtures import KEYS
from workflow_manager.errors import QueueError
from workflow_manager.ports import Settings
from workflow_manager.queues.nats import NatsQueue
from workflow_manager.queues.pubsub import PubSubQueue
from workflow_manager.queues.redis import RedisQueue
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.queues.sqs import SqsQueue
from workflow_manager.testing.queue_contract import messages
from workflow_manager.testing.redrive_contract import LEASE, take_all

MINUTE = timedelta(minutes=1)


class TestSqlite:
    def test_a_message_that_was_leased_too_often_is_moved_to_the_dead_letters(self, tmp_path: Path) -> None:
        now = [1000.0]
        queue = SqliteQueue(str(tmp_path / "tasks.db"), lambda: now[0], max_deliveries=3)
        queue.publish("t", messages(1))
        for _ in range(3):
            assert len(queue.pull("t", 1, MINUTE)) == 1
            now[0] += 61
        assert queue.pull("t", 1, MINUTE) == []
        stats = queue.stats("t")
        assert (stats.waiting, stats.leased, stats.dead, stats.dead_letters) == (0, 0, 1, "t.dead-letters")
        with closing(queue.dead_letters("t.dead-letters", "t", LEASE)) as letters:
            (letter,) = letters.take(5)
        assert letter.body == messages(1)[0].body
        queue.close()

    def test_one_that_is_still_leased_for_the_last_time_is_not(self, tmp_path: Path) -> None:
        now = [1000.0]
        queue = SqliteQueue(str(tmp_path / "tasks.db"), lambda: now[0], max_deliveries=1)
        queue.publish("t", messages(1))
        (leased,) = queue.pull("t", 1, MINUTE)
        assert queue.pull("t", 1, MINUTE) == []
        assert queue.stats("t").leased == 1
        assert queue.ack([leased.ack_id]) == []
        queue.close()

    def test_dead_letters_do_not_die_again(self, tmp_path: Path) -> None:
        now = [1000.0]
        queue = SqliteQueue(str(tmp_path / "tasks.db"), lambda: now[0], max_deliveries=1)
        queue.publish("t.dead-letters", messages(1))
        for _ in range(4):
            assert len(queue.pull("t.dead-letters", 1, MINUTE)) == 1
            now[0] += 61
        queue.close()

    def test_the_oldest_is_told_in_seconds(self, tmp_path: Path) -> None:
        now = [1000.0]
        queue = SqliteQueue(str(tmp_path / "tasks.db"), lambda: now[0])
        queue.publish("t", messages(1))
        now[0] += 90
        queue.publish("t", messages(1))
        assert queue.stats("t").oldest_seconds == 90
        queue.close()


class TestRedis:
    def test_the_slowest_consumer_group_counts(self, redis_url: str) -> None:
        client: Any = Redis.from_url(redis_url)
        client.flushall()
        queue = RedisQueue.open(Settings(options={"redis-url": redis_url}))
        queue.publish("t", messages(5))
        for group, reads in (("fast", 5), ("slow", 2)):
            client.xgroup_create("t", group, "0")
            client.xreadgroup(group, "worker", {"t": ">"}, count=reads)
        client.xack("t", "fast", *[entry for entry, _ in client.xrange("t")])
        stats = queue.stats("t")
        assert stats.leased == 2
        assert stats.waiting == 3 or (stats.waiting is None and "only Redis 7" in stats.elsewhere)
        queue.close()
        client.close()


class TestNats:
    def test_what_a_consumer_gave_up_is_put_back_by_its_advisories(self, nats_url: str) -> None:
        name = uuid.uuid4().hex[:8]
        queue = NatsQueue.open(Settings(options={"nats-url": nats_url, "nats-create-stream": name}))
        subject, advisories = f"{name}.intake", f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.worker"
        queue.prepare([subject])
        queue.publish(subject, messages(2))

        async def give_up() -> None:
            stream = (await queue._connected()).jetstream()
            await stream.add_stream(name=f"{name}-dead", subjects=[f"{advisories.rpartition('.')[0]}.>"])
            config = ConsumerConfig(max_deliver=1, ack_wait=0.1)
            worker = await stream.pull_subscribe(subject, "worker", config=config)
            await worker.fetch(2, timeout=10)
            while (await stream.stream_info(f"{name}-dead")).state.messages < 2:
                with suppress(TimeoutError):  # the server gives a message up when it is asked for more
                    await worker.fetch(1, timeout=0.2)

        queue._run("give up", subject, give_up())
        queue.publish(subject, messages(3)[2:])
        assert queue.stats(subject).waiting == 1
        with closing(queue.dead_letters(advisories, subject, LEASE)) as letters:
            taken = take_all(letters, 10)
            assert sorted(letter.body for letter in taken) == [message.body for message in messages(2)]
            assert list(letters.remove(taken)) == [None, None]
        assert [seen.body for seen in queue.browse(subject)] == [messages(3)[2].body]
        assert list(queue.browse(advisories)) == []
        queue.close()

    def test_a_wildcard_that_takes_in_the_topic_is_refused(self, nats_url: str) -> None:
        queue = NatsQueue.open(Settings(options={"nats-url": nats_url, "nats-create-stream": "w"}))
        queue.prepare(["w.intake"])
        with pytest.raises(QueueError, match="tasks are published to it"):
            queue.dead_letters("w.*", "w.intake", LEASE)
        queue.close()


class TestSqs:
    def test_the_dead_letter_queue_is_found_and_counted(self, moto_url: str) -> None:
        name, dead = uuid.uuid4().hex, uuid.uuid4().hex
        url, _ = moto.make_queue(moto_url, name), moto.make_queue(moto_url, dead)
        arn = f"arn:aws:sqs:{moto.REGION}:{moto.ACCOUNT}:{dead}"
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
        moto.set_queue_attribute(moto_url, url, "RedrivePolicy", policy)
        options = {"aws-sqs-region": moto.REGION}
        queue = SqsQueue.open(Settings(options, environ={"AWS_ENDPOINT_URL": moto_url, **KEYS}))
        queue.publish(dead, messages(2))
        stats = queue.stats(name)
        assert (stats.waiting, stats.leased, stats.dead, stats.dead_letters) == (0, 0, 2, dead)
        assert "ApproximateAgeOfOldestMessage" in stats.elsewhere
        queue.close()


class TestPubSub:
    def test_the_dead_letter_topic_and_where_to_look_are_told(self, pubsub_url: str) -> None:
        project = f"p-{uuid.uuid4()}"
        options = {"gcp-project-id": project, "gcp-pubsub-create-topics": True}
        queue = PubSubQueue.open(Settings(options, environ={"PUBSUB_EMULATOR_HOST": pubsub_url}))
        queue.prepare(["dead"])
        pubsub.call(pubsub_url, "PUT", f"projects/{project}/topics/intake", {})
        assert "messages are lost" in queue.stats("intake").elsewhere
        dead = f"projects/{project}/topics/dead"
        pubsub.call(
            pubsub_url,
            "PUT",
            f"projects/{project}/subscriptions/worker",
            {
                "topic": f"projects/{project}/topics/intake",
                "deadLetterPolicy": {"deadLetterTopic": dead, "maxDeliveryAttempts": 5},
            },
        )
        stats = queue.stats("intake")
        assert stats.dead_letters == dead
        assert f"projects/{project}/subscriptions/worker" in stats.elsewhere
        queue.close()

    def test_the_subscription_of_the_topic_itself_is_refused(self, pubsub_url: str) -> None:
        project = f"p-{uuid.uuid4()}"
        options = {"gcp-project-id": project, "gcp-pubsub-create-topics": True}
        queue = PubSubQueue.open(Settings(options, environ={"PUBSUB_EMULATOR_HOST": pubsub_url}))
        queue.prepare(["intake"])
        with pytest.raises(QueueError, match="it gets what is published to intake"):
            queue.dead_letters("intake", "intake", LEASE)
        queue.close()
