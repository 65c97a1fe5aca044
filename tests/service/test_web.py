"""The HTTP server: strange requests, slow readers and very many connections do not matter to anyone else."""

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from support.harness import Events
from workflow_manager.errors import ConfigError
from workflow_manager.service import web
from workflow_manager.service.web import Site, WebPage, WebServer, text_page

LARGE = b"x" * 3_000_000
TIMEOUT = 30


def crash() -> WebPage:
    raise RuntimeError("made to")


class Counter:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> WebPage:
        self.made += 1
        return WebPage("200 OK", "text/plain", LARGE)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def large() -> Counter:
    return Counter()


@pytest.fixture
def server(events: Events, large: Counter) -> Iterator[WebServer]:
    pages: dict[str, Callable[[], WebPage]] = {
        "/": lambda: text_page("here"),
        "/large": large,
        "/crash": crash,
        "/bad": lambda: text_page("no", good=False),
    }
    one = WebServer("127.0.0.1:0", Site(pages, events))
    one.start()
    yield one
    one.close()


def ask(server: WebServer, path: str = "/", method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address, timeout=TIMEOUT)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def connect(server: WebServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT)


def test_pages_are_answered(server: WebServer) -> None:
    assert ask(server) == (200, b"here\n")
    assert ask(server, method="HEAD") == (200, b"")
    assert ask(server, "/bad") == (503, b"no\n")
    assert ask(server, "/none")[0] == 404
    assert ask(server, method="DELETE")[0] == 405


def test_a_page_that_cannot_be_made_is_logged_and_leaves_the_others(
    server: WebServer, events: Events
) -> None:
    assert ask(server, "/crash") == (500, b"see the log\n")
    assert ask(server) == (200, b"here\n")
    (failed,) = events.named("page.failed")
    assert "made to" in failed.message


def test_many_who_ask_at_once_have_one_answer_made(
    server: WebServer, large: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "FRESH_SECONDS", 3600.0)
    assert {ask(server, "/large") for _ in range(20)} == {(200, LARGE)}
    assert large.made == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n",
        b"GET /%00%ff HTTP/1.1\r\nhost: \x00\r\n\r\n",
    ],
)
def test_bad_requests_disturb_nobody(server: WebServer, request_bytes: bytes) -> None:
    with connect(server) as bad:
        with suppress(ConnectionError):  # refused before it was all said
            bad.sendall(request_bytes)
        assert ask(server) == (200, b"here\n")


def test_slow_readers_disturb_nobody(server: WebServer) -> None:
    with ExitStack() as open_ones:
        for _ in range(20):
            slow = open_ones.enter_context(connect(server))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        assert ask(server) == (200, b"here\n")
        assert ask(server, "/large") == (200, LARGE)


def test_slow_writers_disturb_nobody(server: WebServer) -> None:
    with ExitStack() as open_ones:
        for _ in range(20):
            open_ones.enter_context(connect(server)).sendall(b"GET / HTT")
        assert ask(server) == (200, b"here\n")


def test_a_thousand_connections_are_answered_in_the_end(
    server: WebServer,
) -> None:
    with ExitStack() as open_ones:
        many = [open_ones.enter_context(connect(server)) for _ in range(1000)]
        for one in many[:50]:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert one.recv(100).startswith(b"HTTP/1.0 200 OK")
    assert ask(server) == (200, b"here\n")


@pytest.mark.parametrize("address", ["nowhere.invalid:80", "127.0.0.1:x"])
def test_an_address_that_cannot_be_listened_on(address: str, events: Events) -> None:
    with pytest.raises(ConfigError, match=r"--listen=.*: cannot listen on this address"):
        WebServer(address, Site({}, events))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", b"plain\n"),
        ("text/plain", b"plain\n"),
        ("*/*", b"plain\n"),
        ("a/b", b"other\n"),
        ("text/html, A/B;q=0.5", b"other\n"),
        ("a/b;q=0", b"plain\n"),
        (";;,,", b"plain\n"),
    ],
)
def test_a_page_in_another_media_type_is_for_those_who_name_it(
    events: Events, accept: str, kind: bytes
) -> None:
    pages = {"/": lambda: text_page("plain"), "/;a/b": lambda: text_page("other")}
    one = WebServer("127.0.0.1:0", Site(pages, events))
    one.start()
    connection = http.client.HTTPConnection(one.address, timeout=TIMEOUT)
    try:
        connection.request("GET", "/", headers={"Accept": accept})
        assert connection.getresponse().read() == kind
    finally:
        connection.close()
        one.close()
