"""What is special to SQS: queues by name or URL, FIFO queues, and what errors say.

The outcome of each entry, retries and roles are the code that SNS has too, and are tested there.
"""

import uuid
from collections.abc import Callable, Iterator

import pytest

from servers import moto
from servers.faulty import Fault, Faulty, answer, faulty
from servers.fixtures import KEYS
from workflow_manager.errors import QueueError
from workflow_manager.ports import Message, RetryPolicy, Settings, TopicLimit
from workflow_manager.queues.sqs import SqsQueue
from workflow_manager.testing.queue_contract import messages

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/intake"
SHORT_TIMEOUTS = RetryPolicy(connect_timeout=1, read_timeout=5, tries=3, total_timeout=20)

Connect = Callable[[str], SqsQueue]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens queues, and closes them."""
    opened = []

    def connect(url: str) -> SqsQueue:
        environ = {"AWS_ENDPOINT_URL_SQS": url, **KEYS}
        settings = Settings({"aws-sqs-region": moto.REGION}, environ=environ, retry_policy=SHORT_TIMEOUTS)
        opened.append(SqsQueue.open(settings))
        return opened[-1]

    yield connect
    for queue in opened:
        queue.close()


def error(status: int, code: str) -> Fault:
    document = f"<ErrorResponse><Error><Code>{code}</Code><Message>said</Message></Error></ErrorResponse>"
    return answer(status, document.encode())


class TestQueues:
    def test_a_name_is_looked_up_once(self, moto_url: str, connect: Connect) -> None:
        name = uuid.uuid4().hex
        moto.make_queue(moto_url, name)
        with faulty(moto_url) as proxy:
            queue = connect(proxy.url)
            assert queue.publish(name, messages(1)) == [None]
            assert queue.publish(name, messages(1)) == [None]
            actions = [seen.body.decode().split("&")[0] for seen in proxy.seen]
        assert actions == ["Action=GetQueueUrl", "Action=SendMessageBatch", "Action=SendMessageBatch"]

    def test_a_url_is_not_looked_up(self, moto_url: str, connect: Connect) -> None:
        url = moto.make_queue(moto_url, uuid.uuid4().hex)
        with faulty(moto_url) as proxy:
            assert connect(proxy.url).publish(url, messages(1)) == [None]
            assert len(proxy.seen) == 1

    def test_a_queue_that_does_not_exist(self, moto_url: str, connect: Connect) -> None:
        with pytest.raises(QueueError) as caught:
            connect(moto_url).publish("absent", messages(1))
        assert "could not find queue absent" in str(caught.value)
        assert "NonExistentQueue" in caught.value.cause
        assert "create the queue, or correct its name" in caught.value.advice

    def test_the_url_of_a_queue_that_does_not_exist(self, moto_url: str, connect: Connect) -> None:
        with pytest.raises(QueueError, match=r"NonExistentQueue.*create the queue"):
            connect(moto_url).publish(f"{moto_url}/123456789012/absent", messages(1))

    @pytest.mark.parametrize(
        ("topic", "permission"), [("intake", "sqs:GetQueueUrl"), (URL, "sqs:SendMessage")]
    )
    def test_a_missing_permission_is_named(
        self, topic: str, permission: str, server: Faulty, connect: Connect
    ) -> None:
        server.always = error(403, "AccessDenied")
        with pytest.raises(QueueError, match=f"{permission} on the queue"):
            connect(server.url).publish(topic, messages(1))

    def test_entries_are_refused_one_by_one(self, server: Faulty, connect: Connect) -> None:
        document = (
            "<SendMessageBatchResponse><SendMessageBatchResult>"
            "<SendMessageBatchResultEntry><Id>1</Id><MessageId>m</MessageId></SendMessageBatchResultEntry>"
            "<BatchResultErrorEntry><Id>0</Id><Code>InvalidMessageContents</Code>"
            "<SenderFault>true</SenderFault></BatchResultErrorEntry>"
            "</SendMessageBatchResult></SendMessageBatchResponse>"
        )
        server.always = answer(200, document.encode())
        first, second = connect(server.url).publish(URL, messages(2))
        assert "refused the message: InvalidMessageContents" in str(first)
        assert second is None
        assert len(server.seen) == 1

    def test_topics_that_are_no_queues_are_found_before_any_work(self, connect: Connect) -> None:
        queue = connect("http://127.0.0.1:1")
        queue.prepare(["intake", "intake.fifo", URL])
        with pytest.raises(QueueError, match="neither the URL nor the name of a queue"):
            queue.prepare(["arn:aws:sqs:us-east-1:123456789012:intake"])


class TestFifoQueues:
    @pytest.mark.parametrize("given_by", ["name", "URL"])
    def test_a_repeat_of_a_task_is_delivered_once(
        self, given_by: str, moto_url: str, connect: Connect
    ) -> None:
        name = f"{uuid.uuid4().hex}.fifo"
        url = moto.make_queue(moto_url, name)
        topic = name if given_by == "name" else url
        queue = connect(moto_url)
        assert queue.publish(topic, [Message(b"1", "a", "x"), Message(b"2", "b", "y")]) == [None, None]
        assert queue.publish(topic, [Message(b"3", "a", "x")]) == [None]
        assert sorted(moto.receive(moto_url, name, 3)) == [b"1", b"2"]


class TestQueuesThatTakeLongMessages:
    @pytest.mark.parametrize("size", [262_144, 1_048_576])
    def test_the_limit_is_what_the_attribute_says(self, size: int, moto_url: str, connect: Connect) -> None:
        name = uuid.uuid4().hex
        moto.set_queue_attribute(moto_url, moto.make_queue(moto_url, name), "MaximumMessageSize", str(size))
        queue = connect(moto_url)
        assert queue.topic_limit(name) == TopicLimit(size, "MaximumMessageSize", 1_048_576)
        assert f"accepts messages of up to {size} bytes (MaximumMessageSize)" in queue.check(name)

    def test_a_long_message_arrives(self, moto_url: str, connect: Connect) -> None:
        name = uuid.uuid4().hex
        moto.make_queue(moto_url, name)
        body = b"x" * 1_048_576
        assert connect(moto_url).publish(name, [Message(body, "a", "k")]) == [None]
        assert moto.receive(moto_url, name, 2) == [body]
