"""Whole runs of the command that publish to the clouds' queues, as a subscriber sees them."""

import json
import re
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from servers import moto, pubsub
from servers.faulty import faulty, honest, reset
from servers.fixtures import KEYS
from servers.process import free_port
from support.command import Deployment, Outcome, call

# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
# The intake window begins on the 22nd at 04:20, and the aggregation window is that day from 16:00.
WINDOWS = ("--intake-max-age=24h", "--aggregation-period=8h", "--grace-period=4h")
NOW = ("--now=2026-11-23T04:20:00Z", *WINDOWS, "--batch-ids=any")
AGGREGATIONS = ("kittens-seen", "puppies-heard")
HOURS = range(5, 25)
BATCHES = range(50)  # of each aggregation in each hour
TASKS = len(AGGREGATIONS) * len(HOURS) * len(BATCHES)
SIZE = "MaximumMessageSize"

Body = dict[str, Any]


def batches(aggregation: str) -> list[tuple[str, str]]:
    """Times and IDs, in order."""
    return sorted(
        (f"2026/11/{22 + hour // 24}/{hour % 24:02}/{number:02}", f"{aggregation}-{hour}-{number}")
        for hour in HOURS
        for number in BATCHES
    )


def expected_intake() -> list[Body]:
    return [
        {"aggregation-id": aggregation, "batch-id": batch, "date": time}
        for aggregation in AGGREGATIONS
        for time, batch in batches(aggregation)
    ]


def expected_aggregation() -> list[Body]:
    return [
        {
            "aggregation-id": aggregation,
            "aggregation-start": "2026/11/22/16/00",
            "aggregation-end": "2026/11/23/00/00",
            "batches": [
                {"id": batch, "time": time}
                for time, batch in batches(aggregation)
                if "2026/11/22/16" <= time < "2026/11/23"
            ],
        }
        for aggregation in AGGREGATIONS
    ]


def tasks(bodies: Iterable[bytes]) -> list[Body]:
    """What the messages say but for their trace IDs, each of which is another."""
    decoded: list[Body] = [json.loads(body) for body in bodies]
    traces = {body.pop("trace-id") for body in decoded}
    assert len(traces) == len(decoded)
    return sorted(decoded, key=lambda body: (body["aggregation-id"], body.get("date"), body.get("batch-id")))


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(COMMAND, tmp_path)


def fill(deployment: Deployment, since: str = "") -> None:
    """Put batches and the peer's validations of them into the buckets."""
    for aggregation in AGGREGATIONS:
        for time, batch in batches(aggregation):
            if time >= since:
                deployment.put_batch(f"{aggregation}/{time}/{batch}")
                deployment.put("peer", f"{aggregation}/{time}/{batch}.validity_0.sig")


class TestPubSub:
    def flags(self, project: str) -> list[str]:
        return [*NOW, "--task-queue-kind=gcp-pubsub", f"--gcp-project-id={project}"]

    def test_every_task_arrives_as_facilitator_reads_it(
        self, deployment: Deployment, pubsub_url: str
    ) -> None:
        fill(deployment)
        project = f"p-{uuid.uuid4()}"
        environ = {"PUBSUB_EMULATOR_HOST": pubsub_url}
        outcome = deployment.run(*self.flags(project), "--create-pubsub-topics", environ=environ)
        assert outcome.status == 0, outcome.stderr[-2000:]
        subscriptions = f"projects/{project}/subscriptions"
        assert tasks(pubsub.pull(pubsub_url, f"{subscriptions}/intake", TASKS + 1)) == expected_intake()
        assert tasks(pubsub.pull(pubsub_url, f"{subscriptions}/aggregate", 3)) == expected_aggregation()
        assert len(deployment.markers()) == TASKS + 2

    def test_a_topic_that_does_not_exist_fails_the_run_and_nothing_is_marked(
        self, deployment: Deployment, pubsub_url: str
    ) -> None:
        fill(deployment, "2026/11/23")
        outcome = deployment.run(*self.flags("none"), environ={"PUBSUB_EMULATOR_HOST": pubsub_url})
        assert outcome.status == 1
        assert "could not publish to topic intake" in outcome.stderr
        assert "--gcp-pubsub-create-topics" in outcome.stderr
        assert deployment.markers() == set()

    def test_an_emulator_that_dies_in_mid_run_loses_nothing(
        self, deployment: Deployment, pubsub_url: str
    ) -> None:
        fill(deployment)
        project = f"p-{uuid.uuid4()}"
        creating = [honest] * 4
        with faulty(pubsub_url) as proxy:
            proxy.script.extend([*creating, honest, honest])
            proxy.always = reset
            environ = {"PUBSUB_EMULATOR_HOST": proxy.url}
            outcome = deployment.run(*self.flags(project), "--create-pubsub-topics", environ=environ)
        assert outcome.status == 1
        marked = len(deployment.markers())
        assert 0 < marked < TASKS
        assert deployment.run(*self.flags(project), environ={"PUBSUB_EMULATOR_HOST": pubsub_url}).status == 0
        subscription = f"projects/{project}/subscriptions/intake"
        assert tasks(pubsub.pull(pubsub_url, subscription, TASKS + 1)) == expected_intake()

    def test_a_dry_run_asks_the_service_nothing(self, deployment: Deployment) -> None:
        fill(deployment, "2026/11/23")
        environ = {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}"}
        flags = [*self.flags("none"), "--create-pubsub-topics", "--dry-run"]
        assert deployment.run(*flags, environ=environ).status == 0


