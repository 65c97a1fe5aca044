"""Whose certificates are trusted, and which requests go through which proxy."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers import certificates
from servers.certificates import Authority
from servers.faulty import Faulty, answer, faulty, silent
from servers.scripted import each, scripted
from workflow_manager.clouds.aws import CA_VARIABLES, explain
from workflow_manager.clouds.connect_options import proxy_for, trusted
from workflow_manager.clouds.http import CloudError, Request
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.clouds.tls_settings import TlsSettings
from workflow_manager.errors import ConfigError
from workflow_manager.ports import RetryPolicy

OK = frozenset({200})
GET = Request("GET", "/bucket?x=1")
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole"
ONCE = RetryPolicy(tries=1)


def send(url: str, **environ: str) -> bytes:
    return patient(url, ONCE, environ)


def patient(url: str, retry_policy: RetryPolicy, environ: Mapping[str, str]) -> bytes:
    service = Service(
        url,
        environ,
        retry_policy,
        authorize=no_authorization,
        explain=explain,
        tls=TlsSettings(ca_variables=CA_VARIABLES),
    )
    try:
        return service.send(GET, OK).body
    finally:
        service.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    """The file to trust the encrypted server with."""
    return authority.bundle


@pytest.fixture
def encrypted(authority: Authority) -> Iterator[Faulty]:
    """A server that speaks TLS with a certificate of that authority."""
    with faulty(tls=authority.server()) as server:
        server.always = answer(200, b"trusted")
        yield server


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ("unknown issuer", "unable to get local issuer certificate"),
        ("self-signed", "self-signed"),
        ("expired", "certificate has expired"),
        ("another host", "127.0.0.1"),
    ],
)
def test_a_certificate_that_is_wrong_is_refused_at_once(
    wrong: str, cause: str, authority: Authority, tmp_path: Path
) -> None:
    context = {
        "unknown issuer": lambda: Authority(tmp_path, "another").server(),
        "self-signed": lambda: certificates.self_signed(tmp_path)[0],
        "expired": lambda: authority.server(ends=-certificates.DAY),
        "another host": lambda: authority.server("127.0.0.2"),
    }[wrong]()
    with scripted(each(WHOLE), tls=context) as server:
        with pytest.raises(
            CloudError, match=f"the certificate of 127.0.0.1:{server.port} is not trusted: .*{cause}"
        ) as failed:
            patient(server.url, RetryPolicy(), {"SSL_CERT_FILE": str(authority.bundle)})
        assert failed.value.tries == 1
        assert "AWS_CA_BUNDLE" in failed.value.advice
        assert server.connections == 1


def test_a_certificate_that_is_trusted_by_itself_needs_no_issuer(tmp_path: Path) -> None:
    context, bundle = certificates.self_signed(tmp_path)
    with scripted(each(WHOLE), tls=context) as server:
        assert send(server.url, SSL_CERT_FILE=str(bundle)) == b"whole"


@pytest.mark.parametrize(
    ("version", "taken"), [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)]
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_nothing_older_than_tls_1_2_is_spoken(
    version: ssl.TLSVersion,
    authority: Authority,
    *,
    taken: bool,
) -> None:
    context = authority.server()
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with scripted(each(WHOLE), tls=context) as server:
        if taken:
            assert send(server.url, SSL_CERT_FILE=str(authority.bundle)) == b"whole"
        else:
            with pytest.raises(CloudError, match=r"broke: .*version"):
                send(server.url, SSL_CERT_FILE=str(authority.bundle))


def test_certificates_may_lie_in_a_folder_under_their_hashes(
    encrypted: Faulty, certificate: Path, tmp_path: Path
) -> None:
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", certificate], check=True, capture_output=True, text=True
    ).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(certificate.read_bytes())
    assert send(encrypted.url, SSL_CERT_DIR=str(tmp_path)) == b"trusted"
    assert send(encrypted.url, AWS_CA_BUNDLE=str(tmp_path)) == b"trusted"


def test_without_a_word_in_the_environment_the_system_s_certificates_are_trusted() -> None:
    file, folder = trusted({}, ())
    assert folder is None
    assert file is not None
    assert b"BEGIN CERTIFICATE" in Path(file).read_bytes()


def test_the_process_s_own_environment_is_not_read(
    server: Faulty, encrypted: Faulty, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.always = answer(200, b"direct")
    assert send(server.url) == b"direct"
    assert send(encrypted.url, SSL_CERT_FILE=str(certificate)) == b"trusted"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(CloudError, match="is not trusted"):
        send(encrypted.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    with pytest.raises(CloudError, match="through the proxy"):
        send(server.url, http_proxy="http://127.0.0.1:1")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_names_further_certificates(
    variable: str, encrypted: Faulty, certificate: Path
) -> None:
    assert send(encrypted.url, **{variable: str(certificate)}) == b"trusted"


def test_a_service_that_speaks_tls_and_says_nothing_is_not_waited_for(
    encrypted: Faulty, certificate: Path
) -> None:
    encrypted.always = silent
    with pytest.raises(CloudError, match=r"did not answer within"):
        patient(
            encrypted.url,
            RetryPolicy(read_timeout=0.2, total_timeout=1, tries=1),
            {"AWS_CA_BUNDLE": str(certificate)},
        )


def test_a_bundle_that_cannot_be_read_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the CA bundle .* cannot be read: No such file"):
        send("https://127.0.0.1", AWS_CA_BUNDLE=str(tmp_path / "missing.pem"))


@pytest.mark.parametrize("endpoint", ["minio:9000", "minio", "ftp://minio", "http://", "http://minio/a b"])
def test_an_endpoint_that_is_no_url_is_a_mistake_in_the_configuration(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=f"the endpoint '{endpoint}' in the environment is not a valid URL"):
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
    ],
)
def test_proxies_are_used_as_the_environment_says(scheme: str, environ: dict[str, str], proxy: str) -> None:
    assert proxy_for(scheme, environ) == proxy


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "other.example, 127.0.0.1", True),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "*", True),
        ("localhost", "localhost", True),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "other.example", False),
        ("127.0.0.1", "10.0.0.0/8", False),
        ("localhost", "host", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_hosts_can_be_left_out(
    host: str,
    no_proxy: str,
    variable: str,
    server: Faulty,
    *,
    direct: bool,
) -> None:
    server.always = answer(200, b"direct")
    url = server.url.replace("127.0.0.1", host)
    environ = {"http_proxy": "http://127.0.0.1:1", variable: no_proxy}
    if direct:
        assert send(url, **environ) == b"direct"
    else:
        with pytest.raises(CloudError, match="cannot be reached through the proxy: Connection refused"):
            send(url, **environ)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("invalid", True), (".invalid", True), ("storage.invalid", True), ("rage.invalid", False)],
)
def test_a_domain_stands_for_all_its_hosts(no_proxy: str, *, direct: bool) -> None:
    cause = "cannot resolve host" if direct else "through the proxy"
    with pytest.raises(CloudError, match=cause):
        send("http://storage.invalid", http_proxy="http://127.0.0.1:1", no_proxy=no_proxy)


def test_a_proxy_is_asked_for_the_whole_url_and_told_its_password(server: Faulty) -> None:
    server.always = answer(200, b"by proxy")
    proxy = server.url.replace("//", "//user:pass%40word@")
    assert send("http://storage.example", http_proxy=proxy) == b"by proxy"
    assert server.seen[0].path == "http://storage.example/bucket?x=1"
    assert server.seen[0].headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="


def test_a_proxy_that_refuses_is_named(server: Faulty) -> None:
    server.always = answer(407)
    with pytest.raises(CloudError, match=r"storage\.example cannot be reached through the proxy: .*407"):
        send("https://storage.example", HTTPS_PROXY=server.url)


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\1\2\r\n\r\n", b"HTTP/9.9 hello\r\n\r\n"]
)
@pytest.mark.parametrize("target", ["https://storage.example", "http://storage.example"])
def test_a_proxy_that_answers_garbage_is_an_error_as_any_other(target: str, garbage: bytes) -> None:
    with scripted(each(garbage, then_close=True)) as proxy, pytest.raises(CloudError) as failed:
        send(target, ALL_PROXY=f"http://127.0.0.1:{proxy.port}")
    assert failed.value.tries > 1


class Tunnel:
    """A proxy of any kind that passes one connection on, once it was asked to, and takes no part in it."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.asked = b""
        self.welcome = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self._tls = tls
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        client, _ = self.listener.accept()
        if self._tls:
            client = self._tls.wrap_socket(client, server_side=True)
        first = client.recv(1)
        port = self._socks(client) if first == b"\x05" else self._connect(client, first)
        with client, socket.create_connection(("127.0.0.1", port)) as service:
            client.sendall(self.welcome)
            back = threading.Thread(target=_copy, args=(service, client))
            back.start()
            _copy(client, service)
            back.join()

    def _connect(self, client: socket.socket, first: bytes) -> int:
        self.asked = first
        while b"\r\n\r\n" not in self.asked:
            self.asked += client.recv(65536)
        self.welcome = b"HTTP/1.1 200 Connection established\r\n\r\n"
        return int(self.asked.split()[1].rpartition(b":")[2])

    def _socks(self, client: socket.socket) -> int:
        """RFC 1928: the methods of logging in, then a request to connect to a name or an address."""
        client.recv(client.recv(1)[0])
        client.sendall(b"\x05\x00")
        self.asked = client.recv(65536)
        self.welcome = b"\x05\x00\x00\x01" + bytes(6)
        return int.from_bytes(self.asked[-2:], "big")


