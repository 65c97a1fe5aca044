"""The page on sizing and cost counts requests as they are sent, and adds up right."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from servers.faulty import Seen
from support.clouds import COMMAND, Cloud, Scenery, amazon, google
from support.command import call

pytestmark = pytest.mark.timeout(300)
PAGE = (Path(__file__).parent.parent.parent / "docs" / "explanation" / "sizing-and-cost.md").read_text()
NOW = "--now=2026-11-23T04:20:00Z"
RUNS_PER_DAY, DAYS, WINDOWS = 288, 30, 3
# US dollars for one request, or for one byte of Pub/Sub.
LIST_OR_WRITE, READ, SNS_MESSAGE, PUBSUB_BYTE = 0.005 / 1000, 0.0004 / 1000, 0.50 / 1e6, 40 / 2**40
PUBSUB_BILLED = 2 * 1000  # bytes at least for each message: published once, delivered once
BUSY_LISTS = 182  # of a run over 24,000 marked batches of one aggregation, from the page on performance


class Sized(NamedTuple):
    """A deployment of the page."""

    name: str
    instances: int
    aggregations: int
    batches: int

    @property
    def tasks(self) -> int:
        """Intake and aggregation tasks of a day."""
        return self.instances * self.aggregations * (self.batches + WINDOWS)

    @property
    def requests(self) -> tuple[int, int, int]:
        """Listings, writes and reads of a day, at most."""
        runs = RUNS_PER_DAY * self.instances
        lists = BUSY_LISTS if self.batches > 300 else 3 + 4 * self.aggregations
        return runs * lists, runs + self.tasks, runs * self.aggregations

    def row(self) -> str:
        """The line of the page's table."""
        lists, writes, reads = self.requests
        buckets = ((lists + writes) * LIST_OR_WRITE + reads * READ) * DAYS
        sns = self.tasks * SNS_MESSAGE * DAYS
        pubsub = self.tasks * PUBSUB_BILLED * PUBSUB_BYTE * DAYS
        figures = (f"{number:,}" for number in (lists, writes, reads, self.tasks))
        return f"| {self.name} | {' | '.join(figures)} | {buckets:,.2f} | {sns:.2f} | {pubsub:.2f} |"


DEPLOYMENTS = [
    Sized("1 instance, 1 aggregation, 240 batches a day", 1, 1, 240),
    Sized("10 instances, 3 aggregations each, 240 batches a day in each", 10, 3, 240),
    Sized("300 instances, 3 aggregations each, 240 batches a day in each", 300, 3, 240),
    Sized("1 instance, 1 aggregation, 24,000 batches a day", 1, 1, 24_000),
]


def kind(seen: Seen) -> str:
    parts = urlsplit(seen.path)
    if b"Action=PublishBatch" in seen.body[:300] or parts.path.endswith(":publish"):
        return "publish"
    if seen.method == "GET" and ("list-type=2" in parts.query or parts.path.endswith("/o")):
        return "list"
    return {"PUT": "write", "POST": "write", "GET": "read", "HEAD": "read", "DELETE": "delete"}[seen.method]


def requests(cloud: Cloud) -> Counter[str]:
    """The requests since the last call of this, by kind."""
    found = Counter(kind(seen) for server in cloud.servers for seen in server.seen)
    for server in cloud.servers:
        server.seen.clear()
    return found


def fill(cloud: Cloud, aggregations: int, batches: int) -> None:
    """Put validated batches into the window that is aggregated."""
    ingestion, _, peer = cloud.buckets
    for number in range(aggregations):
        for batch in range(batches):
            name = f"b8a5779a-0000-4000-8000-{number:06}{batch:06}"
            key = f"agg-{number}/2026/11/23/0{batch % 3}/{batch:02}/{name}"
            for ending in ("", ".avro", ".sig"):
                ingestion.put(f"{key}.batch{ending}", b"")
            peer.put(f"{key}.validity_0.sig", b"")


@pytest.fixture(params=["amazon", "google"])
def scenery(request: pytest.FixtureRequest) -> Scenery:
    if request.param == "amazon":
        return amazon(request.getfixturevalue("moto_url"))
    return google(request.getfixturevalue("fake_gcs_url"), request.getfixturevalue("pubsub_url"))


@pytest.mark.parametrize(("aggregations", "batches"), [(1, 24), (3, 5)])
def test_a_run_sends_as_many_requests_as_the_page_says(
    scenery: Scenery, aggregations: int, batches: int
) -> None:
    with scenery.deployment() as cloud:
        fill(cloud, aggregations, batches)
        assert cloud.run(NOW, "--intake-max-age=24h").status == 0
        new = requests(cloud)
        assert cloud.run(NOW, "--intake-max-age=24h").status == 0
        idle = requests(cloud)
        survey = call(COMMAND, ["status", "--since=7d", NOW, *cloud.flags()], cloud.environ)
        assert survey.status == 0, survey.stderr
        surveyed = requests(cloud)
    tasks = aggregations * (batches + 1)
    assert idle == {"list": 3 + 3 * aggregations, "write": 1, "read": aggregations, "delete": 1}
    assert new["list"] <= 3 + 4 * aggregations
    assert (new["write"], new["read"], new["delete"]) == (1 + tasks, aggregations, 1)
    assert 1 <= new["publish"] <= tasks
    assert surveyed.keys() <= {"list", "read"}
    assert surveyed["list"] <= 1 + 4 * aggregations
    assert surveyed["read"] <= aggregations


def test_an_empty_bucket_costs_little(scenery: Scenery) -> None:
    with scenery.deployment() as cloud:
        empty = cloud.flags()
        fresh = scenery.make_bucket()
        empty[0] = f"--ingestor-input={fresh.url}"
        fresh.close()
        assert call(COMMAND, ["run", NOW, *empty], cloud.environ).status == 0
        assert requests(cloud) == {"list": 5, "write": 1, "delete": 1}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one.name)
def test_the_sums_of_the_page_are_right(deployment: Sized) -> None:
    assert deployment.row() in PAGE


def test_the_page_has_no_other_sums() -> None:
    section = PAGE.partition("## What that costs")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| .* batches a day\b", section, re.MULTILINE)) == len(DEPLOYMENTS)


def test_the_busy_deployment_is_the_one_of_the_page_on_performance() -> None:
    performance = (
        Path(__file__).parent.parent.parent / "docs" / "explanation" / "performance.md"
    ).read_text()
    assert f"| 24,000 marked batches in one aggregation, S3 / Cloud Storage | {BUSY_LISTS} / " in performance
