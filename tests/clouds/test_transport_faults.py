"""Servers and networks that go wrong in every way that there is: what each gives, and how soon it ends.

Each fault is met over HTTP/1.1 with and without TLS, and where HTTP/2 has something like it, there.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic

import h2.errors
import pycurl
import pytest

from servers.certificates import Authority
from servers.http2 import Stream, http2, whole
from servers.scripted import Scripted, Talk, each, endlessly, request, reset_after, scripted, slowly
from workflow_manager.clouds import io_thread, shared_io
from workflow_manager.clouds.http import ANSWER_BYTES, CloudError, ErrorDocument, Request
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.ports import RetryPolicy

DESCRIPTORS = Path("/proc/self/fd")
OK = frozenset({200})
GET = Request("GET", "/path")
HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = HEAD + b"content-length: 5\r\n\r\nwhole"
# Long enough for a busy machine: what is to end sooner ends for another reason.
TIMEOUTS = RetryPolicy(connect_timeout=20, read_timeout=20, tries=1, total_timeout=40)

Serve = Callable[..., tuple[Scripted, Service]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["plain", "TLS"])
def serve(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Serve]:
    """Starts servers that speak HTTP/1.1, and services to use them."""
    with ExitStack() as opened:

        def start(*talks: Talk, retry_policy: RetryPolicy = TIMEOUTS) -> tuple[Scripted, Service]:
            tls = authority.server() if request.param == "TLS" else None
            server = opened.enter_context(scripted(*talks, tls=tls))
            return server, opened.enter_context(using(server, authority, retry_policy))

        yield start


@pytest.fixture
def serve2(authority: Authority) -> Iterator[Serve]:
    """Starts servers that speak HTTP/2, and services to use them."""
    with ExitStack() as opened:

        def start(*talks: Talk, retry_policy: RetryPolicy = TIMEOUTS) -> tuple[Scripted, Service]:
            server = opened.enter_context(scripted(*talks, tls=authority.server(alpn=("h2",))))
            return server, opened.enter_context(using(server, authority, retry_policy))

        yield start


def using(server: Scripted, authority: Authority, retry_policy: RetryPolicy) -> "closing[Service]":
    return closing(
        Service(
            server.url,
            {"SSL_CERT_FILE": str(authority.bundle)},
            retry_policy,
            authorize=no_authorization,
            explain=lambda _: ErrorDocument("", ""),
            http2=True,
        )
    )


AGAIN, NEVER = True, False  # whether another try may mend it

BROKEN: list[tuple[str, Talk, str, bool]] = [
    ("half a body", each(WHOLE[:-2], then_close=True), "broke off", AGAIN),
    (
        "half a chunk",
        each(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nwho", then_close=True),
        "broke off",
        AGAIN,
    ),
    ("half a head", each(HEAD[:-4], then_close=True), "did not arrive", AGAIN),
    ("nothing", each(b"", then_close=True), "did not arrive", AGAIN),
    ("a chunk that is none", each(HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n"), "broke", AGAIN),
    ("a length that is none", each(HEAD + b"content-length: -5\r\n\r\nwhole"), "broke", AGAIN),
    ("a head that is none", each(b"\0\1\2\3\r\n\r\n", then_close=True), "broke", AGAIN),
    ("another protocol", each(b"SSH-2.0-OpenSSH_9.2\r\n", then_close=True), "broke", AGAIN),
    ("a reset before the request", reset_after(b""), "broke|did not arrive|cannot be reached", AGAIN),
    ("a reset in the head", reset_after(HEAD), "broke", AGAIN),
    ("a reset in the body", reset_after(WHOLE[:-2]), "broke", AGAIN),
    (
        "a body that is announced too large",
        each(HEAD + b"content-length: 1000001\r\n\r\n"),
        "1,000,000 bytes",
        NEVER,
    ),
    ("a body without end", endlessly(HEAD + b"\r\n", b"x" * 65536), "more than 1,000,000 bytes", NEVER),
    (
        "chunks without end",
        endlessly(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"8000\r\n" + b"x" * 0x8000 + b"\r\n"),
        "more than 1,000,000 bytes",
        NEVER,
    ),
    ("headers without end", endlessly(HEAD, b"x: y\r\n" * 1000), "headers", NEVER),
    ("a header without end", endlessly(HEAD + b"x: ", b"y" * 65536), "headers", NEVER),
    ("announcements without end", endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "headers", NEVER),
]


@pytest.mark.parametrize(
    ("talk", "cause", "again"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_what_is_no_answer_is_an_error_and_its_connection_is_not_used_again(
    talk: Talk,
    cause: str,
    serve: Serve,
    *,
    again: bool,
) -> None:
    server, service = serve(talk, each(WHOLE))
    with pytest.raises(CloudError, match=cause) as failed:
        service.send(GET, OK)
    assert (failed.value.tries > 1) == again
    assert service.send(GET, OK).body == b"whole"
    assert server.connections == 2


@pytest.mark.parametrize("talk", [slowly(WHOLE), each(WHOLE)], ids=["byte by byte", "at once"])
def test_an_answer_is_taken_however_it_comes(talk: Talk, serve: Serve) -> None:
    _, service = serve(talk)
    assert service.send(GET, OK).body == b"whole"


def test_two_answers_at_once_are_one_and_a_broken_connection(serve: Serve) -> None:
    server, service = serve(each(WHOLE + WHOLE.replace(b"whole", b"false")), each(WHOLE))
    assert [service.send(GET, OK).body for _ in range(2)] == [b"whole"] * 2
    assert server.connections == 2


def test_a_body_longer_than_announced_is_cut_and_its_connection_not_used_again(serve: Serve) -> None:
    server, service = serve(each(WHOLE + b" and more"), each(WHOLE))
    assert [service.send(GET, OK).body for _ in range(2)] == [b"whole"] * 2
    assert server.connections == 2


@pytest.mark.parametrize("size", [ANSWER_BYTES, ANSWER_BYTES + 1])
def test_a_request_says_how_large_its_answer_may_be(size: int, serve: Serve) -> None:
    _, service = serve(each(HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size))
    assert len(service.send(GET._replace(limit=size), OK).body) == size


def test_a_redirection_is_not_followed(serve: Serve) -> None:
    server, service = serve(each(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n"))
    with pytest.raises(CloudError, match="the service answered 302"):
        service.send(GET, OK)
    assert server.connections == 1


def test_an_endless_handshake_ends_with_the_connect_timeout(authority: Authority) -> None:
    hasty = RetryPolicy(connect_timeout=0.3, tries=1, total_timeout=40)
    over = threading.Event()
    with scripted(lambda _: void(over.wait())) as server:
        server.url = server.url.replace("http:", "https:")
        with (
            using(server, authority, hasty) as service,
            pytest.raises(
                CloudError, match="cannot be reached: no connection within the connect timeout"
            ) as failed,
        ):
            service.send(GET, OK)
        over.set()
    assert failed.value.tries == 3


@pytest.fixture
def unanswering() -> Iterator[socket.socket]:
    """A port of 127.0.0.2 at which nothing is ever answered: its queue of connections is full."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 (has no name)
            waiting.connect_ex(listener.getsockname())
        yield listener


