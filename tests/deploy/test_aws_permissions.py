"""The policies in deploy/iam are what the program needs on AWS: all of it, and nothing else.

moto checks signatures and actions, and for S3 also resources. Those of SNS and SQS it does not know:
there, the recorded requests are held to the policies.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from botocore.session import Session

from servers import moto
from servers.faulty import Faulty, Seen, faulty
from support.clouds import COMMAND
from support.command import Outcome, call
from support.permissions import BATCHES, IAM, actions, as_list, aws_uses, grants, intake_task, statements
from workflow_manager.clouds import aws
from workflow_manager.errors import AccessDeniedError
from workflow_manager.notifications.sqs_queues import SqsNotifications
from workflow_manager.ports import Settings
from workflow_manager.storage.s3 import S3Store

pytestmark = pytest.mark.timeout(300)
NOW = "--now=2026-11-23T04:20:00Z"
BATCH = "kittens-seen/2026/11/{}/b8a5779a-0000-4000-8000-000000000001"
IN_INTAKE_WINDOW, IN_AGGREGATION_WINDOW, MISSED = "23/04/05", "23/01/05", "21/02/05"
SNS, SQS = ("aws-buckets", "aws-sns"), ("aws-buckets", "aws-sqs")


@dataclass(frozen=True)
class Account:
    """An account with buckets, topics and queues, and a user with keys who may do what a policy says."""

    url: str
    through: Faulty
    names: Mapping[str, str]
    keys: Mapping[str, str]

    def client(self, service: str) -> Any:  # noqa: ANN401 (botocore's clients have no types)
        """A client that is not subject to any policy."""
        return Session().create_client(
            service,
            region_name=moto.REGION,
            endpoint_url=self.url,
            aws_access_key_id="admin",
            aws_secret_access_key="admin",
        )

    def allow(self, policy: Sequence[Mapping[str, Any]]) -> None:
        """From now on, the user may do this and nothing else."""
        moto.enforce_policies(self.url, enforced=False)
        document = json.dumps({"Version": "2012-10-17", "Statement": _for_moto(policy)})
        self.client("iam").put_user_policy(UserName="user", PolicyName="policy", PolicyDocument=document)
        moto.enforce_policies(self.url, enforced=True)

    def unrestricted(self) -> None:
        """From now on, nobody is asked who they are."""
        moto.enforce_policies(self.url, enforced=False)

    def call(self, *words: str, queue: str = "sns") -> Outcome:
        """Run a command as the user, over recorded connections."""
        environ = {"AWS_ENDPOINT_URL": self.through.url, **self.keys}
        return call(COMMAND, [*words, *self.flags(queue)], environ)

    def flags(self, queue: str) -> list[str]:
        """The flags of a run, without those of buckets for commands that have none."""
        arn = f"arn:aws:sns:{moto.REGION}:{moto.ACCOUNT}:" if queue == "sns" else ""
        return [
            *(f"--task-queue-kind=aws-{queue}", f"--aws-{queue}-region={moto.REGION}"),
            f"--intake-tasks-topic={arn}{self.names['INTAKE']}",
            f"--aggregate-tasks-topic={arn}{self.names['AGGREGATE']}",
        ]

    def buckets(self) -> list[str]:
        """The flags of buckets and windows."""
        url = f"s3://{moto.REGION}/"
        return [
            f"--ingestor-input={url}{self.names['INGESTION']}",
            f"--own-validation-input={url}{self.names['OWN']}",
            f"--peer-validation-input={url}{self.names['PEER']}",
            NOW,
        ]

    def recorded(self) -> list[Seen]:
        """The requests since the last call of this."""
        seen = list(self.through.seen)
        self.through.seen.clear()
        return seen

    def upload(self, time: str) -> None:
        """Put a batch, and the peer's validation of it, into the buckets."""
        s3, key = self.client("s3"), BATCH.format(time)
        for ending in ("", ".avro", ".sig"):
            s3.put_object(Bucket=self.names["INGESTION"], Key=f"{key}.batch{ending}")
        s3.put_object(Bucket=self.names["PEER"], Key=f"{key}.validity_0.sig")

    def forget(self) -> None:
        """Delete all markers."""
        s3 = self.client("s3")
        for item in s3.list_objects_v2(Bucket=self.names["OWN"]).get("Contents", []):
            s3.delete_object(Bucket=self.names["OWN"], Key=item["Key"])


