"""What is special to RabbitMQ: one connection for all threads, and the outcome of each message."""

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from servers.counting_proxy import CountingProxy, counting_proxy
from workflow_manager.errors import QueueError
from workflow_manager.ports import Message, RetryPolicy, Settings
from workflow_manager.queues.rabbitmq import RabbitQueue
from workflow_manager.testing.queue_contract import messages

QUICK = RetryPolicy(connect_timeout=5, read_timeout=20, tries=1, total_timeout=30)


@contextmanager
def opened(url: str, retry_policy: RetryPolicy = QUICK) -> Iterator[RabbitQueue]:
    options = {"rabbitmq-url": url, "rabbitmq-declare-queues": False}
    queue = RabbitQueue.open(Settings(options=options, retry_policy=retry_policy))
    try:
        yield queue
    finally:
        queue.close()


@pytest.fixture
def proxy(rabbitmq_url: str) -> Iterator[CountingProxy]:
    with counting_proxy(urlsplit(rabbitmq_url).netloc.rpartition("@")[2]) as proxy:
        yield proxy


@pytest.fixture
def queue(proxy: CountingProxy) -> Iterator[RabbitQueue]:
    with opened(f"amqp://guest:guest@{proxy.address}/") as queue:
        yield queue


@pytest.fixture
def topic(rabbitmq_url: str) -> str:
    """A queue with nothing in it."""
    return declared(rabbitmq_url)


def declared(url: str, arguments: dict[str, object] | None = None) -> str:
    topic = uuid.uuid4().hex
    with opened(url) as queue, queue._session("declare", topic) as channel:
        channel.queue_declare(topic, durable=True, arguments=arguments)
    return topic


def waiting(url: str, topic: str) -> int:
    with opened(url) as queue, queue._session("find", topic) as channel:
        return int(channel.queue_declare(topic, passive=True).method.message_count)


def test_a_hundred_threads_share_one_connection(
    queue: RabbitQueue, proxy: CountingProxy, topic: str, rabbitmq_url: str
) -> None:
    at_once = threading.Barrier(100)

    def publish(number: int) -> list[QueueError | None]:
        at_once.wait()
        return list(queue.publish(topic, messages(5, f"thread-{number}")))

    with ThreadPoolExecutor(100) as pool:
        assert all(outcomes == [None] * 5 for outcomes in pool.map(publish, range(100)))
    assert proxy.accepted == 1
    assert waiting(rabbitmq_url, topic) == 500


def test_checks_that_fail_leave_no_connection_open(queue: RabbitQueue, proxy: CountingProxy) -> None:
    for _ in range(10):
        with pytest.raises(QueueError, match="it does not exist"):
            queue.check("no-such-queue")
    assert proxy.accepted == 10
    while proxy.open:
        time.sleep(0.01)  # the test's time limit ends it


def test_each_message_has_its_own_outcome(queue: RabbitQueue, topic: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        topics = [topic, "nobody-listens"] * 10
        outcomes = list(pool.map(lambda name: queue.publish(name, messages(20)), topics))
    for name, outcome in zip(topics, outcomes, strict=True):
        if name == topic:
            assert list(outcome) == [None] * 20
        else:
            assert all("it does not exist" in str(error) for error in outcome)


def test_a_queue_that_is_full_refuses_what_it_has_no_room_for(rabbitmq_url: str) -> None:
    topic = declared(rabbitmq_url, {"x-max-length": 3, "x-overflow": "reject-publish"})
    with opened(rabbitmq_url) as queue:
        outcomes = queue.publish(topic, messages(5))
    refused = [error for error in outcomes if error is not None]
    assert len(refused) == 5 - waiting(rabbitmq_url, topic) > 0
    assert "the broker refused the message (check whether the queue is full" in str(refused[0])


def test_a_name_that_amqp_cannot_carry_fails_and_others_go_on(queue: RabbitQueue, topic: str) -> None:
    assert all(queue.publish("x" * 300, messages(2)))
    assert list(queue.publish(topic, messages(2))) == [None, None]


def test_a_broken_connection_is_made_anew_and_nobody_waits_for_ever(
    queue: RabbitQueue, proxy: CountingProxy, topic: str, rabbitmq_url: str
) -> None:
    confirmed = 0
    for number in range(5):
        confirmed += list(queue.publish(topic, messages(50, str(number)))).count(None)
        proxy.break_all()
    with ThreadPoolExecutor(10) as pool:
        breaking = pool.submit(_break_again_and_again, proxy)
        confirmed += sum(pool.map(lambda _: _confirmed(queue, topic), range(50)))
        breaking.result()
    assert list(queue.publish(topic, messages(1))) == [None]
    assert waiting(rabbitmq_url, topic) >= confirmed + 1


def test_a_server_that_says_nothing_is_not_waited_for(recwarn: pytest.WarningsRecorder) -> None:
    impatient = RetryPolicy(connect_timeout=1, read_timeout=1, tries=1, total_timeout=1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/"
        with opened(url, impatient) as queue, pytest.raises(QueueError, match="--rabbitmq-url"):
            queue.publish("intake", messages(1))
    assert [str(warning.message) for warning in recwarn] == []


def _break_again_and_again(proxy: CountingProxy) -> None:
    for _ in range(200):
        proxy.break_all()


def _confirmed(queue: RabbitQueue, topic: str) -> int:
    try:
        return list(queue.publish(topic, [Message(b"{}", "a", "k")] * 5)).count(None)
    except QueueError:
        return 0
