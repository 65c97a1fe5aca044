"""One try of a request: HTTP/1.1 over the connections to one host.

A run makes a request for each marker that it writes. A request through a general HTTP library of
Python takes 200 to 300 microseconds of CPU, most of it for headers that nobody reads; with the
parser of httptools, which is C, it takes a tenth of that.

Importing this imports the parser, so only clouds.service does, when a service is first made.
"""

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from workflow_manager import __version__
from workflow_manager.clouds.connections import Connections, broken
from workflow_manager.clouds.http import ALWAYS, CloudError, Request, unfinished
from workflow_manager.ports import RetryPolicy

if TYPE_CHECKING:
    import socket

# As much of an answer as is taken at once. A page of 1,000 keys has about 300 KB; larger pieces are no
# faster, and leave holes in memory that nothing else fits into.
_READ_SIZE = 1 << 16
_LEAST_TIMEOUT = 0.001
_FIRST_FINAL = 200  # those below are said before the answer itself
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_OWN_HEADERS = f"user-agent: workflow-manager/{__version__}\r\naccept-encoding: identity\r\n"


class Transport:
    """Requests to one endpoint."""

    def __init__(
        self,
        endpoint: str,
        environ: Mapping[str, str],
        retry_policy: RetryPolicy,
        *,
        ca_variables: tuple[str, ...],
        proxied: bool,
    ) -> None:
        self._connections = Connections(endpoint, environ, ca_variables, proxied=proxied)
        self._retry_policy = retry_policy
        self._base = self._connections.base
        self._always = self._connections.headers

    def exchange(
        self, request: Request, headers: Mapping[str, str], deadline: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (in lower case) and body of the answer; raises CloudError.

        Takes no longer than `deadline`, on the monotonic clock.
        """
        message = self._message(request, headers)
        left = max(_LEAST_TIMEOUT, deadline - time.monotonic())
        connection = self._connections.take(min(self._retry_policy.connect_timeout, left))
        answer = _Answer(bodiless=request.method == "HEAD")
        reusable = False
        try:
            connection.limit(min(self._retry_policy.read_timeout, left))
            connection.socket.sendall(message)
            self._read(connection.socket, answer, deadline)
            reusable = answer.reusable
            return answer.status, answer.headers, b"".join(answer.chunks)
        except (TimeoutError, BlockingIOError) as error:
            raise CloudError(
                f"{self._connections.host} did not answer within {self._retry_policy.read_timeout:g} s",
                "check the network and the service's status page",
                tries=ALWAYS,
            ) from error
        except (OSError, HttpParserError, HttpParserUpgrade) as error:
            raise broken(self._connections.host, error) from error
        finally:
            answer.forget()
            if reusable:
                self._connections.give_back(connection)
            else:
                connection.socket.close()
                if not answer.complete:
                    self._connections.distrust()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._connections.close()

    def _message(self, request: Request, headers: Mapping[str, str]) -> bytes:
        """A request as it goes over the wire."""
        headers = {"host": self._connections.host, **self._always, **headers}
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        # What is confidential may be in there, so it is not shown.
        if _CONTROL.search(request.target) or len(_CONTROL.findall(lines)) > 2 * len(headers):
            raise CloudError(
                "a header of the request holds a line break or another control character",
                "check the credentials for stray line breaks",
            )
        length = "" if request.method == "GET" else f"content-length: {len(request.body)}\r\n"
        first = f"{request.method} {self._base}{request.target} HTTP/1.1\r\n"
        try:
            return f"{first}{lines}{_OWN_HEADERS}{length}\r\n".encode("latin-1") + request.body
        except UnicodeEncodeError:
            raise CloudError(
                "a header of the request holds a character that HTTP does not have",
                "check the credentials and the endpoint",
            ) from None

    def _read(self, connection: "socket.socket", answer: "_Answer", deadline: float) -> None:
        """Read an answer. Who sends it byte by byte keeps to every read timeout, but not to the deadline."""
        while answer.take(connection.recv(_READ_SIZE)):
            if time.monotonic() > deadline:
                raise CloudError(
                    f"the answer was not complete after {self._retry_policy.total_timeout:g} s",
                    "check the network, and what stands between here and the service",
                )


class _Answer:
    """An answer as far as it has come. The parser calls the methods whose names begin with `on_`."""

    def __init__(self, *, bodiless: bool) -> None:
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.complete = False
        self.reusable = False  # whether another answer may follow on the connection
        self.on_body = self.chunks.append
        self._bodiless = bodiless
        self._parser = HttpResponseParser(self)

    @property
    def status(self) -> int:
        """The status, once the headers have come."""
        return self._parser.get_status_code()

    def forget(self) -> None:
        """Let go of the parser: the two hold each other, and a page would stay until that is noticed."""
        del self._parser

    def take(self, data: bytes) -> bool:
        """Take what has come, or b"" if nothing more will come; whether there is more to wait for."""
        if data:
            self._parser.feed_data(data)
            return not self.complete
        # Without a length, it is the end of the connection that ends an answer.
        if not self.headers or {"content-length", "transfer-encoding"} & self.headers.keys():
            raise unfinished("broke off" if self.headers else "did not come: the connection was closed")
        return False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """All headers are there; to HEAD, that is all, whatever length they announce."""
        self.complete = self._bodiless and self.status >= _FIRST_FINAL

    def on_message_complete(self) -> None:
        """The whole answer, or one that only announces it."""
        self.complete = self.status >= _FIRST_FINAL
        self.reusable = not self._bodiless and self._parser.should_keep_alive()
        if not self.complete:
            self.headers.clear()
            self.chunks.clear()
