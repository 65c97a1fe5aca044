"""With its extra alone, each kind of bucket and queue works: a run schedules, the next has nothing to do."""

import tomllib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from servers import moto
from servers.fixtures import KEYS, gcs_bucket, s3_bucket
from servers.kubernetes import ControlPlane
from support.command import Outcome, call, installed_with
from support.jobs import templates

pytestmark = pytest.mark.end_to_end

BATCH = "kittens-seen/2026/11/22/18/05/a1b2c3d4-0000-4000-8000-000000000001"
WHEN = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=24h", "--aggregation-period=8h", "--grace-period=4h")
Flags = tuple[list[str], dict[str, str]]


def _put(put: Callable[[str, str], object]) -> None:
    for ending in ("", ".avro", ".sig"):
        put("ingestion", f"{BATCH}.batch{ending}")
    put("peer", f"{BATCH}.validity_0.sig")


def _bucket_flags(urls: Mapping[str, str]) -> list[str]:
    return [
        f"--ingestor-input={urls['ingestion']}",
        f"--own-validation-input={urls['own']}",
        f"--peer-validation-input={urls['peer']}",
    ]


@pytest.fixture
def directories(tmp_path: Path) -> Flags:
    for name in ("ingestion", "own", "peer"):
        (tmp_path / name).mkdir()

    def put(bucket: str, key: str) -> None:
        (tmp_path / bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / bucket / key).touch()

    _put(put)
    return _bucket_flags({name: f"file://{tmp_path}/{name}" for name in ("ingestion", "own", "peer")}), {}


@pytest.fixture
def s3(moto_url: str) -> Flags:
    stores = {name: s3_bucket(moto_url) for name in ("ingestion", "own", "peer")}
    _put(lambda bucket, key: stores[bucket].put(key, b""))
    return _bucket_flags({name: store.url for name, store in stores.items()}), {
        "AWS_ENDPOINT_URL": moto_url,
        **KEYS,
    }


@pytest.fixture
def gcs(fake_gcs_url: str) -> Flags:
    stores = {name: gcs_bucket(fake_gcs_url) for name in ("ingestion", "own", "peer")}
    _put(lambda bucket, key: stores[bucket].put(key, b""))
    return _bucket_flags({name: store.url for name, store in stores.items()}), {
        "STORAGE_EMULATOR_HOST": fake_gcs_url
    }


def _topics(intake: str, aggregate: str) -> list[str]:
    return [f"--intake-tasks-topic={intake}", f"--aggregate-tasks-topic={aggregate}"]


@pytest.fixture
def names() -> list[str]:
    """Two topics that no other test uses."""
    return [f"t{uuid.uuid4().hex}", f"t{uuid.uuid4().hex}"]


@pytest.fixture
def sns(names: list[str], moto_url: str) -> Flags:
    arns = [moto.make_topic(moto_url, name) for name in names]
    return ["--task-queue-kind=aws-sns", f"--aws-sns-region={moto.REGION}", *_topics(*arns)], {
        "AWS_ENDPOINT_URL": moto_url,
        **KEYS,
    }


@pytest.fixture
def sqs(names: list[str], moto_url: str) -> Flags:
    for name in names:
        moto.make_queue(moto_url, name)
    return ["--task-queue-kind=aws-sqs", f"--aws-sqs-region={moto.REGION}", *_topics(*names)], {
        "AWS_ENDPOINT_URL": moto_url,
        **KEYS,
    }


@pytest.fixture
def pub_sub(names: list[str], pubsub_url: str) -> Flags:
    flags = ["--task-queue-kind=gcp-pubsub", "--gcp-project-id=project", "--gcp-pubsub-create-topics"]
    return [*flags, *_topics(*names)], {"PUBSUB_EMULATOR_HOST": pubsub_url}


@pytest.fixture
def nats(names: list[str], nats_url: str) -> Flags:
    flags = ["--task-queue-kind=nats", f"--nats-url={nats_url}", f"--nats-create-stream={names[0]}"]
    return [*flags, *_topics(*names)], {}


@pytest.fixture
def rabbitmq(names: list[str], rabbitmq_url: str) -> Flags:
    flags = ["--task-queue-kind=rabbitmq", f"--rabbitmq-url={rabbitmq_url}", "--rabbitmq-declare-queues"]
    return [*flags, *_topics(*names)], {}


@pytest.fixture
def redis(names: list[str], redis_url: str) -> Flags:
    return ["--task-queue-kind=redis", f"--redis-url={redis_url}", *_topics(*names)], {}


@pytest.fixture
def kubernetes(control_plane: ControlPlane, tmp_path: Path) -> Flags:
    config = control_plane.kubeconfig_for(control_plane.token, control_plane.namespace())
    folder = tmp_path / "templates"
    folder.mkdir()
    files = [f"--{flag}={path}" for flag, path in templates(folder).items()]
    return ["--task-queue-kind=kubernetes-jobs", f"--kubernetes-kubeconfig={config}", *files], {}


CASES = [
    ("aws", "s3", "sns"),
    ("aws", "s3", "sqs"),
    ("gcp", "gcs", "pub_sub"),
    ("kubernetes", "directories", "kubernetes"),
    ("nats", "directories", "nats"),
    ("rabbitmq", "directories", "rabbitmq"),
    ("redis", "directories", "redis"),
    ("all", "s3", "pub_sub"),
    ("all", "gcs", "sqs"),
]


def test_no_extra_is_forgotten() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    with_a_page_of_its_own = {"serve"}  # see test_first_steps.py
    assert {extra for extra, _, _ in CASES} | with_a_page_of_its_own == set(project["optional-dependencies"])


@pytest.mark.parametrize(("extra", "buckets", "queue"), CASES)
def test_a_run_schedules_and_the_next_has_nothing_to_do(
    extra: str, buckets: str, queue: str, request: pytest.FixtureRequest
) -> None:
    (bucket_flags, reach_buckets), (queue_flags, reach_queue) = map(request.getfixturevalue, (buckets, queue))

    def run() -> Outcome:
        arguments = ["run", *bucket_flags, *queue_flags, *WHEN]
        outcome = call(installed_with(extra), arguments, {**reach_buckets, **reach_queue})
        assert outcome.status == 0, outcome.stderr
        return outcome

    def scheduled(outcome: Outcome) -> int:
        return sum(event["event"] == "task.scheduled" for event in outcome.events)

    assert scheduled(run()) == 2, "the batch's intake, and its window's aggregation"
    assert scheduled(run()) == 0
