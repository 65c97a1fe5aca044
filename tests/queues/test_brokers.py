"""What is special to the queues on Redis, RabbitMQ and NATS, and what they say when they fail."""

import gc
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis

from workflow_manager import registry
from workflow_manager.errors import ConfigError, QueueError
from workflow_manager.ports import RetryPolicy, Settings, TaskQueue
from workflow_manager.testing.queue_contract import messages

SECRET = "hunter2"
NOWHERE = [
    ("redis", {"redis-url": f"redis://:{SECRET}@127.0.0.1:1/0"}),
    ("rabbitmq", {"rabbitmq-url": f"amqp://u:{SECRET}@127.0.0.1:1/"}),
    ("nats", {"nats-url": f"nats://u:{SECRET}@127.0.0.1:1"}),
]


def open_queue(kind: str, options: dict[str, object]) -> TaskQueue:
    retry_policy = RetryPolicy(connect_timeout=1, read_timeout=2, tries=1, total_timeout=5)
    return registry.queue(kind).open(Settings(options=options, retry_policy=retry_policy))


@pytest.mark.parametrize(("kind", "options"), NOWHERE)
def test_opening_sends_nothing_and_an_unreachable_server_is_told_without_its_password(
    kind: str, options: dict[str, object]
) -> None:
    queue = open_queue(kind, options)
    told = str(_refusal(queue))
    with pytest.raises(QueueError):
        queue.check("intake")
    queue.close()
    assert "intake" in told
    assert f"--{kind}-url" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("rabbitmq", f"amqp://u:{SECRET}@host:port/"),
        ("redis", f"redis://:{SECRET}@host:port/0"),
        ("redis", f"{SECRET}.example.com"),
        ("redis", f"redis://:{SECRET}@host/0?no_such_option=1"),
        ("nats", f"nats://u:{SECRET}@host:port"),
        ("nats", f"{SECRET}.example.com"),
    ],
)
def test_a_url_that_is_none_is_a_mistake_that_keeps_the_password(kind: str, url: str) -> None:
    with pytest.raises(ConfigError, match=f"--{kind}-url") as told:
        open_queue(kind, {f"{kind}-url": url})
    assert SECRET not in str(told.value)


def test_redis_says_what_stands_in_the_streams_place_and_spoils_nothing_else(redis_url: str) -> None:
    client: Any = Redis.from_url(redis_url)
    client.flushall()
    client.set("intake", "not a stream")
    queue = open_queue("redis", {"redis-url": redis_url})
    outcomes = queue.publish("intake", messages(2))
    assert all("WRONGTYPE" in str(outcome) for outcome in outcomes)
    with pytest.raises(QueueError, match="the key holds a string"):
        queue.check("intake")
    assert list(queue.publish("aggregate", messages(2))) == [None, None]
    assert queue.check("aggregate") == "the stream exists"
    queue.close()
    client.close()


def test_rabbitmq_fails_messages_for_a_queue_that_is_not_there(rabbitmq_url: str) -> None:
    queue = open_queue("rabbitmq", {"rabbitmq-url": rabbitmq_url})
    outcomes = queue.publish("nobody-listens", messages(2))
    assert all("it does not exist (declare it, or set --rabbitmq" in str(outcome) for outcome in outcomes)
    with pytest.raises(QueueError, match=r"nobody-listens.*it does not exist"):
        queue.check("nobody-listens")
    queue.close()


def test_nats_fails_messages_that_no_stream_takes(nats_url: str) -> None:
    queue = open_queue("nats", {"nats-url": nats_url})
    outcomes = queue.publish("nobody.listens", messages(2))
    assert all("no stream stores it (set --nats-create-stream" in str(outcome) for outcome in outcomes)
    with pytest.raises(QueueError, match="no stream stores it"):
        queue.check("nobody.listens")
    queue.close()


def test_nats_soon_says_why_a_server_cannot_be_reached() -> None:
    with pytest.raises(QueueError, match="Connect call failed"):
        open_queue("nats", {"nats-url": "nats://127.0.0.1:1"}).check("intake")


def test_nats_leaves_nothing_behind_when_a_server_did_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        for _ in range(10):
            retry_policy = RetryPolicy(connect_timeout=1, read_timeout=1, tries=1, total_timeout=0.05)
            queue = registry.queue("nats").open(
                Settings(options={"nats-url": url}, retry_policy=retry_policy)
            )
            with pytest.raises(QueueError, match="TimeoutError"):
                queue.check("intake")
            queue.close()
    gc.collect()  # asyncio tells then which of its tasks nobody waits for
    assert caplog.text == ""


def test_nats_is_content_with_a_stream_that_takes_more(nats_url: str) -> None:
    for topics in (["wide.intake", "wide.aggregate", "wide.more"], ["wide.intake", "wide.aggregate"]):
        queue = open_queue("nats", {"nats-url": nats_url, "nats-create-stream": "wide"})
        queue.prepare(topics)
        assert list(queue.publish("wide.intake", messages(1))) == [None]
        queue.close()


def test_nats_says_why_it_cannot_create_a_stream(nats_url: str) -> None:
    queue = open_queue("nats", {"nats-url": nats_url, "nats-create-stream": "narrow"})
    queue.prepare(["narrow.intake"])
    with pytest.raises(QueueError, match="could not create stream 'narrow': stream name already in use"):
        queue.prepare(["narrow.other"])
    queue.close()


def test_nats_is_not_asked_again_by_each_of_those_that_waited_for_a_connection() -> None:
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(50) as pool:
        closing = threading.Thread(target=_close_each, args=(server, accepted), daemon=True)
        closing.start()
        queue = open_queue("nats", {"nats-url": f"nats://127.0.0.1:{server.getsockname()[1]}"})
        refusals = list(pool.map(lambda _: _refusal(queue), range(50)))
        queue.close()
    assert all(refusals)
    assert 1 <= len(accepted) < 50  # some tries, and some more for those who came in between


def test_nats_drops_the_repeat_of_a_task(nats_url: str) -> None:
    queue = open_queue("nats", {"nats-url": nats_url, "nats-create-stream": "repeats"})
    queue.prepare(["repeats.intake"])
    before = _stored(queue)
    for _ in range(2):
        assert list(queue.publish("repeats.intake", messages(3, "repeated"))) == [None] * 3
    assert _stored(queue) - before == 3
    queue.close()


def _refusal(queue: TaskQueue) -> QueueError:
    """The error of a request that fails for each of its messages, or as a whole."""
    try:
        one, other = queue.publish("intake", messages(2))
    except QueueError as error:
        return error
    assert one is not None
    assert other is not None
    return one


def _stored(queue: Any) -> int:  # noqa: ANN401 (looks inside)
    async def count() -> int:
        client = await queue._connected()
        return int((await client.jetstream().stream_info("repeats")).state.messages)

    return int(queue._run("count", "repeats", count()))


def _close_each(server: socket.socket, accepted: list[int]) -> None:
    with suppress(OSError):  # the server is closed
        while True:
            connection, (_, port) = server.accept()
            accepted.append(port)
            connection.close()
