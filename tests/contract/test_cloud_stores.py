"""The store contract, over the stores of both clouds, on servers that the tests start."""

from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest

from servers.fixtures import KEYS, gcs_bucket, s3_bucket
from workflow_manager.errors import StorageError
from workflow_manager.ports import ObjectStore, Settings
from workflow_manager.storage.s3 import S3Store
from workflow_manager.testing.store_contract import ODD, BatchWriterContract, keys


class TestS3OnMoto(BatchWriterContract):
    many: ClassVar[int] = 2050  # moto writes some 300 a second

    # moto's HTTP server takes no line feed in a path, however it is encoded.
    odd_names: ClassVar[list[str]] = [*(name for name in ODD if "\n" not in name), "tab\t/cr\r"]

    @pytest.fixture
    def store(self, moto_url: str) -> Iterator[ObjectStore]:
        store = s3_bucket(moto_url)
        yield store
        store.close()


class TestS3OnSeaweedFS(BatchWriterContract):
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
        ("after", "before"),
        [
            ("", ""),
            ("a/05/2", ""),
            ("", "a/06/"),
            ("a/05/1.x", "a/06/2"),
            ("b", ""),
            ("a/05", "a/06"),
            ("a/06", ""),
            ("a/0", "a/05/2"),
            ("a", ""),
        ],
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


class TestGcsOnFakeGcsServer(BatchWriterContract):
    many: ClassVar[int] = 2050  # the server slows down with every object

    # Cloud Storage has no line breaks in names.
    odd_names: ClassVar[list[str]] = [*(name for name in ODD if "\n" not in name), "tab\t/x"]

    @pytest.fixture
    def store(self, fake_gcs_url: str) -> Iterator[ObjectStore]:
        store = gcs_bucket(fake_gcs_url)
        yield store
        store.close()


def test_seaweedfs_does_check_signatures(seaweedfs_url: str) -> None:
    """What the contract shows there, it shows of signatures too."""
    store = s3_bucket(seaweedfs_url)
    wrong = Settings(environ={"AWS_ENDPOINT_URL": seaweedfs_url, **KEYS, "AWS_SECRET_ACCESS_KEY": "wrong"})
    with closing(S3Store.open(store.url, wrong)) as stranger, pytest.raises(StorageError, match="Signature"):
        stranger.put("a", b"")
    store.put("a", b"")
    store.close()
