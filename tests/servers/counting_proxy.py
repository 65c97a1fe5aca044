"""A TCP proxy that counts connections, and breaks them when it is told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class CountingProxy:
    """Passes bytes on to `upstream`, as `host:port`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(f"//{upstream}")
        self.upstream = (str(parts.hostname), parts.port or 0)
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def open(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._open)

    def break_all(self) -> None:
        """Break the connections that are open."""
        with self._lock:
            for client in self._open:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Break everything, and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        self.break_all()
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                with self._lock:
                    self._open.add(client)
                thread = threading.Thread(target=self._pass_on, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(self.upstream) as server,
        ):
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join()
            with self._lock:
                self._open.discard(client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until it ends, then end the other side."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting_proxy(upstream: str) -> Iterator[CountingProxy]:
    """A proxy that runs until the end of the block."""
    proxy = CountingProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
