"""What is special to SNS: each entry's own outcome, FIFO topics, roles, and what errors say."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from servers import moto
from servers.faulty import Fault, Faulty, answer, faulty, reset
from servers.fixtures import KEYS
from workflow_manager.errors import ConfigError, QueueError
from workflow_manager.ports import Message, RetryPolicy, Settings, TopicLimit
from workflow_manager.queues.sns import SnsQueue
from workflow_manager.testing.queue_contract import messages

TOPIC = "arn:aws:sns:us-east-1:123456789012:intake"
ROLE = "arn:aws:iam::123456789012:role/publisher"
SHORT_TIMEOUTS = RetryPolicy(connect_timeout=1, read_timeout=5, tries=3, total_timeout=20)

Connect = Callable[..., SnsQueue]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens queues, and closes them."""
    opened = []

    def connect(url: str, identity: str = "", **environ: str) -> SnsQueue:
        options = {"aws-sns-region": moto.REGION, "aws-sns-identity": identity}
        settings = Settings(
            options, environ={"AWS_ENDPOINT_URL": url, **KEYS, **environ}, retry_policy=SHORT_TIMEOUTS
        )
        opened.append(SnsQueue.open(settings))
        return opened[-1]

    yield connect
    for queue in opened:
        queue.close()


def outcome(taken: Sequence[int] = (), failed: Sequence[int] = (), *, ours: bool = False) -> Fault:
    """An answer that has taken some entries and refused others."""
    members = "".join(f"<member><Id>{number}</Id><MessageId>m</MessageId></member>" for number in taken)
    refused = "".join(
        f"<member><Code>SomeFault</Code><Id>{number}</Id><Message>said &lt;so&gt;</Message>"
        f"<SenderFault>{str(ours).lower()}</SenderFault></member>"
        for number in failed
    )
    text = f"<R><Successful>{members}</Successful><Failed>{refused}</Failed></R></PublishBatchResponse>"
    return answer(200, text.encode())


def error(status: int, code: str) -> Fault:
    return answer(
        status,
        f"<ErrorResponse><Error><Code>{code}</Code><Message>said</Message></Error></ErrorResponse>".encode(),
    )


def forms(server: Faulty) -> list[dict[str, list[str]]]:
    """The forms that have come in."""
    return [parse_qs(seen.body.decode()) for seen in server.seen]


def sent(server: Faulty) -> list[list[str]]:
    """The IDs of the entries of each request."""
    return [[value[0] for name, value in form.items() if name.endswith(".Id")] for form in forms(server)]


