"""`check`: what can be used, and as whom, without publishing anything."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from servers.faulty import Exchange, Faulty, Reply, answer
from servers.fixtures import KEYS
from servers.pushgateway import pushgateway
from support.clouds import BUCKET_FLAGS, COMMAND
from support.command import Deployment, Outcome, call


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    return Deployment(installed, tmp_path)


def check(deployment: Deployment, *arguments: str) -> Outcome:
    return call(deployment.command, ["check", *deployment.flags(), *arguments])


def test_everything_is_checked_and_nothing_is_left_behind(deployment: Deployment, tmp_path: Path) -> None:
    outcome = check(deployment, "--json")
    assert outcome.status == 0, outcome.stdout
    findings = json.loads(outcome.stdout)
    assert [finding["check"] for finding in findings] == [
        "list the ingestion bucket",
        "list the own validation bucket",
        "list the peer validation bucket",
        "write markers",
        "read markers",
        "recognize the peer's validations",
        "find the intake topic",
        "find the aggregate topic",
    ]
    assert all(finding["ok"] for finding in findings)
    assert findings[0]["detail"].startswith("as user ")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_cannot_be_used_is_told_and_the_rest_is_still_checked(
    deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "peer").rmdir()
    outcome = check(deployment)
    assert outcome.status == 1
    failed = [line for line in outcome.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert "list the peer validation bucket" in failed[0]
    assert "create the directory" in failed[0]


@pytest.mark.parametrize(("flags", "peer"), [([], 0), (["--is-first"], 1)])
def test_validations_of_our_own_in_the_peers_bucket_are_told(
    deployment: Deployment, flags: list[str], peer: int
) -> None:
    assert "no validations yet" in check(deployment, *flags).stdout
    deployment.put("peer", f"agg/2026/11/22/17/05/b.validity_{1 - peer}.sig", "agg/other", "validity_1")
    mistaken = check(deployment, *flags)
    assert mistaken.status == 1
    us = "first processor, which we are as --is-first is set"
    us = us if flags else "second processor, which we are as --is-first is not set"
    told = f"names contain validity_{1 - peer}, so it seems to belong to the {us}"
    assert told in mistaken.stdout
    assert "correct --is-first" in mistaken.stdout
    deployment.put("peer", f"second/2026/11/22/17/05/b.validity_{peer}")
    right = check(deployment, *flags)
    assert right.status == 0
    assert "names contain validity_0 and validity_1" in right.stdout


def test_one_bucket_under_two_urls_is_told(deployment: Deployment, server: Faulty) -> None:
    listing = b"<ListBucketResult>%b</ListBucketResult>"
    held: list[str] = []

    def bucket(exchange: Exchange) -> None:
        """One bucket, whatever it is called."""
        key = unquote(exchange.seen.path.partition("?")[0].partition("/")[2].partition("/")[2])
        if exchange.seen.method == "PUT":
            held.append(key)
        if exchange.seen.method == "DELETE":
            held.remove(key)
        entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in held)
        exchange.reply(Reply(200, listing % entries.encode()))

    server.always = bucket
    urls = [f"--{flag}=s3://{region}/one" for flag, region in zip(BUCKET_FLAGS, ("a", "b", "c"), strict=True)]
    outcome = call(COMMAND, ["check", *deployment.flags(), *urls], {"AWS_ENDPOINT_URL": server.url, **KEYS})
    assert outcome.status == 1
    assert "s3://a/one and s3://c/one is the same bucket under another URL" in outcome.stdout
    assert held == []


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Pushgateway that lets in one user, whose password is hunter2."""
    directory = tmp_path_factory.mktemp("guarded")
    hashed = "$2b$04$2DEtcKXQ1v2nh/gaI1al9.Z8hQgy3LQd7j8J621KIo3wDHV5YNzuO"
    with pushgateway(directory, f"  user: {hashed}\n") as url:
        yield url


class TestPushgateway:
    def test_one_that_answers_with_the_user_and_password_is_good(
        self, deployment: Deployment, guarded: str
    ) -> None:
        outcome = check(deployment, "--push-gateway", guarded.replace("://", "://user:hunter2@"))
        assert outcome.status == 0
        assert f"ok      reach the Pushgateway: {guarded}: answers /-/ready" in outcome.stdout
        assert "hunter2" not in outcome.stdout

    @pytest.mark.parametrize("user", ["", "user:wrong@"])
    def test_one_that_lets_nobody_in_is_told(self, deployment: Deployment, guarded: str, user: str) -> None:
        outcome = check(deployment, "--push-gateway", guarded.replace("://", f"://{user}"))
        assert outcome.status == 1
        assert "correct the user and password in --push-gateway" in outcome.stdout

    def test_one_that_does_not_answer_is_told(self, deployment: Deployment) -> None:
        outcome = check(deployment, "--push-gateway", "http://127.0.0.1:1")
        assert outcome.status == 1
        assert "FAILED  reach the Pushgateway: http://127.0.0.1:1" in outcome.stdout
        assert "is the Pushgateway up?" in outcome.stdout

    def test_one_that_answers_only_metrics_is_good(self, deployment: Deployment, server: Faulty) -> None:
        server.script.extend([answer(404), answer(200)])
        outcome = check(deployment, "--push-gateway", f"{server.url}/prefix")
        assert outcome.status == 0
        assert [seen.path for seen in server.seen] == ["/prefix/-/ready", "/prefix/metrics"]

    def test_another_server_is_told(self, deployment: Deployment, server: Faulty) -> None:
        server.always = answer(404)
        outcome = check(deployment, "--push-gateway", server.url)
        assert outcome.status == 1
        assert "neither /-/ready nor /metrics answers" in outcome.stdout


def test_bad_flags_are_bad_usage(installed: Path) -> None:
    assert call(installed, ["check", "--intake-max-age", "x"]).status == 2


def test_a_queue_that_cannot_be_made_is_told(deployment: Deployment) -> None:
    outcome = check(deployment, "--sqlite-path", "/no/such/directory/tasks.db")
    assert outcome.status == 1
    assert "correct --sqlite-path" in outcome.stdout
