"""The installed command while the services go wrong: a tenth of all requests, or all of them."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from servers import faulty
from servers.faulty import Exchange, Fault, Faulty, Seen, answer, honest
from servers.fixtures import KEYS
from support import tally
from support.clouds import (
    AGGREGATE,
    BUCKET_FLAGS,
    COMMAND,
    INTAKE,
    Cloud,
    Scenery,
    amazon,
    google,
    task_names,
)
from support.command import call
from support.harness import PARTS

SHARE = 0.1


def retry_policy(request: float, read: float) -> tuple[str, ...]:
    return (
        "--connect-timeout=1s",
        f"--read-timeout={read}s",
        "--request-tries=2",
        f"--request-timeout={request}s",
    )


def longest(request: float, read: float) -> float:
    """How long a run takes at most, by docs/explanation/how-it-works.md, and what it needs to start."""
    return 10 * (request + read) + 20


NONE = (1, 0.3)  # where nothing answers in any case
SOME = (2, 1)  # where some requests are to succeed, be the machine ever so busy
AGGREGATIONS = ("kittens-seen", "puppies-heard", "owls")
BATCHES = [f"b-{number:02}" for number in range(12)]
TIME = "2026/11/22/17/05"  # lies in both windows
WINDOWS = ("--intake-max-age=24h", "--aggregation-period=8h", "--grace-period=4h")
NOW = ("--now=2026-11-23T04:20:00Z", *WINDOWS, "--batch-ids=any")
TASKS = {f"{aggregation} {TIME} {batch}" for aggregation in AGGREGATIONS for batch in BATCHES}
TASKS |= {f"{aggregation}  the aggregation" for aggregation in AGGREGATIONS}


def slow(exchange: Exchange) -> None:
    """Answer late, but not too late."""
    exchange.server.over.wait(0.3)
    honest(exchange)


def throttled(exchange: Exchange) -> None:
    """As each service says it: a code of S3 and SNS, and a reason of Google's."""
    google = "/storage/" in exchange.seen.path or exchange.seen.path.startswith("/v1/")
    (answer(429, retry_after="0") if google else faulty.s3_error(503, "SlowDown"))(exchange)


WAYS: dict[str, Fault] = {
    "throttled": throttled,
    "service unavailable": answer(503),
    "internal error": answer(500),
    "reset connection": faulty.reset,
    "lost answer": faulty.lose_answer,
    "answer shorter than announced": faulty.cut_short,
    "answer cut off without notice": faulty.cut_unannounced,
    "slow answer": slow,
    "no answer": faulty.silent,
}
# An answer that comes byte by byte takes all the time that its operation has: it is none that
# another try can mend.
FOR_GOOD: dict[str, Fault] = {**WAYS, "byte by byte": faulty.drip, "access refused": answer(403)}
del FOR_GOOD["slow answer"]


@pytest.fixture(scope="module", params=["amazon", "google"])
def scenery(request: pytest.FixtureRequest) -> Iterator[Scenery]:
    """The emulators of a cloud, and buckets of ingestions and validations that no test changes."""
    if request.param == "amazon":
        scenery = amazon(request.getfixturevalue("moto_url"))
    else:
        scenery = google(request.getfixturevalue("fake_gcs_url"), request.getfixturevalue("pubsub_url"))
    for aggregation, batch in itertools.product(AGGREGATIONS, BATCHES):
        key = f"{aggregation}/{TIME}/{batch}"
        for part in PARTS:
            scenery.ingestion.put(f"{key}.batch{part}", b"")
        scenery.peer.put(f"{key}.validity_0.sig", b"")
    scenery.ingestion.put(f"{AGGREGATIONS[0]}/2026/11/22/zz/malformed", b"")
    yield scenery
    scenery.ingestion.close()
    scenery.peer.close()


@pytest.fixture
def cloud(scenery: Scenery) -> Iterator[Cloud]:
    """A deployment with something to do, and a queue and a bucket of markers with nothing in them."""
    with scenery.deployment() as cloud:
        yield cloud


