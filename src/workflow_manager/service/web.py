"""The HTTP server of the process: pages to read, and nothing that changes anything.

Waitress reads requests and sends answers on one thread of its own, whatever the clients do, and
never gives more than a few threads to making answers. An answer is held in memory once for all
who read it slowly.
"""

import gzip
import io
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from workflow_manager.errors import ConfigError, MissingExtraError, Mistake, explain
from workflow_manager.observe.service_events import PageFailed
from workflow_manager.ports import Observer

THREADS = 2  # that make answers
CONNECTIONS = 100  # at a time; others wait until one of them ends
IDLE_SECONDS = 20  # after which a connection that does nothing is closed
FRESH_SECONDS = 1.0  # for which an answer is given again without being made anew
_HEADER_BYTES = 16_384
_BODY_BYTES = 1024
_WORTH_COMPRESSING = 1400  # bytes; less is sent as one packet anyway
_LEVEL = 3  # of compression: a page of 2.5 MB takes 0.03 s and becomes 0.2 MB
_POLICY = "default-src 'none'"
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
_PLAIN = "text/plain; charset=utf-8"

_NEVER = re.compile(r"\s*q=0(\.0*)?\s*")  # what is not accepted at all

Environ = Mapping[str, Any]
Respond = Callable[[str, list[tuple[str, str]]], object]


class WebPage(NamedTuple):
    """What is answered: the status line, the kind of content, the content, and what it may load and run."""

    status: str
    kind: str
    body: bytes
    policy: str = _POLICY


class _Made:
    """A page that was made at a time, and its compressed form once someone has asked for that."""

    def __init__(self, page: WebPage, time: float = float("-inf")) -> None:
        self.page = page
        self.time = time
        self._compressed: bytes | None = None

    def body(self, environ: Environ) -> tuple[bytes, tuple[tuple[str, str], ...]]:
        """The content as the client takes it, and the headers that say so."""
        if len(self.page.body) < _WORTH_COMPRESSING:
            return self.page.body, ()
        vary = ("Vary", "Accept-Encoding")
        if not _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return self.page.body, (vary,)
        if self._compressed is None:
            self._compressed = gzip.compress(self.page.body, _LEVEL)
        return self._compressed, (vary, ("Content-Encoding", "gzip"))


class Site:
    """The pages, by path. Each is made by a function, and kept for a moment.

    `/path;media/type` is the same page for clients whose Accept names this media type.
    """

    def __init__(self, pages: Mapping[str, Callable[[], WebPage]], observer: Observer) -> None:
        self._pages = pages
        self._observer = observer
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}

    def __call__(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        """Answer a request: see PEP 3333."""
        made = self._answer(environ["REQUEST_METHOD"], self._variant(environ))
        page = made.page
        body, more = made.body(environ)
        headers = [("Content-Type", page.kind), ("Content-Length", str(len(body))), *more, *_HEADERS]
        headers.append(("Content-Security-Policy", f"{page.policy}; frame-ancestors 'none'"))
        if page.status.startswith("405"):
            headers.append(("Allow", "GET, HEAD"))
        respond(page.status, headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        # As a file it is sent from where it is, and not copied for each client.
        wrapper: Callable[[io.BytesIO], Iterable[bytes]] = environ["wsgi.file_wrapper"]
        return wrapper(io.BytesIO(body))

    def _variant(self, environ: Environ) -> str:
        """The path, or the first of its media types that the client accepts by name."""
        path = str(environ.get("PATH_INFO", "/"))
        for accepted in environ.get("HTTP_ACCEPT", "").split(","):
            media, _, parameters = accepted.partition(";")
            variant = f"{path};{media.strip().lower()}"
            if variant in self._pages and not _NEVER.fullmatch(parameters):
                return variant
        return path

    def _answer(self, method: str, path: str) -> _Made:
        if path not in self._pages:
            return _Made(WebPage("404 Not Found", _PLAIN, b"not found\n"))
        if method not in ("GET", "HEAD"):
            return _Made(WebPage("405 Method Not Allowed", _PLAIN, b"nothing can be changed here\n"))
        with self._lock:  # so that many who ask at once have one answer made
            made = self._made.get(path)
            if made is None or time.monotonic() - made.time > FRESH_SECONDS:
                try:
                    page = self._pages[path]()
                except Exception as error:  # noqa: BLE001 (the other pages, and the passes, go on)
                    self._observer.notify(PageFailed(path, explain(error)))
                    return _Made(WebPage("500 Internal Server Error", _PLAIN, b"see the log\n"))
                made = self._made[path] = _Made(page, time.monotonic())
            return made


def json_page(document: object) -> WebPage:
    """A document as JSON."""
    return WebPage("200 OK", "application/json", json.dumps(document, indent=1).encode())


def text_page(text: str, *, good: bool = True) -> WebPage:
    """A line of text, with status 200, or 503 if it is no good news."""
    return WebPage("200 OK" if good else "503 Service Unavailable", _PLAIN, f"{text}\n".encode())


def _takes_gzip(accepted: str) -> bool:
    """Whether a client takes compressed answers, by its Accept-Encoding."""
    for one in accepted.lower().split(","):
        coding, _, parameters = one.partition(";")
        if coding.strip() == "gzip":
            return not _NEVER.fullmatch(parameters)
    return False


class WebServer:
    """Listens on `address`, as `host:port`, from when it is made; answers once it is started."""

    def __init__(self, address: str, site: Site) -> None:
        if find_spec("waitress") is None:
            raise MissingExtraError("--listen", "serve", "waitress")
        import waitress  # noqa: PLC0415 (comes with an extra)

        logging.getLogger("waitress").addHandler(logging.NullHandler())
        logging.getLogger("waitress").propagate = False  # its lines would be no JSON
        try:
            self._server = waitress.create_server(
                site,
                listen=address,
                threads=THREADS,
                connection_limit=CONNECTIONS,
                channel_timeout=IDLE_SECONDS,
                cleanup_interval=IDLE_SECONDS // 2,
                max_request_header_size=_HEADER_BYTES,
                max_request_body_size=_BODY_BYTES,
                asyncore_use_poll=True,
                expose_tracebacks=False,
                ident="",
            )
        except (OSError, OverflowError, ValueError) as error:
            problem = f"cannot listen on this address: {error}"
            raise ConfigError([Mistake("--listen", address, problem)]) from error
        self._thread = threading.Thread(target=self._server.run, name="web", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens: `host:port`, with the port that it was given if it asked for any."""
        return f"{self._server.effective_host}:{self._server.effective_port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.close()
