"""A server in the test's own process that passes requests on, and goes wrong when it is told to."""

import http.client
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit


class Seen(NamedTuple):
    """A request that has come in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """An answer, of the server behind this one or made up."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Exchange:
    """One request and the connection to answer it on. What a fault is given to work with."""

    def __init__(self, server: "Faulty", handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        self.server = server
        self.handler = handler
        self.seen = seen

    def upstream(self) -> Reply:
        """What the server behind this one says."""
        parts = urlsplit(self.server.upstream)
        connection = (
            http.client.HTTPSConnection(parts.netloc, timeout=30, context=self.server.trusted)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.netloc, timeout=30)
        )
        try:
            connection.putrequest(self.seen.method, self.seen.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.seen.headers.items():
                connection.putheader(name, value)
            connection.endheaders(self.seen.body)
            answer = connection.getresponse()
            hop = ("connection", "transfer-encoding", "content-length", "keep-alive")
            headers = tuple((name, value) for name, value in answer.getheaders() if name.lower() not in hop)
            return Reply(answer.status, answer.read(), headers)
        finally:
            connection.close()

    def reply(self, reply: Reply) -> None:
        """Send a whole answer."""
        self.begin(reply, len(reply.body))
        if self.seen.method != "HEAD":
            self.handler.wfile.write(reply.body)

    def begin(self, reply: Reply, length: int | None) -> None:
        """Send what comes before the body; with no length, the end of the connection will be its end."""
        self.handler.send_response(reply.status)
        for name, value in reply.headers:
            self.handler.send_header(name, value)
        if length is None:
            self.handler.send_header("connection", "close")
        else:
            self.handler.send_header("content-length", str(length))
        self.handler.end_headers()

    def reset(self) -> None:
        """Break the connection, as a machine does that goes down."""
        linger = struct.pack("ii", 1, 0)
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.handler.close_connection = True
        self.handler.connection.close()


Fault = Callable[[Exchange], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Answer without asking the server behind; `_` in a header's name stands for `-`."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return lambda exchange: exchange.reply(Reply(status, body, named))


def s3_error(status: int, code: str, **headers: str) -> Fault:
    """An error as S3 has them."""
    document = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said {code}</Message></Error>"
    return answer(status, document.encode(), **headers)


def honest(exchange: Exchange) -> None:
    """Pass the request on and the answer back."""
    exchange.reply(exchange.upstream())


def reset(exchange: Exchange) -> None:
    """Break the connection before anything is done."""
    exchange.reset()


def lose_answer(exchange: Exchange) -> None:
    """Let the server behind do what is asked, but break the connection instead of saying so."""
    exchange.upstream()
    exchange.reset()


def cut_short(exchange: Exchange) -> None:
    """Send half of the body that was announced."""
    reply = exchange.upstream()
    exchange.begin(reply, len(reply.body))
    exchange.handler.wfile.write(reply.body[: len(reply.body) // 2])
    exchange.handler.close_connection = True


def cut_unannounced(exchange: Exchange) -> None:
    """Send half of a body whose length nobody was told."""
    reply = exchange.upstream()
    exchange.begin(reply, None)
    exchange.handler.wfile.write(reply.body[: len(reply.body) // 2])
    exchange.handler.close_connection = True


def silent(exchange: Exchange) -> None:
    """Say nothing until the test is over."""
    exchange.server.over.wait()
    exchange.reset()


def drip(exchange: Exchange) -> None:
    """Send a byte now and then, for ever: no read timeout is ever reached."""
    exchange.begin(Reply(200), 1_000_000)
    while not exchange.server.over.wait(0.02):
        exchange.handler.wfile.write(b" ")


class Faulty:
    """Passes requests on to `upstream`, but meets the first ones with `script`, one entry each.

    `always` is what happens to all others. Requests are kept in `seen`.
    """

    def __init__(self, upstream: str = "", trusted: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream
        self.trusted = trusted
        self.script: deque[Fault] = deque()
        self.always: Fault = honest
        self.seen: list[Seen] = []
        self.over = threading.Event()
        self.url = ""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Meet one request."""
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        seen = Seen(handler.command, handler.path, dict(handler.headers.items()), body)
        self.seen.append(seen)
        fault = self.script.popleft() if self.script else self.always
        fault(Exchange(self, handler, seen))


@contextmanager
def faulty(
    upstream: str = "", tls: ssl.SSLContext | None = None, trusted: ssl.SSLContext | None = None
) -> Iterator[Faulty]:
    """A faulty server that runs until the end of the block. `trusted` is for an upstream with TLS."""
    server = Faulty(upstream, trusted)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing: the test knows."""

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, ValueError):  # the client, or the fault, has gone
                self.close_connection = True

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE", "CONNECT"):
        setattr(Handler, f"do_{method}", _method(server))
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    listener.block_on_close = False
    if tls:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{listener.server_address[1]}"
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown()
        thread.join()
        listener.server_close()


def _method(server: Faulty) -> Callable[[BaseHTTPRequestHandler], None]:
    def meet(handler: BaseHTTPRequestHandler) -> None:
        server.handle(handler)

    return meet
