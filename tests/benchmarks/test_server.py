"""The benchmarks' server keeps to the protocols, as the stores and the queue's requests see them."""

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import ClassVar

import pytest

import http2_front
from filling import OWN_BUCKET, Filling
from servers.process import absent
from serving import RunningServer, serving
from workflow_manager.ports import ObjectStore, Settings
from workflow_manager.storage.gcs import GcsStore
from workflow_manager.storage.s3 import S3Store
from workflow_manager.testing.store_contract import ODD, StoreContract

EMPTY = Filling(0, 0, 0, marked=0, aggregated=False)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(tls=False) as running:
        yield running


class TestS3(StoreContract):
    @pytest.fixture
    def store(self, server: RunningServer) -> Iterator[ObjectStore]:
        server.fill(EMPTY)
        environ = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
        store = S3Store.open(f"s3://us-east-1/{OWN_BUCKET}", Settings(environ=environ))
        yield store
        store.close()


class TestCloudStorage(StoreContract):
    # Cloud Storage has no line breaks in names.
    odd_names: ClassVar[list[str]] = [*(name for name in ODD if "\n" not in name), "tab\t/x"]

    @pytest.fixture
    def store(self, server: RunningServer) -> Iterator[ObjectStore]:
        server.fill(EMPTY)
        environ = {"STORAGE_EMULATOR_HOST": server.url}
        store = GcsStore.open(f"gs://{OWN_BUCKET}", Settings(environ=environ))
        yield store
        store.close()


@pytest.fixture(scope="module")
def front() -> Iterator[RunningServer]:
    if http2_front.program() is None:
        absent(http2_front.HOW_TO_GET)
    with serving(tls=True, http2=True) as running:
        yield running


class TestCloudStorageOverHttp2(TestCloudStorage):
    @pytest.fixture
    def store(self, front: RunningServer) -> Iterator[ObjectStore]:
        front.fill(EMPTY)
        environ = {"STORAGE_EMULATOR_HOST": front.url, "REQUESTS_CA_BUNDLE": front.certificate}
        store = GcsStore.open(f"gs://{OWN_BUCKET}", Settings(environ=environ))
        yield store
        store.close()

    def test_it_offers_both_versions(self, front: RunningServer) -> None:
        for offered in (["h2", "http/1.1"], ["http/1.1"]):
            context = ssl.create_default_context(cafile=front.certificate)
            context.set_alpn_protocols(offered)
            with (
                socket.create_connection(("127.0.0.1", front.port)) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            ):
                assert connection.selected_alpn_protocol() == offered[0]


SNS = (
    "Action=PublishBatch&PublishBatchRequestEntries.member.1.Id=one&PublishBatchRequestEntries.member.1.Message=a"
    "&PublishBatchRequestEntries.member.2.Id=two&PublishBatchRequestEntries.member.2.Message=b"
)


@pytest.mark.parametrize(
    ("target", "body", "answered"),
    [
        ("/", SNS, "<Successful><member><Id>one</Id>"),
        ("/", "Action=Publish&Message=a&TopicArn=b", "<MessageId>"),
        ("/v1/projects/p/topics/t:publish", '{"messages": [{"data": "YQ=="}]}', '{"messageIds":["1"]}'),
    ],
    ids=["SNS, a batch", "SNS, one", "Pub/Sub"],
)
def test_messages_are_acknowledged_and_counted(
    server: RunningServer, target: str, body: str, answered: str
) -> None:
    server.reset(0)
    assert answered in post(server, target, body)
    assert server.counters()["requests"] == {"publish": 1}
    assert server.counters()["messages"] == (2 if "Batch" in body else 1)


def test_a_bucket_is_as_it_was_filled_after_a_reset(server: RunningServer) -> None:
    server.fill(Filling(2, 3, 4, marked=0.5, aggregated=True))
    filled = server.counters()["objects"]
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", f"/{OWN_BUCKET}/more", b"content")
    assert connection.getresponse().status == 200
    connection.close()
    assert server.counters()["objects"][OWN_BUCKET] == filled[OWN_BUCKET] + 1
    server.reset(0)
    assert server.counters() == {"requests": {}, "messages": 0, "most_in_flight": 0, "objects": filled}
    assert list(filled.values()) == [2 * 3 * 4 * 3, 2 * 3 * 4 // 2 + 2, 2 * 3 * 4 * 3]


def post(server: RunningServer, target: str, body: str) -> str:
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", target, body)
    text = connection.getresponse().read().decode()
    connection.close()
    return text