@pytest.mark.usefixtures("hasty")
class TestEachEntryHasItsOwnOutcome:
    def test_entries_that_failed_through_no_fault_of_ours_are_sent_again(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.script.extend([outcome([0, 2], [1, 3]), outcome([3], [1]), outcome([1])])
        assert connect(server.url).publish(TOPIC, messages(4)) == [None] * 4
        assert sent(server) == [["0", "1", "2", "3"], ["1", "3"], ["1"]]
        assert "m-1" in forms(server)[2]["PublishBatchRequestEntries.member.1.Message"][0]

    def test_they_are_given_up_after_as_many_tries_as_the_policy_allows(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.script.extend([outcome([0], [1])])
        server.always = outcome([], [1])
        first, second = connect(server.url).publish(TOPIC, messages(2))
        assert first is None
        assert "could not publish to topic arn:" in str(second)
        assert "the service refused the message: SomeFault: said <so>" in str(second)
        assert len(server.seen) == SHORT_TIMEOUTS.tries

    def test_entries_that_are_wrong_are_not_sent_again(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([outcome([0], [1], ours=True)])
        first, second = connect(server.url).publish(TOPIC, messages(2))
        assert first is None
        assert isinstance(second, QueueError)
        assert len(server.seen) == 1

    def test_an_entry_that_the_answer_leaves_out_is_sent_again(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.script.extend([outcome([0]), outcome([1])])
        assert connect(server.url).publish(TOPIC, messages(2)) == [None, None]

    def test_what_was_taken_stays_taken_if_the_next_request_fails(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.script.append(outcome([0], [1]))
        server.always = error(403, "AuthorizationError")
        first, second = connect(server.url).publish(TOPIC, messages(2))
        assert first is None
        assert "403 AuthorizationError" in str(second)
        assert len(server.seen) == 2

    def test_an_answer_that_breaks_off_is_none(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([answer(200, b"<Successful><member><Id>0</Id>"), outcome([0])])
        assert connect(server.url).publish(TOPIC, messages(1)) == [None]

    def test_a_message_that_the_service_cannot_carry_does_not_fail_its_neighbours(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.script.append(outcome([1]))
        odd = [Message(b"\xff", "a", "k"), *messages(1), Message("\ufffe".encode(), "a", "k")]
        first, second, third = connect(server.url).publish(TOPIC, odd)
        assert "accepts only UTF-8" in str(first)
        assert second is None
        assert r"accepts no message that contains the character '\ufffe'" in str(third)
        assert sent(server) == [["1"]]


@pytest.mark.usefixtures("hasty")
class TestARequestThatFailsAsAWhole:
    @pytest.mark.parametrize(
        ("fault", "cause", "advice"),
        [
            (error(404, "NotFound"), "404 NotFound", "create the topic, or correct its name"),
            (
                error(403, "AuthorizationError"),
                "403 AuthorizationError",
                "the permission sns:Publish on the topic",
            ),
            (error(403, "ExpiredToken"), "403 ExpiredToken", "renew the credentials"),
            (error(400, "KMSAccessDenied"), "400 KMSAccessDenied", "kms:GenerateDataKey and kms:Decrypt"),
            (error(400, "InvalidParameter"), "400 InvalidParameter", "check the topic, the region"),
            (reset, "broke", "check the network"),
        ],
    )
    def test_is_an_error_that_names_the_topic_the_cause_and_what_to_do(
        self, fault: Fault, cause: str, advice: str, server: Faulty, connect: Connect
    ) -> None:
        server.always = fault
        with pytest.raises(QueueError) as caught:
            connect(server.url).publish(TOPIC, messages(2))
        assert caught.value.subject == f"topic {TOPIC} as the keys in AWS_ACCESS_KEY_ID"
        assert cause in caught.value.cause
        assert advice in caught.value.advice

    def test_is_tried_again_if_the_service_is_busy(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([error(400, "KMSThrottling"), error(503, ""), outcome([0])])
        assert connect(server.url).publish(TOPIC, messages(1)) == [None]

    def test_a_topic_that_does_not_exist(self, moto_url: str, connect: Connect) -> None:
        with pytest.raises(QueueError, match=r"404 NotFound: Topic does not exist \(create the topic"):
            connect(moto_url).publish(TOPIC + "-absent", messages(1))


def confirmed(*protocols: str, token: str = "") -> Fault:
    """A page of subscriptions, the ARNs of which are `arn:` and the protocol."""
    members = "".join(
        f"<member><SubscriptionArn>{'arn:' * (name != 'pending')}{name}</SubscriptionArn>"
        f"<Protocol>{'sqs' if name == 'pending' else name}</Protocol></member>"
        for name in protocols
    )
    end = f"<NextToken>{token}</NextToken>" if token else ""
    return answer(200, f"<R><S>{members}</S>{end}</R></ListSubscriptionsByTopicResponse>".encode())


class TestChecking:
    def test_counts_the_queues_that_get_raw_messages(self, moto_url: str, connect: Connect) -> None:
        arn = moto.make_topic(moto_url, uuid.uuid4().hex)
        told = connect(moto_url).check(arn)
        assert told.startswith("the topic exists, as the keys in AWS_ACCESS_KEY_ID")
        assert told.endswith("SQS queues with raw message delivery: 1")

    def test_a_topic_without_a_queue_is_an_error(self, moto_url: str, connect: Connect) -> None:
        arn = f"arn:aws:sns:{moto.REGION}:{moto.ACCOUNT}:{uuid.uuid4().hex}"
        moto.call(moto_url, "sns", "CreateTopic", Name=arn.rpartition(":")[2])
        with pytest.raises(QueueError, match="no SQS queue has a confirmed subscription to it"):
            connect(moto_url).check(arn)

    def test_a_queue_that_gets_wrapped_messages_is_an_error(self, moto_url: str, connect: Connect) -> None:
        arn = moto.make_topic(moto_url, uuid.uuid4().hex)
        moto.make_queue(moto_url, "wrapped")
        endpoint = f"arn:aws:sqs:{moto.REGION}:{moto.ACCOUNT}:wrapped"
        moto.call(moto_url, "sns", "Subscribe", TopicArn=arn, Protocol="sqs", Endpoint=endpoint)
        with pytest.raises(QueueError, match=r"wraps messages.*RawMessageDelivery to true"):
            connect(moto_url).check(arn)

    def test_other_subscriptions_and_unconfirmed_ones_are_not_taken_for_queues(
        self, server: Faulty, connect: Connect
    ) -> None:
        found = answer(200, b"</GetTopicAttributesResponse>")
        server.script.extend([found, confirmed("email", "pending", token="t"), confirmed("lambda")])
        with pytest.raises(QueueError, match="no SQS queue"):
            connect(server.url).check(TOPIC)
        assert forms(server)[2]["NextToken"] == ["t"]

    @pytest.mark.parametrize("before", [[], [confirmed("sqs")]])
    def test_subscriptions_that_may_not_be_read_are_no_error(
        self, before: list[Fault], server: Faulty, connect: Connect
    ) -> None:
        refused = error(403, "AuthorizationError")
        server.script.extend([answer(200, b"</GetTopicAttributesResponse>"), *before, refused])
        told = connect(server.url).check(TOPIC)
        assert "its subscriptions cannot be read" in told
        assert "sns:ListSubscriptionsByTopic and sns:GetSubscriptionAttributes" in told


class TestFifoTopics:
    def test_a_repeat_of_a_task_is_delivered_once(self, moto_url: str, connect: Connect) -> None:
        name = f"{uuid.uuid4().hex}.fifo"
        arn = moto.make_topic(moto_url, name)
        queue = connect(moto_url)
        task, repeat, other = (
            Message(body, "über alles", key) for body, key in ((b"1", "a"), (b"2", "a"), (b"3", "b"))
        )
        assert queue.publish(arn, [task, other]) == [None, None]
        assert queue.publish(arn, [repeat]) == [None]
        assert moto.receive(moto_url, name, 3) == [b"1", b"3"]

    def test_the_group_is_the_aggregation_and_what_deduplicates_is_the_marker(
        self, server: Faulty, connect: Connect
    ) -> None:
        server.always = outcome([0, 1])
        groups = ["kittens-seen", "über"]
        connect(server.url).publish(f"{TOPIC}.fifo", [Message(b"{}", group, "marker") for group in groups])
        (form,) = forms(server)
        entries = [f"PublishBatchRequestEntries.member.{place}" for place in (1, 2)]
        plain, hashed = (form[f"{entry}.MessageGroupId"][0] for entry in entries)
        assert plain == "kittens-seen"
        assert len(hashed) == 64
        assert hashed.isalnum()
        one, other = (form[f"{entry}.MessageDeduplicationId"][0] for entry in entries)
        assert one == other
        assert len(one) == 64

    def test_other_topics_get_neither(self, server: Faulty, connect: Connect) -> None:
        server.always = outcome([0])
        connect(server.url).publish(TOPIC, messages(1))
        assert not [name for name in forms(server)[0] if "Group" in name or "Dedup" in name]


class TestSettings:
    def test_a_role_is_assumed_for_publishing(self, moto_url: str, connect: Connect, tmp_path: Path) -> None:
        arn = moto.make_topic(moto_url, uuid.uuid4().hex)
        token = tmp_path / "token"
        token.write_text("a web identity")
        with faulty(moto_url) as proxy:
            queue = connect(proxy.url, ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(token))
            assert queue.publish(arn, messages(2)) == [None, None]
            assert queue.publish(arn, messages(2)) == [None, None]
        asked, published, again = proxy.seen
        assert parse_qs(asked.body.decode())["RoleArn"] == [ROLE]
        for request in (published, again):
            headers = {name.lower(): value for name, value in request.headers.items()}
            assert "Credential=ASIA" in headers["authorization"]
            assert headers["x-amz-security-token"]

    def test_errors_name_the_role(self, moto_url: str, connect: Connect, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("a web identity")
        queue = connect(moto_url, ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(token))
        with pytest.raises(QueueError, match=f"topic {TOPIC} as {ROLE}"):
            queue.publish(TOPIC, messages(1))

    def test_an_identity_that_is_no_role_is_a_mistake(self, connect: Connect) -> None:
        with pytest.raises(ConfigError, match="'publisher' is not a role's ARN"):
            connect("http://127.0.0.1:1", "publisher")

    def test_the_endpoint_of_sns_goes_before_that_of_all(self, server: Faulty, connect: Connect) -> None:
        server.always = outcome([0])
        queue = connect("http://127.0.0.1:1", AWS_ENDPOINT_URL_SNS=server.url)
        assert queue.publish(TOPIC, messages(1)) == [None]

    def test_topics_that_are_no_arns_are_found_before_any_work(self, connect: Connect) -> None:
        queue = connect("http://127.0.0.1:1")
        queue.prepare([TOPIC, f"{TOPIC}.fifo", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:intake"])
        with pytest.raises(QueueError, match="could not use topic intake: it is not a valid topic ARN"):
            queue.prepare([TOPIC, "intake"])


class TestTopicsThatTakeLongMessages:
    ATTRIBUTES = (
        "<GetTopicAttributesResponse><GetTopicAttributesResult><Attributes>"
        "<entry><key>Owner</key><value>123456789012</value></entry>{}"
        "</Attributes></GetTopicAttributesResult></GetTopicAttributesResponse>"
    )
    SIZE = "<entry>\n <key>MaximumMessageSize</key>\n <value>1048576</value></entry>"

    @pytest.mark.parametrize(("entry", "size"), [(SIZE, 1_048_576), ("", 262_144)])
    def test_the_limit_is_what_the_attribute_says(
        self, entry: str, size: int, server: Faulty, connect: Connect
    ) -> None:
        server.always = answer(200, self.ATTRIBUTES.format(entry).encode())
        limit = connect(server.url).topic_limit(TOPIC)
        assert limit == TopicLimit(size, "MaximumMessageSize", 1_048_576)
        assert forms(server)[0]["Action"] == ["GetTopicAttributes"]

    def test_a_check_shows_it(self, server: Faulty, connect: Connect) -> None:
        refused = b"<ErrorResponse><Error><Code>AuthorizationError</Code></Error></ErrorResponse>"
        server.script.extend([answer(200, self.ATTRIBUTES.format(self.SIZE).encode()), answer(403, refused)])
        assert "accepts messages of up to 1048576 bytes (MaximumMessageSize)" in connect(server.url).check(
            TOPIC
        )

    def test_a_missing_permission_is_named(self, server: Faulty, connect: Connect) -> None:
        server.always = error(403, "AuthorizationError")
        with pytest.raises(QueueError, match="sns:GetTopicAttributes on the topic"):
            connect(server.url).topic_limit(TOPIC)

    def test_a_long_message_is_sent_whole(self, server: Faulty, connect: Connect) -> None:
        server.always = outcome([0])  # moto has no topics that take more than 256 KiB
        body = "x" * 1_048_576
        assert connect(server.url).publish(TOPIC, [Message(body.encode(), "a", "k")]) == [None]
        (form,) = forms(server)
        assert form["PublishBatchRequestEntries.member.1.Message"] == [body]
