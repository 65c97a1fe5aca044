"""The roles in deploy/iam have what the program needs on Google Cloud: all of it, and nothing else.

No emulator checks permissions, so the recorded requests are held to the roles.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import pytest

from servers import pubsub
from servers.faulty import Seen
from support.clouds import COMMAND, Cloud, google
from support.command import Outcome, call
from support.permissions import Use, google_uses, intake_task, role
from workflow_manager.notifications.subscriptions import PubSubNotifications
from workflow_manager.ports import Settings

pytestmark = pytest.mark.timeout(300)
NOW = "--now=2026-11-23T04:20:00Z"
BATCH = "kittens-seen/2026/11/{}/b8a5779a-0000-4000-8000-000000000001"
MISSED = "21/02/05"


@dataclass(frozen=True)
class Deployment:
    """A deployment on the emulators, whose requests are recorded."""

    cloud: Cloud
    pubsub_url: str
    project: str

    def call(self, *words: str) -> Outcome:
        outcome = call(COMMAND, words, self.cloud.environ)
        assert outcome.status == 0, outcome.stdout + outcome.stderr
        return outcome

    def used(self) -> set[Use]:
        """The permissions of all requests since the last call of this."""
        seen: list[Seen] = [one for server in self.cloud.servers for one in server.seen]
        for server in self.cloud.servers:
            server.seen.clear()
        return google_uses(seen)


@pytest.fixture
def deployment(fake_gcs_url: str, pubsub_url: str) -> Iterator[Deployment]:
    with google(fake_gcs_url, pubsub_url).deployment() as cloud:
        ingestion, _, peer = cloud.buckets
        for time in ("23/04/05", "23/01/05", MISSED):
            for ending in ("", ".avro", ".sig"):
                ingestion.put(f"{BATCH.format(time)}.batch{ending}", b"")
            peer.put(f"{BATCH.format(time)}.validity_0.sig", b"")
        (project,) = [
            flag.partition("=")[2] for flag in cloud.flags() if flag.startswith("--gcp-project-id=")
        ]
        yield Deployment(cloud, pubsub_url, project)


def names(uses: Iterable[Use]) -> set[str]:
    return {use.action for use in uses}


def test_the_roles_are_all_that_a_deployment_needs(deployment: Deployment) -> None:
    flags = [*deployment.cloud.flags(), NOW]
    deployment.call("check", *flags)
    deployment.call("run", *flags)
    deployment.call("run", *flags)
    deployment.call("backfill", "--from=2026-11-21T00:00:00Z", "--to=2026-11-23T00:00:00Z", "--yes", *flags)
    deployment.call("status", "--since=3d", *flags)
    deployment.call("explain", BATCH.format(MISSED).rpartition("/")[2], "--since=3d", *flags)
    deployment.call("markers", "prune", "--older-than=12h", *flags)
    deployment.call("tasks", "stats", *(flag for flag in deployment.cloud.flags() if "-input=" not in flag))
    used = deployment.used()
    wanted = {"gcp-list-buckets", "gcp-markers", "gcp-publish"}
    assert names(used) == set().union(*map(role, wanted))
    own = deployment.cloud.buckets[1].url.removeprefix("gs://")
    markers = {use.resource for use in used if use.action in role("gcp-markers")}
    assert [name for name in markers if not name.startswith(f"{own}/task-markers/")] == []


def test_creating_topics(deployment: Deployment) -> None:
    flags = [f"{flag}-new" if "-topic=" in flag else flag for flag in deployment.cloud.flags()]
    deployment.call("run", *flags, "--gcp-pubsub-create-topics", NOW)
    more = (
        names(deployment.used()) - role("gcp-list-buckets") - role("gcp-markers") - {"pubsub.topics.publish"}
    )
    assert more == role("gcp-create-topics")


def test_redriving_dead_letters_and_receiving_notifications(deployment: Deployment) -> None:
    ask = partial(pubsub.call, deployment.pubsub_url)
    path = f"projects/{deployment.project}"
    ask("PUT", f"{path}/topics/dead", {})
    ask("PUT", f"{path}/subscriptions/dead", {"topic": f"{path}/topics/dead"})
    for aggregation in ("kittens-seen", "left-alone"):
        body = intake_task(aggregation)
        pubsub.publish(deployment.pubsub_url, f"{path}/topics/dead", [body.encode()])
    queue = [flag for flag in deployment.cloud.flags() if "-input=" not in flag]
    deployment.call("tasks", "redrive", "--from=dead", "--to=intake", "--aggregation-id=kittens-seen", *queue)
    redriven = names(deployment.used())
    source = PubSubNotifications.open(
        f"pubsub://{deployment.project}/dead", Settings(environ=deployment.cloud.environ)
    )
    with closing(source):
        source.acknowledge([notice.receipt for notice in source.receive()])
    assert names(deployment.used()) == {"pubsub.subscriptions.consume"}
    assert role("gcp-subscribe") <= redriven <= role("gcp-subscribe") | role("gcp-publish")
