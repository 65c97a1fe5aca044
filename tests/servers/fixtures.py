"""The servers as fixtures, each started when the first test asks for it; a plug-in of all tests."""

import uuid
from collections.abc import Iterator, Mapping

import pytest

from servers import fake_gcs, faulty, kubernetes, moto, pubsub, seaweedfs
from servers.brokers import nats_server, rabbitmq_server, redis_server
from workflow_manager.clouds import service
from workflow_manager.ports import NobodyCounts, RequestObserver, RetryPolicy, Settings
from workflow_manager.storage.gcs import GcsStore
from workflow_manager.storage.s3 import S3Store

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto.moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs"), KEYS) as url:
        yield url


@pytest.fixture(scope="session")
def fake_gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fake_gcs.fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nats_server(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


@pytest.fixture(scope="session")
def pubsub_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pubsub.pubsub(tmp_path_factory.mktemp("pubsub")) as url:
        yield url


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kubernetes.ControlPlane]:
    """A Kubernetes API server. Each worker has its own, as controllers would disturb other tests."""
    with kubernetes.control_plane(tmp_path_factory.mktemp("kubernetes")) as plane:
        yield plane


@pytest.fixture(scope="module")
def controllers(control_plane: kubernetes.ControlPlane) -> Iterator[kubernetes.ControlPlane]:
    """The same while its controllers are at work, which is for as long as a module's tests need them."""
    with kubernetes.controllers(control_plane):
        yield control_plane


@pytest.fixture
def server() -> Iterator[faulty.Faulty]:
    """A server with nothing behind it, which does only what it is told."""
    with faulty.faulty() as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly any pause between tries."""
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.001)


def s3_bucket(
    url: str,
    through: str = "",
    retry_policy: RetryPolicy | None = None,
    requests: RequestObserver | None = None,
) -> S3Store:
    """A new bucket on a server of S3, used through another server if one is given."""
    name = f"b-{uuid.uuid4()}"
    moto.make_bucket(url, name, KEYS)
    environ: Mapping[str, str] = {"AWS_ENDPOINT_URL_S3": through or url, **KEYS}
    settings = Settings(
        environ=environ, retry_policy=retry_policy or RetryPolicy(), requests=requests or NobodyCounts()
    )
    return S3Store.open(f"s3://{moto.REGION}/{name}", settings)


def gcs_bucket(
    url: str,
    through: str = "",
    retry_policy: RetryPolicy | None = None,
    requests: RequestObserver | None = None,
) -> GcsStore:
    """A new bucket on a server of Cloud Storage, used through another server if one is given."""
    name = f"b-{uuid.uuid4()}"
    fake_gcs.make_bucket(url, name)
    environ = {"STORAGE_EMULATOR_HOST": through or url}
    settings = Settings(
        environ=environ, retry_policy=retry_policy or RetryPolicy(), requests=requests or NobodyCounts()
    )
    return GcsStore.open(f"gs://{name}", settings)
