"""Requests, retries and bytes of a bucket by operation, as metrics tell them."""

from pathlib import Path

import pytest

from servers import faulty
from servers.faulty import answer
from servers.fixtures import gcs_bucket, s3_bucket
from workflow_manager.clouds.aws import explain
from workflow_manager.clouds.http import Request
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.core.report import Transfers
from workflow_manager.errors import StorageError
from workflow_manager.observe.request_counts import BucketCounts, RequestCounts
from workflow_manager.ports import ObjectStore, RetryPolicy, Settings
from workflow_manager.storage.local import LocalStore

PATIENCE = RetryPolicy(read_timeout=20, tries=4, total_timeout=40)


def work(store: ObjectStore) -> None:
    """Seven objects of ten bytes; all are listed, one is read, one is removed."""
    for number in range(7):
        store.put(f"many/{number}", b"0123456789")
    assert sum(len(page) for page in store.list_keys("many/")) == 7
    assert store.get("many/0") == b"0123456789"
    assert store.get("many/none") is None
    store.delete("many/0")


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_cloud_store_counts_each_request_and_each_try(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_manager.clouds.service.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("workflow_manager.clouds.paging.PAGE_SIZE", 3)
    upstream = request.getfixturevalue("moto_url" if kind == "s3" else "fake_gcs_url")
    counts = RequestCounts()
    with faulty.faulty(upstream) as between:
        store = (s3_bucket if kind == "s3" else gcs_bucket)(upstream, between.url, PATIENCE, counts)
        between.script.extend([answer(503), answer(503)])
        work(store)
        store.close()
    found = counts.transfers()
    assert {name: (one.requests, one.retries) for name, one in found.items()} == {
        "write": (9, 2),
        "list": (3, 0),
        "read": (2, 0),
        "delete": (1, 0),
    }
    assert found["write"].sent_bytes >= 9 * 10
    assert found["list"].received_bytes > 0
    assert found["read"].received_bytes >= 10


def test_a_directory_counts_each_operation_and_a_listing_as_one(tmp_path: Path) -> None:
    counts = RequestCounts()
    work(LocalStore.open(f"file://{tmp_path}", Settings(requests=counts)))
    assert counts.transfers() == {
        "write": Transfers(7, 0, sent_bytes=70),
        "list": Transfers(1),
        "read": Transfers(2, 0, received_bytes=10),
        "delete": Transfers(1),
    }


def test_an_operation_on_a_directory_that_fails_counts_too(tmp_path: Path) -> None:
    counts = RequestCounts()
    store = LocalStore.open(f"file://{tmp_path}/missing", Settings(requests=counts))
    with pytest.raises(StorageError, match="No such file"):
        list(store.list_keys(""))
    assert counts.transfers() == {"list": Transfers(1)}


def test_requests_that_are_no_operation_on_a_bucket_are_not_counted(server: faulty.Faulty) -> None:
    counts = RequestCounts()
    service = Service(server.url, {}, PATIENCE, authorize=no_authorization, explain=explain, requests=counts)
    server.script.extend([answer(200, b"token"), answer(200, b"page")])
    service.send(Request("POST", "/token"), frozenset({200}))
    service.send(Request("GET", "/", operation="list"), frozenset({200}))
    service.close()
    assert counts.transfers() == {"list": Transfers(1, 0, 0, received_bytes=4)}


def test_what_was_added_since_an_earlier_time() -> None:
    counts = BucketCounts()
    counts.of("own").requested("write", 5, 0)
    before = counts.transfers()
    counts.of("own").requested("write", 7, 1, retry=True)
    counts.of("peer").requested("list", 0, 9)
    assert counts.transfers(since=before) == {
        "ingestion": {},
        "own": {"write": Transfers(1, 1, 7, 1)},
        "peer": {"list": Transfers(1, 0, 0, 9)},
    }
    assert counts.transfers()["own"] == {"write": Transfers(2, 1, 12, 1)}