def _for_moto(policy: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A policy as moto checks it: batches by their own names, and topics and queues without resources."""
    translated = []
    for statement in policy:
        names = as_list(statement["Action"])
        named = [*names, *(batch for batch, single in BATCHES.items() if single in names)]
        resource = statement["Resource"] if names[0].startswith("s3:") else "*"
        translated.append({**statement, "Action": named, "Resource": resource})
    return translated


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A server of its own, since others would be checked too."""
    names = {
        name: f"{name.lower()}-{uuid.uuid4()}" for name in ("INGESTION", "OWN", "PEER", "INTAKE", "AGGREGATE")
    }
    names |= {"DEAD": "dead", "NOTIFICATIONS": "notifications"}
    with moto.moto(tmp_path_factory.mktemp("moto")) as url, faulty(url) as through:
        account = Account(url, through, names, {})
        for name in ("INGESTION", "OWN", "PEER"):
            account.client("s3").create_bucket(Bucket=names[name])
        for name in ("INTAKE", "AGGREGATE"):
            moto.make_topic(url, names[name])
        moto.make_queue(url, names["DEAD"])
        notified = moto.make_queue(url, names["NOTIFICATIONS"])
        moto.call(url, "sqs", "SendMessage", QueueUrl=notified, MessageBody="{}")
        iam = account.client("iam")
        iam.create_user(UserName="user")
        key = iam.create_access_key(UserName="user")["AccessKey"]
        keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        account = Account(url, through, names, keys)
        for time in (IN_INTAKE_WINDOW, IN_AGGREGATION_WINDOW, MISSED):
            account.upload(time)
        yield account


@pytest.fixture(autouse=True)
def _fresh(account: Account) -> None:
    moto.enforce_policies(account.url, enforced=False)
    account.forget()
    account.recorded()


def policy(account: Account, names: Iterable[str]) -> list[dict[str, Any]]:
    return statements(*names, REGION=moto.REGION, ACCOUNT=moto.ACCOUNT, **account.names)


def commands(account: Account, queue: str) -> dict[str, list[str]]:
    """What a deployment does in its life."""
    buckets = account.buckets()
    return {
        "check": ["check", *buckets],
        "run": ["run", *buckets],
        "run again": ["run", *buckets],
        "backfill": [
            "backfill",
            "--from=2026-11-21T00:00:00Z",
            "--to=2026-11-23T00:00:00Z",
            "--yes",
            *buckets,
        ],
        "status": ["status", "--since=3d", *buckets],
        "explain": ["explain", BATCH.format(MISSED).rpartition("/")[2], "--since=3d", *buckets],
        "markers": ["markers", "prune", "--older-than=12h", *buckets],
        "tasks": ["tasks", "stats"],
    }


@pytest.mark.parametrize(("queue", "files"), [("sns", SNS), ("sqs", SQS)])
def test_the_policies_are_all_that_a_deployment_needs(
    account: Account, queue: str, files: Sequence[str]
) -> None:
    granted = policy(account, files)
    account.allow(granted)
    for name, words in commands(account, queue).items():
        outcome = account.call(*words, queue=queue)
        assert outcome.status == 0, f"{name}: {outcome.stdout}{outcome.stderr}"
        assert "not allowed" not in outcome.stdout, name
        assert "cannot be read" not in outcome.stdout, name
    used = aws_uses(account.recorded())
    assert [use for use in used if not grants(granted, use)] == []
    assert {use.action for use in used} == actions(granted), "what is granted is used"


NEEDED = [
    ("sns", "s3:ListBucket"),
    ("sns", "s3:PutObject"),
    ("sns", "sns:Publish"),
    ("sns", "sns:GetTopicAttributes"),
    ("sqs", "sqs:GetQueueUrl"),
    ("sqs", "sqs:SendMessage"),
    ("sqs", "sqs:GetQueueAttributes"),
]
# Without these, runs schedule everything, but something else is lost, as the page says.
ADVISED = [
    ("sns", "s3:GetObject"),
    ("sns", "s3:DeleteObject"),
    ("sns", "sns:ListSubscriptionsByTopic"),
    ("sns", "sns:GetSubscriptionAttributes"),
]


def test_each_permission_is_tried_without() -> None:
    assert {action for _, action in (*NEEDED, *ADVISED)} == actions(statements(*SNS, *SQS))


def without(granted: Iterable[Mapping[str, Any]], action: str) -> list[dict[str, Any]]:
    return [
        {**statement, "Action": kept}
        for statement in granted
        if (kept := [one for one in as_list(statement["Action"]) if one != action])
    ]


def check_and_run(account: Account, queue: str) -> tuple[int, str]:
    """The worst status, and all that was printed."""
    outcomes = [account.call(*commands(account, queue)[name], queue=queue) for name in ("check", "run")]
    text = "".join(outcome.stdout + outcome.stderr for outcome in outcomes)
    return max(outcome.status for outcome in outcomes), text


@pytest.mark.parametrize(("queue", "action"), NEEDED)
def test_without_it_a_deployment_fails_and_says_what_to_grant(
    account: Account, queue: str, action: str
) -> None:
    account.allow(without(policy(account, SNS if queue == "sns" else SQS), action))
    status, text = check_and_run(account, queue)
    assert status == 1
    assert re.search(rf"\b{action}\b", text)


@pytest.mark.parametrize(("queue", "action"), ADVISED)
def test_without_it_check_says_what_to_grant(account: Account, queue: str, action: str) -> None:
    account.allow(without(policy(account, SNS), action))
    status, text = check_and_run(account, queue)
    assert status == 0
    assert re.search(rf"\b{action}\b", text)


def test_objects_outside_the_markers_cannot_be_touched(account: Account) -> None:
    granted = policy(account, SNS)
    account.allow(granted)
    environ = {"AWS_ENDPOINT_URL_S3": account.through.url, **account.keys}
    for name, key in (("OWN", "kittens-seen/x"), ("INGESTION", "task-markers/x"), ("PEER", "x")):
        store = S3Store.open(f"s3://{moto.REGION}/{account.names[name]}", Settings(environ=environ))
        with closing(store), pytest.raises(AccessDeniedError, match="s3:PutObject"):
            store.put(key, b"")


def test_a_policy_for_other_buckets_is_of_no_use(account: Account) -> None:
    names = {**account.names, "OWN": "another"}
    account.allow(statements(*SNS, REGION=moto.REGION, ACCOUNT=moto.ACCOUNT, **names))
    status, text = check_and_run(account, "sns")
    assert status == 1
    assert f"s3://{moto.REGION}/{account.names['OWN']}" in text


@pytest.mark.parametrize(("queue", "files"), [("sns", SNS), ("sqs", SQS)])
def test_redriving_dead_letters(account: Account, queue: str, files: Sequence[str]) -> None:
    granted = policy(account, [*files, "aws-redrive"])
    for aggregation in ("kittens-seen", "left-alone"):
        body = intake_task(aggregation)
        moto.call(
            account.url, "sqs", "SendMessage", QueueUrl=f"{account.url}/{moto.ACCOUNT}/dead", MessageBody=body
        )
    account.allow(granted)
    topic = account.flags(queue)[2].partition("=")[2]
    redrive = ["tasks", "redrive", "--from=dead", f"--to={topic}", "--aggregation-id=kittens-seen"]
    outcome = account.call(*redrive, queue=queue)
    assert outcome.status == 0, outcome.stdout + outcome.stderr
    used = aws_uses(account.recorded())
    assert [use for use in used if not grants(granted, use)] == []
    assert actions(statements("aws-redrive")) <= {use.action for use in used}


def test_receiving_notifications(account: Account) -> None:
    granted = policy(account, ["aws-notifications"])
    account.allow(granted)
    environ = {"AWS_ENDPOINT_URL": account.through.url, **account.keys}
    source = SqsNotifications.open(
        f"sqs://{moto.REGION}/{account.names['NOTIFICATIONS']}", Settings(environ=environ)
    )
    with closing(source):
        (notice,) = source.receive()
        source.acknowledge([notice.receipt])
    used = aws_uses(account.recorded())
    assert [use for use in used if not grants(granted, use)] == []
    assert {use.action for use in used} == actions(granted)


@pytest.mark.parametrize("name", ["aws-trust-eks", "aws-trust-gke"])
def test_roles_are_assumed_as_the_trust_policies_say(account: Account, name: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a.b.c")
    web_identity = {
        "AWS_ENDPOINT_URL": account.through.url,
        "AWS_ROLE_ARN": f"arn:aws:iam::{moto.ACCOUNT}:role/workflow-manager",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
    }
    outcome = call(COMMAND, ["run", *account.buckets(), *account.flags("sns")], web_identity)
    assert outcome.status == 0, outcome.stderr
    asked = {
        fields["Action"][0]
        for seen in account.recorded()
        if "Action" in (fields := parse_qs(seen.body.decode()))
    }
    (trust,) = json.loads((IAM / f"{name}.json").read_text())["Statement"]
    assert trust["Action"] in {f"sts:{action}" for action in asked}
    if name == "aws-trust-gke":
        audience = trust["Condition"]["StringEquals"]["accounts.google.com:oaud"]
        assert f"audience={quote(audience, safe='')}" in aws._IDENTITY
