"""A server of connections: what it sends, and when it breaks off, is up to the test, byte by byte."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Talk = Callable[[socket.socket], None]


class Scripted:
    """Meets each connection with the next of `talks`, and those after the last with the last."""

    def __init__(self, talks: list[Talk], tls: ssl.SSLContext | None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.connections = 0
        self.over = threading.Event()
        self._talks = talks
        self._tls = tls
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            talk = self._talks[min(self.connections, len(self._talks) - 1)]
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._meet, args=(connection, talk), daemon=True).start()

    def _meet(self, connection: socket.socket, talk: Talk) -> None:
        try:
            with suppress(OSError, ValueError):  # the client, or the script's other half, has gone
                if self._tls:
                    connection = self._tls.wrap_socket(
                        connection, server_side=True, do_handshake_on_connect=False
                    )
                    connection.do_handshake()
                talk(connection)
        finally:
            with suppress(OSError):
                connection.close()


@contextmanager
def scripted(*talks: Talk, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A server that runs until the end of the block."""
    server = Scripted(list(talks), tls)
    try:
        yield server
    finally:
        server.close()


def request(connection: socket.socket) -> bytes:
    """A request as it comes: its head, and its body if it has one with a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            raise ConnectionError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    while len(body) < int(length or 0):
        body += connection.recv(65536)
    return head


def each(*answers: bytes, then_close: bool = False) -> Talk:
    """Answer each request of a connection with the next of these, all at once."""

    def talk(connection: socket.socket) -> None:
        for answer in answers:
            request(connection)
            connection.sendall(answer)
        while not then_close:
            request(connection)

    return talk


def slowly(answer: bytes) -> Talk:
    """Answer byte by byte."""

    def talk(connection: socket.socket) -> None:
        request(connection)
        for place in range(len(answer)):
            connection.sendall(answer[place : place + 1])
        request(connection)

    return talk


def endlessly(head: bytes, more: bytes) -> Talk:
    """Answer with this and then that again and again, until the client has had enough."""

    def talk(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(more)

    return talk


def reset_after(sent: bytes) -> Talk:
    """Send this, whatever comes, and break the connection as a machine does that goes down."""

    def talk(connection: socket.socket) -> None:
        if sent:
            request(connection)
            connection.sendall(sent)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return talk