@contextmanager
def tunnel(tls: ssl.SSLContext | None = None) -> Iterator[Tunnel]:
    proxy = Tunnel(tls)
    yield proxy
    proxy.listener.close()
    proxy.thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until it ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other direction has ended it


@pytest.mark.parametrize("proxy", ["http://proxy:port", "ftp://proxy:21", "http://"])
def test_a_proxy_that_cannot_be_used_is_a_mistake_in_the_configuration(proxy: str) -> None:
    with pytest.raises(ConfigError, match=f"the proxy '{proxy}' in the environment is not a valid URL"):
        send("https://storage.example", HTTPS_PROXY=proxy)


def test_a_password_of_a_proxy_is_in_no_error(server: Faulty) -> None:
    server.always = answer(407)
    with pytest.raises(CloudError) as failed:
        send("https://storage.example", HTTPS_PROXY=server.url.replace("//", "//user:pass-word@"))
    assert "pass-word" not in f"{failed.value} {failed.value.advice}"


def test_a_tunnel_through_a_proxy_is_encrypted_to_the_service(encrypted: Faulty, certificate: Path) -> None:
    with tunnel() as proxy:
        environ = {"HTTPS_PROXY": f"http://user:word@{proxy.address}", "SSL_CERT_FILE": str(certificate)}
        assert send(encrypted.url, **environ) == b"trusted"
    assert proxy.asked.startswith(f"CONNECT {encrypted.url.removeprefix('https://')} HTTP/1.".encode())
    assert b"Basic dXNlcjp3b3Jk" in proxy.asked


def test_a_proxy_can_be_spoken_to_by_tls(encrypted: Faulty, authority: Authority) -> None:
    with tunnel(authority.server()) as proxy:
        environ = {"HTTPS_PROXY": f"https://{proxy.address}", "SSL_CERT_FILE": str(authority.bundle)}
        assert send(encrypted.url, **environ) == b"trusted"
    assert proxy.asked.startswith(b"CONNECT ")


def test_a_proxy_that_is_spoken_to_by_tls_has_to_be_trusted(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with scripted(each(WHOLE), tls=stranger.server()) as proxy:
        environ = {"ALL_PROXY": proxy.url, "SSL_CERT_FILE": str(authority.bundle)}
        with pytest.raises(CloudError, match="not trusted"):
            send("http://storage.example", **environ)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_proxy_can_be_one_of_socks(scheme: str, encrypted: Faulty, certificate: Path) -> None:
    with tunnel() as proxy:
        environ = {"ALL_PROXY": f"{scheme}://{proxy.address}", "SSL_CERT_FILE": str(certificate)}
        assert send(encrypted.url, **environ) == b"trusted"
    assert proxy.asked.startswith(b"\x05\x01\x00")