class TestAmazon:
    def test_every_task_gets_through_sns_to_sqs_unchanged(
        self, deployment: Deployment, moto_url: str
    ) -> None:
        fill(deployment, "2026/11/22/16")
        intake, aggregate = (uuid.uuid4().hex for _ in range(2))
        topics = [moto.make_topic(moto_url, name) for name in (intake, aggregate)]
        # moto looks at all messages of a queue for each new one, so that these are not as many.
        flags = ["--task-queue-kind=aws-sns", f"--aws-sns-region={moto.REGION}", "--intake-max-age=5h20m"]
        flags += [f"--intake-tasks-topic={topics[0]}", f"--aggregate-tasks-topic={topics[1]}"]
        outcome = deployment.run(*NOW, *flags, environ={"AWS_ENDPOINT_URL": moto_url, **KEYS})
        assert outcome.status == 0, outcome.stderr[-2000:]
        expected = [task for task in expected_intake() if task["date"] >= "2026/11/22/23"]
        assert tasks(moto.receive(moto_url, intake, len(expected) + 1)) == expected
        assert tasks(moto.receive(moto_url, aggregate, 3)) == expected_aggregation()
        assert len(deployment.markers()) == len(expected) + 2

    def test_a_task_over_256_kib_is_published_once_its_queue_is_set_to_take_it(
        self, deployment: Deployment, moto_url: str
    ) -> None:
        count = 3_700  # of some 74 bytes each
        for number in range(count):
            key = f"agg/2026/11/22/16/{number % 60:02}/00000000-0000-4000-8000-{number:012}"
            deployment.put_batch(key)
            deployment.put("peer", f"{key}.validity_0.sig")
        name = uuid.uuid4().hex
        queue_url = moto.make_queue(moto_url, name)
        moto.set_queue_attribute(moto_url, queue_url, SIZE, "262144")
        flags = ["--task-queue-kind=aws-sqs", f"--aws-sqs-region={moto.REGION}", "--intake-max-age=1h"]
        flags += [f"--aggregate-tasks-topic={name}"]
        environ = {"AWS_ENDPOINT_URL": moto_url, **KEYS}
        refused = deployment.run(*NOW, *flags, environ=environ)
        assert refused.status == 1
        assert re.search(rf"{SIZE} of {name} is 262144 \(set {SIZE} to [0-9]{{6}} or more", refused.stderr)
        assert deployment.markers() == set()
        moto.set_queue_attribute(moto_url, queue_url, SIZE, "1048576")
        assert deployment.run(*NOW, *flags, environ=environ).status == 0
        (task,) = tasks(moto.receive(moto_url, name, 2))
        assert len(task["batches"]) == count

    def test_a_topic_that_is_no_arn_stops_the_run_before_any_work(self, deployment: Deployment) -> None:
        outcome = deployment.run(*NOW, "--task-queue-kind=aws-sns", "--aws-sns-region=us-east-1")
        assert outcome.status == 1
        assert "topic intake: it is not a valid topic ARN" in outcome.stderr