def service_at(url: str, addresses: str, retry_policy: RetryPolicy) -> Service:
    """A service whose host has these addresses."""
    service = Service(
        url, {}, retry_policy, authorize=no_authorization, explain=lambda _: ErrorDocument("", "")
    )
    port = url.rpartition(":")[2]
    resolved = ((pycurl.RESOLVE, (f"storage.example:{port}:{addresses}",)),)
    service._transport._options += resolved
    return service


def test_the_first_of_two_addresses_that_does_not_answer_is_no_matter(unanswering: socket.socket) -> None:
    port = unanswering.getsockname()[1]
    with socket.create_server(("127.0.0.1", port)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                each(WHOLE, then_close=True)(connection)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://storage.example:{port}"
        with closing(
            service_at(url, "127.0.0.2,127.0.0.1", RetryPolicy(tries=1, connect_timeout=10))
        ) as service:
            assert service.send(GET, OK).body == b"whole"
        thread.join()


def test_many_addresses_that_do_not_answer_take_one_connect_timeout_together(
    unanswering: socket.socket,
) -> None:
    url = f"http://storage.example:{unanswering.getsockname()[1]}"
    hasty = RetryPolicy(tries=1, connect_timeout=1, total_timeout=40)
    begin = monotonic()
    with (
        closing(service_at(url, ",".join(["127.0.0.2"] * 8), hasty)) as service,
        pytest.raises(CloudError, match="no connection within the connect timeout"),
    ):
        service.send(GET, OK)
    assert monotonic() - begin < 8 * hasty.connect_timeout


class TestHttp2:
    def test_one_connection_carries_many_requests_at_once(self, serve2: Serve) -> None:
        together: list[Stream] = []

        def wait_for_all(stream: Stream) -> None:
            if stream.path == "/first":
                whole(stream)
                return
            together.append(stream)
            if len(together) == 16:
                for one in together:
                    whole(one)

        server, service = serve2(http2(wait_for_all))
        assert service.send(Request("GET", "/first"), OK).body == b"/first"
        bodies: list[bytes] = []
        threads = [
            threading.Thread(
                target=lambda number=number: bodies.append(
                    service.send(Request("GET", f"/{number}"), OK).body
                )
            )
            for number in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(bodies) == sorted(b"/%d" % number for number in range(16))
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("answer", "cause", "again"),
        [
            pytest.param(
                lambda stream: stream.http.reset_stream(stream.number), "broke", AGAIN, id="a reset stream"
            ),
            pytest.param(
                lambda stream: (stream.head(("content-length", "9")), stream.body(b"half", ended=True)),
                "broke",
                AGAIN,
                id="a body shorter than announced",
            ),
            pytest.param(
                lambda stream: (stream.head(), stream.body(b"half", ended=False), stream.connection.close()),
                "broke",
                AGAIN,
                id="a connection that ends in the body",
            ),
            pytest.param(
                lambda stream: (
                    stream.http.close_connection(h2.errors.ErrorCodes.INTERNAL_ERROR),
                    stream.flush(),
                    stream.connection.close(),
                ),
                "broke|did not arrive",
                AGAIN,
                id="a connection that is given up",
            ),
            pytest.param(
                lambda stream: stream.connection.sendall(b"\0" * 1000), "broke", AGAIN, id="garbage"
            ),
            pytest.param(
                lambda stream: stream.head(*[(f"x-{number}", "y") for number in range(6000)]),
                "headers|broke",
                NEVER,
                id="too many headers",
            ),
            pytest.param(
                lambda stream: (stream.head(), [stream.body(b"x" * 16000, ended=False) for _ in range(4)]),
                "more than 50,000 bytes",
                NEVER,
                id="a body that is too large",
            ),
        ],
    )
    def test_what_is_no_answer_is_an_error(
        self,
        answer: Callable[[Stream], object],
        cause: str,
        serve2: Serve,
        *,
        again: bool,
    ) -> None:
        _, service = serve2(http2(lambda stream: void(answer(stream))), http2(whole))
        with pytest.raises(CloudError, match=cause) as failed:
            service.send(GET._replace(limit=50_000), OK)
        assert (failed.value.tries > 1) == again

    def test_an_answer_is_taken_however_it_comes(self, serve2: Serve) -> None:
        def slow(stream: Stream) -> None:
            stream.head(("Link", "x"), ("content-length", "5"))
            for place in range(5):
                stream.body(b"whole"[place : place + 1], ended=place == 4)

        _, service = serve2(http2(slow))
        answer = service.send(GET, OK)
        assert (answer.body, answer.headers["link"]) == (b"whole", "x")


def void(_: object) -> None:
    """Take what a lambda gives."""


class TestTheThread:
    def test_it_is_shared_and_ends_with_its_last_user(self, serve: Serve) -> None:
        _, first = serve(each(WHOLE))
        _, second = serve(each(WHOLE))
        assert first.send(GET, OK).body == second.send(GET, OK).body == b"whole"
        assert len(threads()) == 1
        first.close()
        assert len(threads()) == 1
        second.close()
        second.close()
        assert threads() == []

    def test_it_does_without_epoll(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr("select.epoll")
        _, service = serve(slowly(WHOLE), each(WHOLE, WHOLE))
        assert service.send(GET, OK).body == b"whole"
        assert service.send(GET, OK).body == b"whole"

    def test_no_thread_is_started_before_the_first_request(self, serve: Serve) -> None:
        serve(each(WHOLE))
        assert threads() == []

    def test_a_thousand_services_leave_nothing_behind(self) -> None:
        with scripted(each(*[WHOLE] * 3)) as server:
            before = len(list(DESCRIPTORS.iterdir()))
            for number in range(1000):
                service = Service(
                    server.url,
                    {},
                    TIMEOUTS,
                    authorize=no_authorization,
                    explain=lambda _: ErrorDocument("", ""),
                )
                if number % 10 == 0:
                    assert service.send(GET, OK).body == b"whole"
                service.close()
            assert len(threads()) == 0
        assert len(list(DESCRIPTORS.iterdir())) <= before + 2

    def test_who_waits_when_it_ends_is_told(self) -> None:
        asked, over = threading.Event(), threading.Event()

        def silent(connection: socket.socket) -> None:
            request(connection)
            asked.set()
            over.wait()

        with scripted(silent) as server:
            service = Service(
                server.url, {}, TIMEOUTS, authorize=no_authorization, explain=lambda _: ErrorDocument("", "")
            )
            causes: list[str] = []

            def send() -> None:
                try:
                    service.send(GET, OK)
                except CloudError as error:
                    causes.append(error.cause)

            waiting = threading.Thread(target=send)
            waiting.start()
            asked.wait()
            service.close()
            waiting.join()
            over.set()
            with pytest.raises(CloudError, match="the connections were closed"):
                service.send(GET, OK)
        assert causes == ["the connections were closed"]

    def test_a_fault_in_it_reaches_those_who_wait(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(io_thread._Loop, "add", fail)
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        _, service = serve(each(WHOLE))
        with pytest.raises(CloudError, match="the I/O thread failed: RuntimeError"):
            service.send(GET, OK)

    def test_nobody_waits_for_connections_that_take_long_to_close(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As they do while libcurl waits for the system to resolve a name."""
        close, closed = io_thread._Loop.close, threading.Event()

        def slow(loop: io_thread._Loop) -> None:
            closed.wait()
            close(loop)

        monkeypatch.setattr(io_thread._Loop, "close", slow)
        _, service = serve(each(WHOLE))
        assert service.send(GET, OK).body == b"whole"
        service.close()
        (thread,) = threads()
        closed.set()
        thread.join()

    def test_a_child_process_leaves_the_parent_s_connections_alone(self, serve: Serve) -> None:
        server, service = serve(each(WHOLE, WHOLE))
        assert service.send(GET, OK).body == b"whole"
        child = os.fork()
        if not child:
            status = 1
            try:
                service.close()
                status = 0 if shared_io._shared.thread is None else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert service.send(GET, OK).body == b"whole"
        assert server.connections == 1


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "requests"]