def written(seen: Seen) -> str:
    """What names the object that a request writes, if it writes one."""
    if seen.method == "PUT":
        return seen.path
    return unquote(seen.path) + seen.body.decode() if "/upload/" in seen.path else ""


def marks(seen: Seen) -> bool:
    """Whether a request writes a marker; no lease."""
    return "task-markers/intake-" in written(seen) or "task-markers/aggregate-" in written(seen)


class Chance:
    """A fault that strikes some requests, and what it may have caused to be repeated."""

    def __init__(
        self, way: str, cloud: Cloud, share: float = 1.0, among: Callable[[Seen], bool] = lambda _: True
    ) -> None:
        self.struck = 0
        self.explained: Counter[str] = Counter()
        self._way, self._cloud, self._share, self._among = way, cloud, share, among
        self._random = random.Random(way)
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        with self._lock:
            struck = self._among(exchange.seen) and self._random.random() < self._share
            if struck:
                self.struck += 1
                self.explained.update(task_names(self._cloud.topics.sent(exchange.seen)))
        if struck:
            tally.add(f"over HTTP: {self._way}")
        (FOR_GOOD | WAYS)[self._way](exchange) if struck else honest(exchange)


def taken(cloud: Cloud) -> Counter[str]:
    """How often each task is in the queue."""
    return Counter(task_names(cloud.topics.bodies(INTAKE, 1000) + cloud.topics.bodies(AGGREGATE, 100)))


@pytest.mark.parametrize("way", WAYS)
def test_a_tenth_of_all_requests_fails_and_all_is_scheduled(way: str, cloud: Cloud) -> None:
    chance = Chance(way, cloud, SHARE)
    cloud.meet_with(chance)
    outcome = cloud.run(*NOW, "--read-timeout=1s")
    assert outcome.status == 0, outcome.stderr[-2000:]
    assert chance.struck
    assert len(cloud.markers()) == len(TASKS)
    counts = taken(cloud)
    assert set(counts) == TASKS
    assert counts - Counter(TASKS) <= chance.explained


def test_one_failure_of_each_kind_affects_only_itself_and_is_told(cloud: Cloud, tmp_path: Path) -> None:
    bucket = cloud.buckets[0].url.rpartition("/")[2]

    def refused(seen: Seen) -> bool:
        listing = bucket in seen.path and "prefix=owls" in seen.path
        publish = any(b"aggregation-start" in message for message in cloud.topics.sent(seen))
        marker = f"task-markers/intake-{AGGREGATIONS[0]}-{TIME.replace('/', '-')}-b-07" in written(seen)
        return listing or publish or marker

    cloud.meet_with(Chance("access refused", cloud, among=refused))
    file = tmp_path / "wm.prom"
    outcome = cloud.run(*NOW, f"--metrics-file={file}")
    assert outcome.status == 1
    finished = outcome.events[-1]
    assert finished["event"] == "run.finished"
    assert finished["message"] == (
        "scheduled 24 intake tasks and 0 aggregation tasks of 3 aggregations; 1 malformed object;"
        " 4 failures (1 listing, 2 publish, 1 marker)"
    )
    told = file.read_text()
    for kind, count in (("listing", 1), ("publish", 2), ("marker", 1)):
        assert finished[f"{kind}_failures"] == count
        assert f'workflow_manager_failures{{kind="{kind}"}} {count}.0' in told
    assert "workflow_manager_last_failure_seconds" in told
    assert len(cloud.markers()) == 23
    assert set(taken(cloud)) == {task for task in TASKS if TIME in task and not task.startswith("owls")}


@pytest.mark.parametrize("way", FOR_GOOD)
def test_every_request_fails_and_the_run_ends_and_says_on_which_bucket(way: str, cloud: Cloud) -> None:
    cloud.meet_with(Chance(way, cloud))
    outcome = cloud.run(*NOW, *retry_policy(*NONE), timeout=longest(*NONE))
    assert outcome.status == 1
    assert f"could not list {cloud.buckets[0].url}" in outcome.event("part.failed")["message"]
    assert outcome.event("run.finished")["listing_failures"] == 1
    assert taken(cloud) == Counter()
    assert cloud.markers() == set()


