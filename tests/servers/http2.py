"""Scripts for servers that speak HTTP/2: what is done with each request's stream."""

import socket
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded

from servers.scripted import Talk

Answer = Callable[["Stream"], None]


class Stream:
    """A request that has come whole, to be answered."""

    def __init__(self, http: H2Connection, connection: socket.socket, number: int, path: str) -> None:
        self.http = http
        self.connection = connection
        self.number = number
        self.path = path

    def head(self, *headers: tuple[str, str], ended: bool = False) -> None:
        """Send the headers."""
        self.http.send_headers(self.number, [(":status", "200"), *headers], end_stream=ended)
        self.flush()

    def body(self, data: bytes, *, ended: bool) -> None:
        """Send some of the body."""
        self.http.send_data(self.number, data, end_stream=ended)
        self.flush()

    def flush(self) -> None:
        """Send what there is to be sent."""
        self.connection.sendall(self.http.data_to_send())


def http2(answer: Answer) -> Talk:
    """Answer each request of a connection."""

    def talk(connection: socket.socket) -> None:
        http = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        http.initiate_connection()
        connection.sendall(http.data_to_send())
        paths: dict[int, str] = {}
        while data := connection.recv(65536):
            for event in http.receive_data(data):
                _note(http, event, paths)
                if isinstance(event, StreamEnded):
                    answer(Stream(http, connection, event.stream_id, paths[event.stream_id]))
            connection.sendall(http.data_to_send())

    return talk


def _note(http: H2Connection, event: Event, paths: dict[int, str]) -> None:
    if isinstance(event, RequestReceived):
        headers = {bytes(name): bytes(value) for name, value in event.headers}
        paths[event.stream_id] = headers[b":path"].decode()
    elif isinstance(event, DataReceived):
        http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)


def whole(stream: Stream) -> None:
    """Answer with the path that was asked for."""
    body = stream.path.encode()
    stream.head(("content-length", str(len(body))))
    stream.body(body, ended=True)
