"""A server of S3, SNS, Cloud Storage and Pub/Sub from memory, with as much latency as is wanted.

    python benchmarks/server.py --port 0 --certificate server.pem

It prints the port it listens on, at 127.0.0.1, and ends when its standard input does. With the name
of a file for a certificate, it makes one, writes it there and speaks TLS. Under
`/_control/` it is told what to hold and how slow to be, and says how many requests it had.
Requests of one connection are answered in turn; the latency of different connections overlaps.
"""

import argparse
import asyncio
import gc
import json
import ssl
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import amazon
import certificate
import googlecloud
from bucket import Bucket
from filling import BUCKETS, OWN_BUCKET, Filling, objects
from web import Request, State, Unknown, answer

CONTROL = "/_control/"
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_EXPECT = b"\r\nexpect: 100-continue"
_CHUNKED = b"\r\ntransfer-encoding:"


class Server:
    """Answers requests, those of the services and those that control the server."""

    def __init__(self) -> None:
        self.latency = 0.0
        self._state = State()
        self._in_flight = 0
        self._most_in_flight = 0

    def answer(self, request: Request) -> bytes:
        """The answer to a request to one of the services."""
        path = request.path
        try:
            if path.startswith((googlecloud.STORAGE, googlecloud.UPLOAD, googlecloud.DOWNLOAD)):
                return googlecloud.storage(self._state, request)
            if path.startswith(googlecloud.PUBSUB):
                return googlecloud.pubsub(self._state, request)
            if path == "/" and request.method == "POST":
                return amazon.sns(self._state, request)
            return amazon.s3(self._state, request)
        except (Unknown, KeyError, ValueError) as error:
            text = f"{request.method} {request.target}: not a request that is served here ({error!r})"
            print(text, file=sys.stderr)
            return answer(400, text.encode(), "text/plain")

    def control(self, request: Request) -> bytes:
        """The answer to a request that controls the server."""
        told: dict[str, Any] = json.loads(request.body or b"{}")
        action = request.path.removeprefix(CONTROL)
        if action == "fill":
            self._fill(Filling(**told))
        elif action == "reset":
            for bucket in self._state.buckets.values():
                bucket.restore()
            self._state.counts.clear()
            self._state.messages = self._most_in_flight = 0
        elif action == "own":
            filled = self._state.buckets[OWN_BUCKET]
            copies = {f"own-{number}": Bucket(filled.keys()) for number in range(told["count"])}
            self._state.buckets.update(copies)
        elif action == "latency":
            self.latency = float(told["seconds"])
        elif action != "counters":
            return answer(404, b"fill, reset, latency or counters\n", "text/plain")
        return answer(200, json.dumps(self._figures()).encode(), "application/json")

    def started(self) -> None:
        """A request has come in whole."""
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)

    def ended(self) -> None:
        """A request was answered, or its connection was closed."""
        self._in_flight -= 1

    def _fill(self, filling: Filling) -> None:
        keys = defaultdict(list)
        for bucket, key in objects(filling):
            keys[bucket].append(key)
        self._state.buckets = {name: Bucket(keys[name]) for name in BUCKETS}
        # What is held now stays: the collector need not look at it again in the middle of a run.
        gc.collect()
        gc.freeze()

    def _figures(self) -> dict[str, object]:
        return {
            "requests": dict(self._state.counts),
            "messages": self._state.messages,
            "most_in_flight": self._most_in_flight,
            "objects": {name: len(bucket) for name, bucket in self._state.buckets.items()},
        }


class Connection(asyncio.Protocol):
    """One connection, kept alive: reads whole requests and writes whole answers."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._received = b""
        self._needed = 0
        self._answering = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received = self._received + data if self._received else data
        if not self._answering and len(self._received) >= self._needed:
            self._next()

    def _next(self) -> None:
        """Answer the first request, if it is there in full. Others of this connection wait behind it."""
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        head = self._received[: end + 2]
        lower = head.lower()
        at = lower.find(_LENGTH)
        length = int(lower[at + len(_LENGTH) : lower.index(b"\r\n", at + 2)]) if at >= 0 else 0
        self._needed = end + len(_END_OF_HEAD) + length
        if len(self._received) < self._needed:
            if _EXPECT in lower and len(self._received) == end + len(_END_OF_HEAD):
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        body = self._received[end + len(_END_OF_HEAD) : self._needed]
        self._received, self._needed = self._received[self._needed :], 0
        method, target, _ = head[: head.index(b"\r\n")].decode().split(" ")
        self._handle(Request(method, target, lower, body))

    def _handle(self, request: Request) -> None:
        server = self._server
        if _CHUNKED in request.head:
            self._send(answer(501, b"bodies have to come with their length\n", "text/plain"))
            return
        if request.path.startswith(CONTROL):
            self._send(server.control(request))
            return
        self._answering = True
        server.started()
        if server.latency:
            # The answer is made when it is due, so that a write takes effect at the end of its time.
            self._loop.call_later(server.latency, self._finish, request)
        else:
            self._finish(request)

    def _finish(self, request: Request) -> None:
        self._send(self._server.answer(request))
        self._server.ended()
        self._answering = False
        if self._received:
            self._next()

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int, certificate_file: str) -> None:
    """Listen on a port of 127.0.0.1, or a free one if it is 0, until standard input ends."""
    loop = asyncio.get_running_loop()
    server = Server()
    context = tls_context(Path(certificate_file)) if certificate_file else None
    listener = await loop.create_server(
        lambda: Connection(server, loop), "127.0.0.1", port, backlog=1024, ssl=context
    )
    print(listener.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    listener.close()


def tls_context(path: Path) -> ssl.SSLContext:
    """TLS with a certificate that is made now; it and its key are written to `path`."""
    certificate.write(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="S3, SNS, Cloud Storage and Pub/Sub from memory")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 for a free one")
    parser.add_argument("--certificate", default="", help="file to write a certificate to, for TLS")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.certificate))


if __name__ == "__main__":
    main()