class TestFromSomeMomentOn:
    """What has begun well does not end; still nothing is lost, and the run ends in time."""

    @pytest.mark.parametrize("way", ["no answer", "lost answer"])
    def test_publishing_fails_and_nothing_is_marked(self, way: str, cloud: Cloud) -> None:
        cloud.meet_with(Chance(way, cloud, among=lambda seen: bool(cloud.topics.sent(seen))))
        outcome = cloud.run(*NOW, *retry_policy(*SOME), timeout=longest(*SOME))
        assert outcome.status == 1
        assert cloud.markers() == set()
        finished = outcome.event("run.finished")
        assert finished["publish_failures"] == finished["failures"] > 0
        # After five requests that were refused, the rest is left for the next run, or not even listed.
        left = finished["intake_tasks_left"] + finished["aggregation_tasks_left"]
        assert finished["failures"] + left <= len(TASKS)
        assert finished["failures"] == len(TASKS) or finished["stopped"]
        assert cloud.run(*NOW).status == 0
        assert set(taken(cloud)) == TASKS

    @pytest.mark.parametrize("way", ["no answer", "throttled"])
    def test_markers_fail_and_each_repeat_is_announced(self, way: str, cloud: Cloud) -> None:
        cloud.meet_with(Chance(way, cloud, among=marks))
        outcome = cloud.run(*NOW, *retry_policy(*SOME), timeout=longest(*SOME))
        assert outcome.status == 1
        assert cloud.markers() == set()
        finished = outcome.event("run.finished")
        announced = [event["marker"] for event in outcome.events if event["event"] == "marker.failed"]
        assert finished["marker_failures"] == len(announced) == len(set(announced)) > 0
        assert cloud.run(*NOW).status == 0
        counts = taken(cloud)
        assert set(counts) == TASKS
        assert counts.total() == len(TASKS) + len(announced)

    @pytest.mark.parametrize("way", ["no answer", "reset connection"])
    @pytest.mark.parametrize("moment", [6, 20])
    def test_everything_fails(self, way: str, moment: int, cloud: Cloud) -> None:
        requests = itertools.count()
        chance = Chance(way, cloud, among=lambda _: next(requests) >= moment)
        cloud.meet_with(chance)
        outcome = cloud.run(*NOW, *retry_policy(*SOME), timeout=longest(*SOME))
        assert outcome.status == 1
        first = taken(cloud)
        markers = cloud.markers()
        assert len(markers) <= first.total(), "no marker without a message"
        # The lease of a run that could not give it back keeps others away for a while.
        assert cloud.run(*NOW, "--no-lease").status == 0
        counts = first + taken(cloud)
        assert set(counts) == TASKS
        assert counts.total() - len(TASKS) == first.total() - len(markers)


def test_thousands_of_listings_that_hang_do_not_add_up(server: Faulty, tmp_path: Path) -> None:
    """One after the other, they would take an hour and a half."""
    prefixes = "".join(f"<CommonPrefixes><Prefix>agg-{n}/</Prefix></CommonPrefixes>" for n in range(10_000))
    directories = answer(200, f"<ListBucketResult>{prefixes}</ListBucketResult>".encode())

    def top_level_only(exchange: Exchange) -> None:
        (directories if "delimiter" in exchange.seen.path else faulty.silent)(exchange)

    server.always = top_level_only
    flags = [f"--{name}=s3://us-east-1/{name}" for name in BUCKET_FLAGS]
    flags += ["--task-queue-kind=sqlite", f"--sqlite-path={tmp_path}/tasks.db"]
    flags += ["--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate", "--max-list-workers=2"]
    environ = {"AWS_ENDPOINT_URL": server.url, **KEYS}
    outcome = call(COMMAND, ["run", *flags, *NOW, *retry_policy(*NONE)], environ, longest(*NONE))
    assert outcome.status == 1
    given_up = outcome.event("bucket.given_up")
    assert given_up["bucket"] == "s3://us-east-1/ingestor-input"
    assert (
        "the circuit breaker of s3://us-east-1/ingestor-input opened"
        in outcome.event("run.finished")["stopped"]
    )
    assert len(server.seen) < 100
