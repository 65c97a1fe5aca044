"""Whom each adapter believes: a certificate of a trusted authority, for the very host that was asked for."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servers.fixtures import KEYS
from servers.tls import Authority, tls_listener
from workflow_manager import registry
from workflow_manager.core.report import RunReport
from workflow_manager.errors import WorkflowManagerError
from workflow_manager.observe import metrics
from workflow_manager.observe.samples import run_samples
from workflow_manager.ports import RetryPolicy, Settings
from workflow_manager.testing.queue_contract import messages

HOST = "127.0.0.1"
ROLE = "arn:aws:iam::123456789012:role/reader"
TOPIC = "arn:aws:sns:us-east-1:123456789012:intake"
ONCE = RetryPolicy(connect_timeout=10, read_timeout=10, tries=1, total_timeout=20)
# What a NATS server says before TLS begins.
NATS_INFO = (
    b'INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1000000,"tls_required":true}\r\n'
)


class Client:
    """Uses one adapter on a server at a port, with a bundle of authorities to trust."""

    def __init__(self, directory: Path, bundle: Path, port: int) -> None:
        self.directory = directory
        self.bundle = str(bundle)
        self.url = f"https://{HOST}:{port}"
        self.port = port

    def s3(self) -> None:
        self._list(
            "s3://us-east-1/bucket", {"AWS_ENDPOINT_URL_S3": self.url, "AWS_CA_BUNDLE": self.bundle, **KEYS}
        )

    def sts(self) -> None:
        token = self.directory / "token"
        token.write_text("a web identity")
        environ = {
            "AWS_ENDPOINT_URL_S3": f"http://{HOST}:1",
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "REQUESTS_CA_BUNDLE": self.bundle,
        }
        self._list("s3://us-east-1/bucket", environ, ROLE)

    def gcs(self) -> None:
        self._list("gs://bucket", {"STORAGE_EMULATOR_HOST": self.url, "REQUESTS_CA_BUNDLE": self.bundle})

    def google_tokens(self) -> None:
        self._list("gs://bucket", {"SSL_CERT_FILE": self.bundle})

    def pubsub(self) -> None:
        environ = {"PUBSUB_EMULATOR_HOST": self.url, "SSL_CERT_FILE": self.bundle}
        self._publish("gcp-pubsub", {"gcp-project-id": "p"}, environ)

    def sns(self) -> None:
        environ = {"AWS_ENDPOINT_URL": self.url, "SSL_CERT_FILE": self.bundle, **KEYS}
        self._publish("aws-sns", {"aws-sns-region": "us-east-1"}, environ, TOPIC)

    def sqs(self) -> None:
        environ = {"AWS_ENDPOINT_URL_SQS": self.url, "AWS_CA_BUNDLE": self.bundle, **KEYS}
        self._publish("aws-sqs", {"aws-sqs-region": "us-east-1"}, environ)

    def redis(self) -> None:
        self._publish("redis", {"redis-url": f"rediss://{HOST}:{self.port}/0"}, {})

    def nats(self) -> None:
        self._publish("nats", {"nats-url": f"tls://{HOST}:{self.port}"}, {})

    def rabbitmq(self) -> None:
        self._publish("rabbitmq", {"rabbitmq-url": f"amqps://u:p@{HOST}:{self.port}/"}, {})

    def pushgateway(self) -> None:
        samples = run_samples(RunReport(dry_run=False), 0)
        metrics.push(samples, self.url, {"locality": "x", "ingestor": "y"})

    def _list(self, url: str, environ: dict[str, str], identity: str = "") -> None:
        settings = Settings(identity=identity, environ=environ, retry_policy=ONCE)
        with closing(registry.store(url.partition(":")[0]).open(url, settings)) as store:
            list(store.list_keys(""))

    def _publish(
        self, kind: str, options: dict[str, object], environ: dict[str, str], topic: str = "intake"
    ) -> None:
        settings = Settings(options, environ=environ, retry_policy=ONCE)
        with closing(registry.queue(kind).open(settings)) as queue:
            for error in queue.publish(topic, messages(1)):
                assert error is not None
                raise error


Adapter = Callable[[Client], None]
Use = Callable[[Adapter, Path], tuple[str, list[bytes]]]
ADAPTERS = [
    Client.s3,
    Client.sts,
    Client.gcs,
    Client.google_tokens,
    Client.pubsub,
    Client.sns,
    Client.sqs,
    Client.redis,
    Client.nats,
    Client.rabbitmq,
    Client.pushgateway,
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "trusted")


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption()).decode()


@pytest.fixture
def use(authority: Authority, private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Uses an adapter on a server with a certificate: its error, and what it has told the server."""
    # Some libraries read the process's own environment.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))

    def use(adapter: Adapter, certificate: Path) -> tuple[str, list[bytes]]:
        with tls_listener(certificate, NATS_INFO if adapter is Client.nats else b"") as listener:
            client = Client(tmp_path, authority.bundle, listener.port)
            account = {
                "type": "service_account",
                "client_email": "x@example.com",
                "private_key": private_key,
                "token_uri": f"{client.url}/token",
            }
            (tmp_path / "account.json").write_text(json.dumps(account))
            with pytest.raises(WorkflowManagerError) as failed:
                adapter(client)
            return str(failed.value), listener.received

    return use


@pytest.mark.parametrize("adapter", ADAPTERS)
class TestEachAdapter:
    def test_speaks_to_the_host_that_a_trusted_certificate_is_for(
        self, adapter: Adapter, use: Use, authority: Authority
    ) -> None:
        _, received = use(adapter, authority.certificate(HOST))
        assert received  # after which the server hangs up

    @pytest.mark.parametrize("other", ["wrong.example", "127.0.0.2"])
    def test_refuses_a_trusted_certificate_for_another_host(
        self,
        adapter: Adapter,
        other: str,
        use: Use,
        authority: Authority,
    ) -> None:
        error, received = use(adapter, authority.certificate(other))
        assert received == []
        assert "certificate" in error.lower()

    def test_refuses_the_certificate_of_an_authority_that_is_not_trusted(
        self,
        adapter: Adapter,
        use: Use,
        tmp_path: Path,
    ) -> None:
        error, received = use(adapter, Authority(tmp_path, "unknown").certificate(HOST))
        assert received == []
        assert "certificate" in error.lower()