class TestDeadLetters:
    BODIES: ClassVar[list[bytes]] = [
        f'{{"trace-id":"t{number}","aggregation-id":"{name}","batch-id":"b","date":"2026/11/22/16/05"}}'.encode()
        for number, name in enumerate(AGGREGATIONS * 10)
    ]

    def redrive(self, kind: str, source: str, topic: str, environ: dict[str, str], *more: str) -> Outcome:
        flags = [f"--task-queue-kind={kind}", f"--from={source}", f"--to={topic}", "--json", *more]
        return call(COMMAND, ["tasks", "redrive", *flags], environ)

    def test_they_go_from_a_subscription_of_pubsub_to_a_topic(self, pubsub_url: str) -> None:
        project, environ = f"p-{uuid.uuid4()}", {"PUBSUB_EMULATOR_HOST": pubsub_url}
        for name in ("intake", "dead"):
            topic = f"projects/{project}/topics/{name}"
            pubsub.call(pubsub_url, "PUT", topic, {})
            pubsub.call(pubsub_url, "PUT", f"projects/{project}/subscriptions/{name}", {"topic": topic})
        pubsub.publish(pubsub_url, f"projects/{project}/topics/dead", [*self.BODIES, b"not a task"])
        flags = (f"--gcp-project-id={project}", "--aggregation-id=kittens-*")
        outcome = self.redrive("gcp-pubsub", "dead", "intake", environ, *flags)
        assert outcome.status == 0, outcome.stderr
        report = json.loads(outcome.stdout)
        assert (report["redriven"], report["not_chosen"], report["foreign"]) == (10, 10, 1)
        arrived = pubsub.pull(pubsub_url, f"projects/{project}/subscriptions/intake", 30)
        assert sorted(arrived) == sorted(body for body in self.BODIES if b"kittens" in body)
        assert len(pubsub.pull(pubsub_url, f"projects/{project}/subscriptions/dead", 30)) == 11

    def test_they_do_not_go_to_a_topic_that_nobody_reads(self, pubsub_url: str) -> None:
        project, environ = f"p-{uuid.uuid4()}", {"PUBSUB_EMULATOR_HOST": pubsub_url}
        for name in ("intake", "dead"):
            pubsub.call(pubsub_url, "PUT", f"projects/{project}/topics/{name}", {})
        subscription = f"projects/{project}/subscriptions/dead"
        pubsub.call(pubsub_url, "PUT", subscription, {"topic": f"projects/{project}/topics/dead"})
        pubsub.publish(pubsub_url, f"projects/{project}/topics/dead", self.BODIES)
        outcome = self.redrive("gcp-pubsub", "dead", "intake", environ, f"--gcp-project-id={project}")
        assert outcome.status == 1
        assert "topic intake" in outcome.stderr
        assert len(pubsub.pull(pubsub_url, subscription, 30)) == len(self.BODIES)

    @pytest.mark.parametrize("kind", ["aws-sqs", "aws-sns"])
    def test_they_go_from_a_queue_of_sqs_to_a_queue_or_a_topic(self, kind: str, moto_url: str) -> None:
        name, dead = uuid.uuid4().hex, uuid.uuid4().hex
        topic = moto.make_topic(moto_url, name) if kind == "aws-sns" else moto.make_queue(moto_url, name)
        dead_url = moto.make_queue(moto_url, dead)
        for body in (*self.BODIES, b"not a task"):
            moto.call(moto_url, "sqs", "SendMessage", QueueUrl=dead_url, MessageBody=body.decode())
        environ = {"AWS_ENDPOINT_URL": moto_url, **KEYS}
        outcome = self.redrive(kind, dead, topic, environ, f"--{kind}-region={moto.REGION}")
        assert outcome.status == 0, outcome.stderr
        report = json.loads(outcome.stdout)
        assert (report["redriven"], report["foreign"]) == (20, 1)
        assert sorted(moto.receive(moto_url, name, 30)) == sorted(self.BODIES)
        assert moto.receive(moto_url, dead, 30) == [b"not a task"]


@pytest.mark.parametrize(
    ("flags", "extra"),
    [
        (["--task-queue-kind=gcp-pubsub", "--gcp-project-id=p"], "gcp"),
        (["--task-queue-kind=aws-sns", "--aws-sns-region=us-east-1"], "aws"),
        (["--task-queue-kind=aws-sqs", "--aws-sqs-region=us-east-1"], "aws"),
    ],
)
def test_a_queue_without_its_extra_names_the_extra(
    flags: list[str], extra: str, installed: Path, tmp_path: Path
) -> None:
    outcome = call(installed, ["run", *Deployment(installed, tmp_path).flags(), *flags])
    assert outcome.status == 2
    assert f"pip install 'prio-workflow-manager[{extra}]'" in outcome.stderr


@pytest.mark.parametrize(
    ("kind", "flag"),
    [("gcp-pubsub", "gcp-project-id"), ("aws-sns", "aws-sns-region"), ("aws-sqs", "aws-sqs-region")],
)
def test_what_a_queue_cannot_do_without_is_asked_for(
    kind: str, flag: str, installed: Path, tmp_path: Path
) -> None:
    outcome = call(installed, ["run", *Deployment(installed, tmp_path).flags(), f"--task-queue-kind={kind}"])
    assert outcome.status == 2
    assert f"--{flag}: is required" in outcome.stderr
