"""Sources of notifications, against the servers and file systems that they are for."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from servers import moto
from servers.faulty import Faulty, answer, reset
from servers.fixtures import KEYS
from support.announcing import Queue, Subscription, attributes, bridged, record, through_sns
from workflow_manager import registry
from workflow_manager.errors import ConfigError, NotificationError
from workflow_manager.notices import Notice, NotificationSource, Upload
from workflow_manager.notifications.directories import WatchedDirectory
from workflow_manager.notifications.sqs_queues import SqsNotifications
from workflow_manager.notifications.subscriptions import PubSubNotifications
from workflow_manager.ports import RetryPolicy, Settings

HASTY = RetryPolicy(read_timeout=5, tries=1, total_timeout=30)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def subscription(opened: ExitStack, server: str, url: str = "pubsub://p/s") -> PubSubNotifications:
    settings = Settings(environ={"PUBSUB_EMULATOR_HOST": server}, retry_policy=HASTY)
    return opened.enter_context(closing(PubSubNotifications.open(url, settings)))


def queue(opened: ExitStack, server: str, url: str = f"sqs://{moto.REGION}/q") -> SqsNotifications:
    settings = Settings(environ={"AWS_ENDPOINT_URL": server, **KEYS}, retry_policy=HASTY)
    return opened.enter_context(closing(SqsNotifications.open(url, settings)))


def receive(source: NotificationSource, count: int) -> list[Notice]:
    """The next `count` notices, which may come in several answers."""
    notices: list[Notice] = []
    while len(notices) < count:
        notices += source.receive()
    return notices


def keys(notices: list[Notice]) -> list[str]:
    return [upload.key for notice in notices for upload in notice.uploads]


class TestPubSub:
    def test_notices_are_received_and_acknowledged(self, pubsub_url: str, opened: ExitStack) -> None:
        announcing = Subscription(pubsub_url)
        source = subscription(opened, pubsub_url, announcing.url)
        announcing.publish(attributes(), attributes(eventType="OBJECT_DELETE"), {"what": "ever"})
        notices = receive(source, 3)
        assert [upload.bucket for notice in notices for upload in notice.uploads] == ["na-ingestor-1"]
        source.acknowledge([notice.receipt for notice in notices])
        announcing.publish(attributes(objectId="later/x"))
        assert keys(receive(source, 1)) == ["later/x"]

    def test_a_subscription_that_is_not_there_is_named(self, pubsub_url: str, opened: ExitStack) -> None:
        source = subscription(opened, pubsub_url, "pubsub://p/none")
        with pytest.raises(NotificationError, match=r"from pubsub://p/none .*create the subscription"):
            source.receive()
        with pytest.raises(NotificationError, match=r"acknowledge to pubsub://p/none"):
            source.acknowledge(["x"])

    @pytest.mark.parametrize("body", [b"[]", b"7", b'{"receivedMessages": [{}]}', b'{"receivedMessages": 7}'])
    def test_an_answer_that_is_none_is_an_error(self, server: Faulty, opened: ExitStack, body: bytes) -> None:
        server.always = answer(200, body)
        with pytest.raises(NotificationError, match="not an answer to a pull"):
            subscription(opened, server.url).receive()

    def test_no_message_is_no_error(self, server: Faulty, opened: ExitStack) -> None:
        server.always = answer(200, b"{}")
        assert subscription(opened, server.url).receive() == []

    def test_a_refusal_names_the_permission(self, server: Faulty, opened: ExitStack) -> None:
        server.always = answer(403, b"{}")
        with pytest.raises(NotificationError, match=r"grant nobody .*pubsub\.subscriptions\.consume"):
            subscription(opened, server.url).receive()

    def test_a_broken_connection_is_an_error_of_its_own(self, server: Faulty, opened: ExitStack) -> None:
        server.always = reset
        with pytest.raises(NotificationError, match="receive from pubsub://p/s"):
            subscription(opened, server.url).receive()

    def test_many_are_acknowledged_in_several_requests(self, server: Faulty, opened: ExitStack) -> None:
        server.always = answer(200, b"{}")
        subscription(opened, server.url).acknowledge([str(number) for number in range(1500)])
        assert [len(json.loads(seen.body)["ackIds"]) for seen in server.seen] == [1000, 500]


class TestSqs:
    def test_notices_of_every_form_are_received_and_deleted(self, moto_url: str, opened: ExitStack) -> None:
        announcing = Queue(moto_url)
        source = queue(opened, moto_url, announcing.url)
        announcing.publish(
            {"Event": "s3:TestEvent"},
            {"Records": [record("a b/<&>x")]},
            through_sns({"Records": [record("c/d")]}),
            bridged("e/f"),
            "no JSON <&>",
        )
        notices = receive(source, 5)
        assert sorted(keys(notices)) == ["a b/<&>x", "c/d", "e/f"]
        source.acknowledge([notice.receipt for notice in notices])
        answered = moto.call(
            moto_url, "sqs", "GetQueueAttributes", QueueUrl=announcing.queue_url, AttributeName__1="All"
        )
        for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"):
            assert f"<Name>{name}</Name><Value>0</Value>" in "".join(answered.split())

    def test_a_queue_that_is_not_there_is_named(self, moto_url: str, opened: ExitStack) -> None:
        source = queue(opened, moto_url, f"sqs://{moto.REGION}/none")
        with pytest.raises(NotificationError, match=r"receive from sqs://us-east-1/none .*create the queue"):
            source.receive()

    def test_another_accounts_queue_is_asked_for_by_account(self, server: Faulty, opened: ExitStack) -> None:
        server.always = answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        with pytest.raises(NotificationError, match=r"grant .* sqs:GetQueueUrl and sqs:ReceiveMessage"):
            queue(opened, server.url, f"sqs://{moto.REGION}/123456789012/q").receive()
        assert b"QueueOwnerAWSAccountId=123456789012" in server.seen[0].body

    def test_an_answer_that_breaks_off_is_an_error(self, server: Faulty, opened: ExitStack) -> None:
        server.always = answer(200, b"<ReceiveMessageResponse>")
        with pytest.raises(NotificationError, match="broke off"):
            queue(opened, server.url).receive()


class TestDirectories:
    def test_what_is_written_is_announced(self, tmp_path: Path, opened: ExitStack) -> None:
        source = opened.enter_context(closing(WatchedDirectory.open(f"file://{tmp_path}", Settings())))
        (tmp_path / "a").mkdir()
        source.receive()  # nothing yet, or the directory: it is watched from now on
        (tmp_path / "a" / "x.batch").write_bytes(b"")
        seen: set[Upload] = set()
        while not any(upload.key == "a/x.batch" for upload in seen):
            seen.update(upload for notice in source.receive() for upload in notice.uploads)
        assert {upload.bucket for upload in seen} == {str(tmp_path)}
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "y.batch").write_bytes(b"")
        while not any(upload.key.startswith("b/") for upload in seen):
            seen.update(upload for notice in source.receive() for upload in notice.uploads)

    def test_a_directory_that_is_not_there_is_named_and_watched_once_it_is(
        self, tmp_path: Path, opened: ExitStack
    ) -> None:
        root = tmp_path / "later"
        source = opened.enter_context(closing(WatchedDirectory.open(f"file://{root}", Settings())))
        with pytest.raises(NotificationError, match=r"watch file://.*/later.*create the directory"):
            source.receive()
        root.mkdir()
        source.receive()
        (root / "a").mkdir()
        while not keys(list(source.receive())):
            pass
        shutil.rmtree(root)


@pytest.mark.parametrize(
    ("scheme", "bucket", "name"),
    [
        ("pubsub", "gs://na-1", "na-1"),
        ("pubsub", "s3://r/na-1", None),
        ("sqs", "s3://us-west-1/na-1", "na-1"),
        ("sqs", "s3://us-west-1/na-1/", "na-1"),
        ("sqs", "gs://na-1", None),
        ("file", "file:///a%20b/c/", "/a b/c"),
        ("file", "gs://na-1", None),
    ],
)
def test_each_source_knows_the_buckets_that_it_is_for(scheme: str, bucket: str, name: str | None) -> None:
    assert registry.source(scheme).bucket_name(bucket) == name


@pytest.mark.parametrize(
    "url", ["pubsub://p", "pubsub://p/s/x", "sqs://q", "sqs://r/1/q", "sqs://r/q.fifo", "sqs://R/q"]
)
def test_what_is_no_source(url: str) -> None:
    with pytest.raises(ConfigError, match="not a"):
        registry.source(url.partition(":")[0]).open(url, Settings())
