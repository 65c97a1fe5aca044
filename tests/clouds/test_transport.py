"""Whose certificates are trusted, and which requests go through a proxy."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from servers.faulty import Faulty, answer, faulty, silent
from workflow_manager.clouds.aws import CA_VARIABLES, explain
from workflow_manager.clouds.connections import proxy_for
from workflow_manager.clouds.http import CloudError, Request
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.errors import ConfigError
from workflow_manager.ports import RetryPolicy

OK = frozenset({200})
GET = Request("GET", "/bucket?x=1")


def send(url: str, **environ: str) -> bytes:
    return patient(url, RetryPolicy(), environ)


def patient(url: str, retry_policy: RetryPolicy, environ: Mapping[str, str]) -> bytes:
    service = Service(
        url, environ, retry_policy, authorize=no_authorization, explain=explain, ca_variables=CA_VARIABLES
    )
    try:
        return service.send(GET, OK).body
    finally:
        service.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(signed.public_bytes(pem) + secret)
    return path


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[Faulty]:
    """A server that speaks TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with faulty(tls=context) as server:
        server.always = answer(200, b"trusted")
        yield server


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(encrypted: Faulty) -> None:
    with pytest.raises(CloudError, match=r"the certificate of 127.* is not trusted: self-signed") as failed:
        send(encrypted.url)
    assert failed.value.tries == 1
    assert "AWS_CA_BUNDLE" in failed.value.advice


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_names_further_certificates(
    variable: str, encrypted: Faulty, certificate: Path
) -> None:
    assert send(encrypted.url, **{variable: str(certificate)}) == b"trusted"


def test_a_service_that_speaks_tls_and_says_nothing_is_not_waited_for(
    encrypted: Faulty, certificate: Path
) -> None:
    encrypted.always = silent
    with pytest.raises(CloudError, match=r"did not answer within 0\.2 s"):
        patient(encrypted.url, RetryPolicy(read_timeout=0.2, tries=1), {"AWS_CA_BUNDLE": str(certificate)})


def test_a_bundle_that_cannot_be_read_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the CA bundle .* cannot be read: No such file"):
        send("https://127.0.0.1", AWS_CA_BUNDLE=str(tmp_path / "missing.pem"))


@pytest.mark.parametrize("endpoint", ["minio:9000", "minio", "ftp://minio", "http://"])
def test_an_endpoint_that_is_no_url_is_a_mistake_in_the_configuration(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=f"the endpoint '{endpoint}' in the environment is no URL"):
        send(endpoint)


@pytest.mark.parametrize(
    ("scheme", "environ", "proxy"),
    [
        ("https", {}, ""),
        ("https", {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("https", {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("https", {"HTTP_PROXY": "http://proxy:3128"}, ""),
        ("https", {"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("http", {"http_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ("http", {"HTTP_PROXY": "http://proxy:3128", "REQUEST_METHOD": "GET"}, ""),
        ("https", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other.example"}, "http://proxy:3128"),
        ("https", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".amazonaws.com"}, ""),
        ("https", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, ""),
    ],
)
def test_proxies_are_used_as_the_environment_says(scheme: str, environ: dict[str, str], proxy: str) -> None:
    assert proxy_for(scheme, "b.s3.eu-west-1.amazonaws.com", environ) == proxy


def test_a_proxy_is_asked_for_the_whole_url_and_told_its_password(server: Faulty) -> None:
    server.always = answer(200, b"by proxy")
    proxy = server.url.replace("//", "//user:pass%40word@")
    assert send("http://storage.example", http_proxy=proxy) == b"by proxy"
    assert server.seen[0].path == "http://storage.example/bucket?x=1"
    assert server.seen[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="


def test_a_proxy_that_refuses_is_named(server: Faulty) -> None:
    server.always = answer(407)
    with pytest.raises(CloudError, match=r"storage\.example cannot be reached through the proxy: .*407"):
        send("https://storage.example", HTTPS_PROXY=server.url)


class Tunnel:
    """A proxy that passes one connection on, once it was asked to, and then takes no part in it."""

    def __init__(self) -> None:
        self.asked = ""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        client, _ = self.listener.accept()
        while "\r\n\r\n" not in self.asked:
            self.asked += client.recv(65536).decode()
        host, _, port = self.asked.split()[1].rpartition(":")
        with client, socket.create_connection((host, int(port))) as service:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(service, client))
            back.start()
            _copy(client, service)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until it ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other direction has ended it


@contextmanager
def tunnel() -> Iterator[Tunnel]:
    proxy = Tunnel()
    yield proxy
    proxy.thread.join()
    proxy.listener.close()


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("https://proxy:3128", "the proxy in the environment is reached by TLS, which is not supported"),
        ("http://proxy:port", "the proxy 'http://proxy:port' in the environment is no URL"),
        ("socks5://proxy:1080", "the proxy 'socks5://proxy:1080' in the environment is no URL"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_mistake_in_the_configuration(proxy: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        send("https://storage.example", HTTPS_PROXY=proxy)


def test_a_tunnel_through_a_proxy_is_encrypted_to_the_service(encrypted: Faulty, certificate: Path) -> None:
    with tunnel() as proxy:
        environ = {"HTTPS_PROXY": f"http://user:word@{proxy.address}", "SSL_CERT_FILE": str(certificate)}
        assert send(encrypted.url, **environ) == b"trusted"
    assert proxy.asked.startswith(f"CONNECT {encrypted.url.removeprefix('https://')} HTTP/1.")
    assert "Basic dXNlcjp3b3Jk" in proxy.asked
