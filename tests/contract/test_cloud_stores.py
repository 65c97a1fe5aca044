"""The store contract, over the stores of both clouds, on servers that the tests start."""

import uuid
from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest

from servers import fake_gcs, moto
from servers.seaweedfs import seaweedfs
from workflow_manager.ports import ObjectStore, Settings
from workflow_manager.storage.gcs import GcsStore
from workflow_manager.storage.s3 import S3Store
from workflow_manager.testing.store_contract import ODD, StoreContract, keys

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto.moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as url:
        yield url


@pytest.fixture(scope="session")
def fake_gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fake_gcs.fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as url:
        yield url


def s3_bucket(url: str) -> S3Store:
    name = f"b-{uuid.uuid4()}"
    moto.make_bucket(url, name)
    environ: Mapping[str, str] = {"AWS_ENDPOINT_URL_S3": url, **KEYS}
    return S3Store.open(f"s3://{moto.REGION}/{name}", Settings(environ=environ))


class TestS3OnMoto(StoreContract):
    # moto's HTTP server takes no line feed in a path, however it is encoded.
    odd_names: ClassVar[list[str]] = [*(name for name in ODD if "\n" not in name), "tab\t/cr\r"]

    @pytest.fixture
    def store(self, moto_url: str) -> Iterator[ObjectStore]:
        store = s3_bucket(moto_url)
        yield store
        store.close()


class TestS3OnSeaweedFS(StoreContract):
    """SeaweedFS keeps objects in directories, with names and an order that follow from that."""

    odd_names: ClassVar[list[str]] = ["tab\t/nl\n/cr\r", "ctl/\x01\x1f\x7f"]

    @pytest.fixture
    def store(self, seaweedfs_url: str) -> Iterator[ObjectStore]:
        store = s3_bucket(seaweedfs_url)
        yield store
        store.close()

    def test_get_answers_none_for_an_object_that_is_not_there(self, store: ObjectStore) -> None:
        store.put("a/b", b"")
        assert [store.get(key) for key in ("a", "a/c", "x/y")] == [None] * 3  # not "a/", its directory

    @pytest.mark.parametrize(
        ("after", "before"), [("", ""), ("a/05/2", ""), ("", "a/06/"), ("a/05/1.x", "a/06/2"), ("b", "")]
    )
    def test_after_and_before_are_bounds_that_lie_outside(
        self, store: ObjectStore, after: str, before: str
    ) -> None:
        # Names such as a batch's objects have, where the order of directories is that of the names.
        names = [f"a/{minute}/{name}" for minute in ("05", "06") for name in ("1.x", "1.x.sig", "2", "3")]
        for name in names:
            store.put(name, b"")
        inside = [name for name in names if name > after and (not before or name < before)]
        assert keys(store, after=after, before=before) == inside

    def test_a_directory_can_have_an_odd_name(self, store: ObjectStore) -> None:
        store.put("a//b", b"")
        assert keys(store) == ["a/b"]  # which no client can know beforehand


class TestGcsOnFakeGcsServer(StoreContract):
    # Cloud Storage has no line breaks in names.
    odd_names: ClassVar[list[str]] = [*(name for name in ODD if "\n" not in name), "tab\t/x"]

    @pytest.fixture
    def store(self, fake_gcs_url: str) -> Iterator[ObjectStore]:
        name = f"b-{uuid.uuid4()}"
        fake_gcs.make_bucket(fake_gcs_url, name)
        store = GcsStore.open(f"gs://{name}", Settings(environ={"STORAGE_EMULATOR_HOST": fake_gcs_url}))
        yield store
        store.close()
