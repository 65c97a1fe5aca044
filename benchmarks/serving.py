"""The server as a process of its own, as the other scripts use it, and how fast it is by itself."""

import argparse
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from filling import INGESTION_BUCKET, OWN_BUCKET, Filling
from http2_front import http2_front

_SERVER = Path(__file__).with_name("server.py")
_CERTIFICATE = Path(__file__).with_name("certificate.py")
_PAGE = f"GET /{INGESTION_BUCKET}/?list-type=2 HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
_WRITE = (
    f"PUT /{OWN_BUCKET}/task-markers/raw HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx".encode()
)


class RunningServer:
    """A server that listens on `port` of 127.0.0.1, and how to control it.

    `certificate` is the file to trust it with, or empty if it does without TLS.
    """

    def __init__(self, port: int, certificate: str) -> None:
        self.port = port
        self.certificate = certificate
        self._tls = ssl.create_default_context(cafile=certificate) if certificate else None

    @property
    def url(self) -> str:
        """Where all of its services are."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """A connection to it."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            return self._tls.wrap_socket(connection, server_hostname="127.0.0.1")
        return connection

    def fill(self, filling: Filling) -> None:
        """Make anew what its buckets hold."""
        self._control("fill", asdict(filling))

    def reset(self, latency: float) -> None:
        """Set the counters to nothing, the buckets as they were filled, and the seconds a request takes."""
        self._control("latency", {"seconds": latency})
        self._control("reset", {})

    def own_buckets(self, count: int) -> None:
        """Make so many buckets of markers, own-0 and so on, each with what the one of all was filled with."""
        self._control("own", {"count": count})

    def counters(self) -> dict[str, Any]:
        """What it was asked for since the last reset."""
        return self._control("counters", {})

    def _control(self, action: str, told: Mapping[str, object]) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port)
        connection.sock = self.connect()
        connection.request("POST", f"/_control/{action}", json.dumps(told))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the server did not {action}: {answer.status} {body!r}")
        figures: dict[str, Any] = json.loads(body)
        return figures


@contextmanager
def serving(*, tls: bool, http2: bool = False) -> Iterator[RunningServer]:
    """A server for as long as the context lasts; with TLS it can offer HTTP/2 too."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = f"{folder}/certificate.pem" if tls else ""
        if not (tls and http2):
            with _server(certificate) as port:
                yield RunningServer(port, certificate)
            return
        # In a process of its own, so that this one stays small: see measuring.spawn.
        subprocess.run([sys.executable, str(_CERTIFICATE), certificate], check=True)
        with _server("") as behind, http2_front(behind, certificate) as port:
            yield RunningServer(port, certificate)


@contextmanager
def _server(certificate: str) -> Iterator[int]:
    """The port of a server, which makes its certificate if it is given a file for it."""
    with subprocess.Popen(
        [sys.executable, str(_SERVER), "--certificate", certificate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def add_protocols(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how the command talks to the server."""
    parser.add_argument("--plain", action="store_true", help="no TLS between the command and the server")
    parser.add_argument("--http1", action="store_true", help="no HTTP/2, which Google's services offer")


def served(arguments: argparse.Namespace) -> AbstractContextManager[RunningServer]:
    """The server as the arguments want it. Amazon's S3, SNS and SQS have no HTTP/2."""
    http2 = arguments.storage == "gcs" and not arguments.http1
    return serving(tls=not arguments.plain, http2=http2)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the server is by itself, for one connection whose client does nothing but count bytes.

    `pages` of 1,000 names and `writes` are requests a second with no latency; `delay` is how
    many seconds a page takes when the latency is what was asked for.
    """

    pages: float
    writes: float
    delay: float

    def seconds(self, requests: Mapping[str, int]) -> float:
        """What these requests, counted by kind, would take one after the other with no latency."""
        pages = requests.get("list", 0)
        return pages / self.pages + (sum(requests.values()) - pages) / self.writes


def raw_speed(server: RunningServer, latency: float) -> Speed:
    """Measure the server."""
    server.fill(Filling(1, 1, 1000, marked=0, aggregated=False))
    server.reset(latency)
    delay = 1 / _rate(server, _PAGE)
    server.reset(0)
    return Speed(_rate(server, _PAGE), _rate(server, _WRITE), delay)


def _rate(server: RunningServer, request: bytes, seconds: float = 1.0) -> float:
    with server.connect() as connection:
        _exchange(connection, request)
        count, begin = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < seconds:
            _exchange(connection, request)
            count += 1
    return count / elapsed


def _exchange(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    received = connection.recv(1 << 18)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server answered {received[:200]!r}")
    missing = int(head.lower().partition(b"content-length:")[2].split(maxsplit=1)[0]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(min(missing, 1 << 18)))
