"""What is made of the bytes that a service answers with, however they come."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workflow_manager.clouds.http import CloudError, ErrorDocument, Request
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.ports import RetryPolicy

GET = Request("GET", "/")
OK = frozenset({200, 204})


class Scripted:
    """A server that answers each request with bytes of the test's choosing, sent one piece at a time."""

    def __init__(self, *answers: list[bytes], closing: bool) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0
        self._answers = iter(answers)
        self._closing = closing
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                while connection.recv(65536):
                    for piece in next(self._answers, []):
                        connection.sendall(piece)
                    if self._closing:
                        break


@contextmanager
def scripted(
    *answers: list[bytes], closing: bool = False, tries: int = 1
) -> Iterator[tuple[Scripted, Service]]:
    server = Scripted(*answers, closing=closing)
    retry_policy = RetryPolicy(tries=tries)
    service = Service(
        server.url, {}, retry_policy, authorize=no_authorization, explain=lambda _: ErrorDocument("", "")
    )
    try:
        yield server, service
    finally:
        service.close()
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = HEAD + b"Content-Length: 4\r\n\r\nbody"


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([WHOLE], id="at once"),
        pytest.param([WHOLE[i : i + 1] for i in range(len(WHOLE))], id="byte by byte"),
        pytest.param(
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;x=1\r\nbo\r\n", b"2\r\ndy\r\n0\r\n\r\n"],
            id="chunked",
        ),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE], id="after a 100"),
        pytest.param([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", WHOLE], id="after a 103"),
    ],
)
def test_an_answer_is_read_to_its_end_and_the_connection_used_again(pieces: list[bytes]) -> None:
    with scripted(pieces, [WHOLE]) as (server, service):
        first = service.send(GET, OK)
        assert (first.body, "link" in first.headers) == (b"body", False)
        assert service.send(GET, OK).body == b"body"
        assert server.connections == 1


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.0 200 OK\r\nx: y\r\n", HEAD + b"Connection: close\r\n"])
def test_without_a_length_an_answer_ends_with_its_connection(head: bytes) -> None:
    with scripted([head + b"a: b\r\n\r\nbo", b"dy"], [WHOLE], closing=True) as (server, service):
        assert service.send(GET, OK).body == b"body"
        assert service.send(GET, OK).body == b"body"
        assert server.connections == 2


def test_an_answer_without_a_body_has_none() -> None:
    with scripted([b"HTTP/1.1 204 No Content\r\n\r\n"], [WHOLE]) as (server, service):
        assert service.send(GET, OK).body == b""
        assert service.send(GET, OK).body == b"body"
        assert server.connections == 1


def test_the_answer_to_head_announces_a_body_that_does_not_come() -> None:
    with scripted([HEAD + b"Content-Length: 4\r\n\r\n"]) as (_, service):
        answer = service.send(Request("HEAD", "/"), OK)
        assert (answer.body, answer.headers["content-length"]) == (b"", "4")


def test_a_connection_that_the_service_has_ended_is_not_used_again() -> None:
    with scripted([WHOLE], [WHOLE], [WHOLE], closing=True) as (server, service):
        assert [service.send(GET, OK).attempt for _ in range(3)] == [1, 1, 1]
        assert server.connections == 3


def test_what_comes_behind_an_answer_belongs_to_nothing() -> None:
    second = WHOLE.replace(b"body", b"evil")
    with scripted([WHOLE + second], [WHOLE]) as (server, service):
        assert service.send(GET, OK).body == b"body"
        assert service.send(GET, OK).body == b"body"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("pieces", "cause"),
    [
        ([WHOLE[:-1]], "broke off"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo"], "broke off"),
        ([HEAD[:-2]], "did not arrive"),
        ([], "did not arrive"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "the connection to 127.0.0.1:.* broke"),
        (
            [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
            "did not arrive",
        ),
    ],
    ids=["short", "short chunks", "half a head", "nothing", "another protocol", "an upgrade"],
)
def test_what_is_no_whole_answer_is_an_error_that_another_try_may_mend(
    pieces: list[bytes], cause: str
) -> None:
    with (
        scripted(pieces, closing=True) as (_, service),
        pytest.raises(CloudError, match=cause) as failed,
    ):
        service.send(GET, OK)
    assert failed.value.tries > 1


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00", "\u2028"])
def test_no_header_can_smuggle_in_another(value: str) -> None:
    service = Service(
        "http://127.0.0.1:9",
        {},
        RetryPolicy(tries=1),
        authorize=lambda _: {"x": value},
        explain=lambda _: ErrorDocument("", ""),
    )
    with pytest.raises(CloudError, match="a header of the request contains"):
        service.send(GET, OK)
    service.close()


def test_a_target_that_would_end_the_request_line_is_refused() -> None:
    with scripted() as (_, service), pytest.raises(CloudError, match="control character"):
        service.send(Request("GET", "/ HTTP/1.1\r\nx: y"), OK)
