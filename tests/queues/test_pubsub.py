"""What is special to Pub/Sub: creating topics, their names, the size of requests, and what errors say."""

import json
import uuid
from collections.abc import Callable, Iterator

import pytest

from servers import pubsub
from servers.faulty import Fault, Faulty, answer, faulty, lose_answer, reset
from servers.process import free_port
from workflow_manager.errors import QueueError
from workflow_manager.ports import Message, RetryPolicy, Settings
from workflow_manager.queues.pubsub import PubSubQueue
from workflow_manager.testing.queue_contract import messages

SHORT_TIMEOUTS = RetryPolicy(connect_timeout=1, read_timeout=5, tries=3, total_timeout=20)
NOBODY = "nobody (STORAGE_EMULATOR_HOST or PUBSUB_EMULATOR_HOST is set)"

Connect = Callable[..., PubSubQueue]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens queues, and closes them."""
    opened = []

    def connect(host: str, project: str = "project", *, creates: bool = False) -> PubSubQueue:
        options = {"gcp-project-id": project, "gcp-pubsub-create-topics": creates}
        environ = {"PUBSUB_EMULATOR_HOST": host}
        opened.append(PubSubQueue.open(Settings(options, environ=environ, retry_policy=SHORT_TIMEOUTS)))
        return opened[-1]

    yield connect
    for queue in opened:
        queue.close()


@pytest.fixture
def project() -> str:
    """A project that nobody has used."""
    return f"p-{uuid.uuid4()}"


def error(status: int, code: str, message: str = "said") -> Fault:
    return answer(status, json.dumps({"error": {"status": code, "message": message}}).encode())


def acknowledged(*ids: str) -> Fault:
    return answer(200, json.dumps({"messageIds": ids}).encode())


class TestCreating:
    def test_makes_each_topic_and_a_subscription_of_the_same_name(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        queue = connect(pubsub_url, project, creates=True)
        queue.prepare(["intake", "aggregate"])
        for name in ("intake", "aggregate"):
            made = pubsub.call(pubsub_url, "GET", f"projects/{project}/subscriptions/{name}")
            assert made["topic"] == f"projects/{project}/topics/{name}"
            assert made["ackDeadlineSeconds"] == 600

    def test_subscriptions_never_expire(self, server: Faulty, connect: Connect) -> None:
        server.always = answer(200, b"{}")
        connect(server.url, creates=True).prepare(["intake"])
        topic, subscription = server.seen
        assert (topic.method, topic.path) == ("PUT", "/v1/projects/project/topics/intake")
        assert (subscription.method, subscription.path) == (
            "PUT",
            "/v1/projects/project/subscriptions/intake",
        )
        # Without a policy they would expire after 31 days; an empty one is for ever.
        assert json.loads(subscription.body)["expirationPolicy"] == {}

    def test_makes_a_missing_subscription_of_a_topic_that_is_there(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        pubsub.call(pubsub_url, "PUT", f"projects/{project}/topics/intake", {})
        queue = connect(pubsub_url, project, creates=True)
        queue.prepare(["intake", "intake"])
        assert queue.publish("intake", messages(1)) == [None]
        assert len(pubsub.pull(pubsub_url, f"projects/{project}/subscriptions/intake", 1)) == 1

    def test_happens_only_if_it_is_asked_for(self, server: Faulty, connect: Connect) -> None:
        connect(server.url).prepare(["intake", "aggregate"])
        assert server.seen == []

    @pytest.mark.parametrize(
        ("before", "operation", "permission"),
        [
            ([], "create", "pubsub.topics.create"),
            ([answer(200)], "create a subscription for", "pubsub.subscriptions.create"),
        ],
    )
    def test_names_the_permission_that_is_missing(
        self, before: list[Fault], operation: str, permission: str, server: Faulty, connect: Connect
    ) -> None:
        server.script.extend([*before, error(403, "PERMISSION_DENIED")])
        with pytest.raises(QueueError, match=f"could not {operation} topic intake as .*{permission}"):
            connect(server.url, creates=True).prepare(["intake"])


class TestTopics:
    @pytest.mark.parametrize("scheme", ["", "http://"])
    def test_may_be_given_by_name_or_in_full_and_the_emulator_with_or_without_a_scheme(
        self, scheme: str, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        full = f"projects/{project}/topics/intake"
        host = scheme + pubsub_url.removeprefix("http://")
        connect(host, "another", creates=True).prepare([full])
        assert connect(host, "another").publish(full, messages(1)) == [None]
        assert connect(host, project).publish("intake", messages(1)) == [None]
        assert len(pubsub.pull(pubsub_url, f"projects/{project}/subscriptions/intake", 2)) == 2

    def test_that_are_none_are_found_before_any_work(self, connect: Connect) -> None:
        queue = connect("127.0.0.1:1")
        with pytest.raises(QueueError, match="could not use topic project/intake: it is neither"):
            queue.prepare(["intake", "project/intake"])

    def test_that_do_not_exist(self, pubsub_url: str, connect: Connect, project: str) -> None:
        with pytest.raises(QueueError) as caught:
            connect(pubsub_url, project).publish("absent", messages(2))
        assert caught.value.operation == "publish to"
        assert caught.value.subject == f"topic absent as {NOBODY}"
        assert "404" in caught.value.cause
        assert f"create the topic in its project (this run's is {project})" in caught.value.advice
        assert "--gcp-pubsub-create-topics" in caught.value.advice


class TestChecking:
    def test_names_the_subscriptions_of_a_topic(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        connect(pubsub_url, project, creates=True).prepare(["intake"])
        for creates in (True, False):
            told = connect(pubsub_url, project, creates=creates).check("intake")
            assert (
                told
                == f"the topic exists, as {NOBODY}; subscriptions: projects/{project}/subscriptions/intake"
            )

    def test_a_topic_to_which_nobody_subscribes_is_an_error_unless_a_run_creates_one(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        pubsub.call(pubsub_url, "PUT", f"projects/{project}/topics/intake", {})
        with pytest.raises(QueueError, match="no subscription belongs to it"):
            connect(pubsub_url, project).check("intake")
        told = connect(pubsub_url, project, creates=True).check("intake")
        assert f"creates the subscription projects/{project}/subscriptions/intake" in told

    def test_a_subscription_that_a_deleted_topic_left_behind_is_an_error(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        queue = connect(pubsub_url, project, creates=True)
        queue.prepare(["intake"])
        pubsub.call(pubsub_url, "DELETE", f"projects/{project}/topics/intake")
        for _ in range(2):  # before the topic is created anew, and after it
            with pytest.raises(QueueError, match="belongs to the topic _deleted-topic_, not to this one"):
                queue.check("intake")
            queue.prepare(["intake"])

    def test_a_subscription_of_the_same_name_to_another_topic_is_an_error(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        other = f"projects/{project}/topics/other"
        for name in ("intake", "other"):
            pubsub.call(pubsub_url, "PUT", f"projects/{project}/topics/{name}", {})
        pubsub.call(pubsub_url, "PUT", f"projects/{project}/subscriptions/intake", {"topic": other})
        for creates in (True, False):
            with pytest.raises(QueueError, match=f"belongs to the topic {other}"):
                connect(pubsub_url, project, creates=creates).check("intake")

    def test_a_topic_that_a_run_will_create(self, pubsub_url: str, connect: Connect, project: str) -> None:
        assert "first run creates the topic" in connect(pubsub_url, project, creates=True).check("intake")
        with pytest.raises(QueueError, match="could not find topic intake"):
            connect(pubsub_url, project).check("intake")

    def test_subscriptions_that_may_not_be_read_are_no_error(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([answer(200, b"{}"), error(403, "PERMISSION_DENIED")])
        told = connect(server.url).check("intake")
        assert told.startswith("the topic exists")
        assert "its subscriptions cannot be read: grant nobody" in told
        assert "pubsub.subscriptions.get" in told

    def test_other_errors_are(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([answer(200, b"{}"), error(400, "INVALID_ARGUMENT")])
        with pytest.raises(QueueError, match="could not find the subscriptions of topic intake"):
            connect(server.url).check("intake")


@pytest.mark.usefixtures("hasty")
class TestPublishing:
    def test_a_full_request_is_no_longer_than_the_service_takes(
        self, server: Faulty, connect: Connect
    ) -> None:
        limits = PubSubQueue.limits
        server.always = acknowledged(*(str(number) for number in range(limits.messages)))
        # One byte over a multiple of three, so that Base64 pads the most.
        lengths = [7] * (limits.messages - 1)
        lengths.append(limits.request_bytes - sum(lengths))
        connect(server.url).publish("intake", [Message(b"x" * length, "a", "k") for length in lengths])
        assert 9_900_000 < len(server.seen[0].body) <= 10_000_000

    @pytest.mark.parametrize(
        ("fault", "cause", "advice"),
        [
            (error(403, "PERMISSION_DENIED"), "403 PERMISSION_DENIED: said", "pubsub.topics.publish"),
            (error(401, "UNAUTHENTICATED"), "401 UNAUTHENTICATED", "renew the credentials"),
            (error(400, "INVALID_ARGUMENT"), "400 INVALID_ARGUMENT", "check the names of the project"),
            (error(503, "UNAVAILABLE"), "tried 3 times", "try again later"),
            (reset, "broke", "check the network"),
            (
                acknowledged("1"),
                "acknowledges 1 messages of 2",
                "check the proxies and load balancers between",
            ),
            (
                answer(200, b"<html>"),
                "contains no message IDs",
                "check the proxies and load balancers between",
            ),
        ],
    )
    def test_errors_name_the_topic_the_cause_and_what_to_do(
        self, fault: Fault, cause: str, advice: str, server: Faulty, connect: Connect
    ) -> None:
        server.always = fault
        with pytest.raises(QueueError) as caught:
            connect(server.url).publish("intake", messages(2))
        assert "topic intake" in caught.value.subject
        assert cause in caught.value.cause
        assert advice in caught.value.advice

    def test_a_busy_service_is_asked_again(self, server: Faulty, connect: Connect) -> None:
        server.script.extend([error(429, "RESOURCE_EXHAUSTED"), error(409, "ABORTED"), acknowledged("1")])
        assert connect(server.url).publish("intake", messages(1)) == [None]

    def test_nobody_answers(self, connect: Connect) -> None:
        with pytest.raises(
            QueueError, match=r"topic intake as nobody .*: 127.0.0.1:[0-9]+ cannot be reached"
        ):
            connect(f"127.0.0.1:{free_port()}").publish("intake", messages(1))

    def test_a_lost_answer_repeats_the_messages_and_loses_none(
        self, pubsub_url: str, connect: Connect, project: str
    ) -> None:
        connect(pubsub_url, project, creates=True).prepare(["intake"])
        with faulty(pubsub_url) as proxy:
            proxy.script.append(lose_answer)
            assert connect(proxy.url, project).publish("intake", messages(1)) == [None]
        assert len(pubsub.pull(pubsub_url, f"projects/{project}/subscriptions/intake", 3)) == 2
