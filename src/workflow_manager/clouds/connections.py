"""The connections to one host: TLS, proxies, and what may go wrong before a request can be sent.

Importing this imports the TLS library, so only clouds.transport does.
"""

import os
import socket
import ssl
import struct
import sys
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from select import POLLIN, poll
from urllib.parse import SplitResult, unquote, urlsplit

from workflow_manager.clouds.http import ALWAYS, CONNECT_TRIES, CloudError
from workflow_manager.errors import ConfigError, Mistake

# Connections that are kept; more threads than this open one for each request beyond them.
_KEPT = 128
_PORTS = {"http": 80, "https": 443}
_SURELY_OPEN = 1.0  # seconds for which a service keeps a connection, as far as it has not shown otherwise
# Only where a `struct timeval` is known to be two of C's longs.
_KERNEL_KEEPS_TIME = sys.platform == "linux" and sys.maxsize > 1 << 32


class Connection:
    """A connection of one thread at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.idle_since = 0.0  # on the monotonic clock
        self._limit = 0.0

    def limit(self, seconds: float) -> None:
        """Let no call wait longer; one that would raises TimeoutError, or BlockingIOError.

        A socket with a timeout in Python's own way asks the system before each call whether it would
        wait. While a thread does so, others take the interpreter, and at a marker for each request
        this costs more than all the rest: so the system is to keep the time, but where TLS reads.
        """
        if seconds == self._limit:
            return
        self._limit = seconds
        if isinstance(self.socket, ssl.SSLSocket) or not _KERNEL_KEEPS_TIME:
            self.socket.settimeout(seconds)
            return
        self.socket.settimeout(None)
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    @property
    def ended(self) -> bool:
        """Whether the other side has ended the connection while it was idle."""
        waiting = poll()
        waiting.register(self.socket, POLLIN)
        return bool(waiting.poll(0))  # something has come where nothing may come


class Connections:
    """Connections to the host of a URL, through a proxy if the environment asks for it.

    Those that are given back are used again. Safe for use by many threads.
    """

    def __init__(
        self, url: str, environ: Mapping[str, str], ca_variables: tuple[str, ...], *, proxied: bool
    ) -> None:
        self._target = _parts(url, "the endpoint")
        self.host = self._target.netloc.rpartition("@")[2]
        host = self._target.hostname or ""
        proxy = proxy_for(self._target.scheme, host, environ) if proxied else ""
        self._proxy = _parts(proxy, "the proxy") if proxy else None
        self._context = trust(environ, ca_variables) if self._target.scheme == "https" else None
        self._tunnelled = self._proxy is not None and self._context is not None
        self._idle: deque[Connection] = deque(maxlen=_KEPT)
        self._trusting = True

    @property
    def base(self) -> str:
        """What comes before a target: a proxy is asked for a whole URL, unless it only passes TLS on."""
        path = self._target.path.rstrip("/")
        return f"http://{self.host}{path}" if self._proxy and not self._tunnelled else path

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request needs besides its own headers: the proxy's password."""
        return _login(self._proxy) if self._proxy and not self._tunnelled else {}

    def take(self, timeout: float) -> Connection:
        """A connection of one's own, made within `timeout` seconds; raises CloudError."""
        while True:
            try:
                idle = self._idle.pop()
            except IndexError:
                break
            if self._trusting and time.monotonic() - idle.idle_since < _SURELY_OPEN:
                return idle
            if not idle.ended:
                return idle
            idle.socket.close()
        with self._translated():
            return Connection(self._secured(self._opened(timeout)))

    def give_back(self, connection: Connection) -> None:
        """Keep a connection, on which an answer was read to its end."""
        if len(self._idle) < _KEPT:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.socket.close()

    def distrust(self) -> None:
        """A connection broke, so others may have: ask of each, from now on, before it is used again."""
        self._trusting = False

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().socket.close()

    def _opened(self, timeout: float) -> socket.socket:
        """A connection that leads to the host, not yet encrypted."""
        via = self._proxy or self._target
        address = (via.hostname or "", via.port or _PORTS[via.scheme])
        if not self._tunnelled or self._proxy is None:
            connection = socket.create_connection(address, timeout)
        else:
            from http.client import HTTPConnection  # noqa: PLC0415 (only those behind a proxy pay for it)

            tunnel = HTTPConnection(*address, timeout=timeout)
            port = self._target.port or _PORTS[self._target.scheme]
            tunnel.set_tunnel(self._target.hostname or "", port, _login(self._proxy))
            tunnel.connect()
            connection = tunnel.sock
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._context is None:
            return connection
        try:
            return self._context.wrap_socket(connection, server_hostname=self._target.hostname)
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explained(error) from error

    def _explained(self, error: OSError) -> CloudError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return CloudError(
                f"the certificate of {self.host} is not trusted: {error.verify_message}",
                "check the endpoint, the clock, and the CA bundle (AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or "
                "SSL_CERT_FILE)",
            )
        if isinstance(error, socket.gaierror):
            host = self._proxy.hostname if self._proxy else self.host
            return CloudError(
                f"the name of the {'proxy' if self._proxy else 'host'} {host} cannot be resolved",
                "check the endpoint, the region, HTTPS_PROXY, and DNS",
                tries=CONNECT_TRIES if error.errno == socket.EAI_AGAIN else 1,
            )
        if isinstance(error, ssl.SSLError | ConnectionResetError):
            return broken(self.host, error)
        late = isinstance(error, TimeoutError) and not error.errno
        cause = "no connection within the connect timeout" if late else error.strerror or str(error)
        return CloudError(
            f"{self.host} cannot be reached{' through the proxy' if self._proxy else ''}: {cause}",
            "check the endpoint, the network and its firewalls, and HTTPS_PROXY and NO_PROXY",
            tries=CONNECT_TRIES,
        )


def broken(host: str, error: Exception) -> CloudError:
    """What to say of a connection that did not last."""
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CloudError(
        f"the connection to {host} broke: {cause}",
        "check the network, and what stands between here and the service",
        tries=ALWAYS,
    )


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy to reach `host` through, or "". As the SDKs do: HTTPS_PROXY, NO_PROXY."""

    def setting(name: str) -> str:
        # CGI scripts get HTTP_PROXY from whoever asks, so only the lower-case form counts for http.
        upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environ else environ.get(name.upper(), "")
        return environ.get(name, "") or upper

    proxy = setting(f"{scheme}_proxy") or setting("all_proxy")
    if not proxy:
        return ""
    import urllib.request  # noqa: PLC0415 (few need it, and it is large)

    bypassed = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks it

    if bypassed(host, {"no": setting("no_proxy")}):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def trust(environ: Mapping[str, str], variables: tuple[str, ...]) -> ssl.SSLContext:
    """The certificates that are trusted: those of the first of `variables` that is set, or the system's."""
    for variable in (*variables, "SSL_CERT_FILE"):
        if environ.get(variable):
            return _context(environ[variable])
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and os.listdir(paths.capath)):  # noqa: PTH208 (names are enough)
        return _context("")
    return _context(_bundled())


@lru_cache(maxsize=4)
def _context(bundle: str) -> ssl.SSLContext:
    """One for each bundle: all stores share it, since reading the certificates takes long."""
    if not bundle:
        return ssl.create_default_context()
    folder = os.path.isdir(bundle)  # noqa: PTH112 (a path from the environment, used once)
    try:
        return ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
    except OSError as error:
        problem = f"the CA bundle {bundle!r} cannot be read: {error.strerror or error}"
        advice = "check AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE and SSL_CERT_FILE"
        raise ConfigError([Mistake("", "", f"{problem} ({advice})")]) from error


def _bundled() -> str:
    """Mozilla's certificates, where the system has none: google-auth's extra brings them."""
    if find_spec("certifi") is None:
        return ""
    import certifi  # noqa: PLC0415 (not there with every extra)

    return certifi.where()


def _parts(url: str, what: str) -> SplitResult:
    """The parts of a URL that the environment gives; raises ConfigError."""
    problem = ""
    place = url.rpartition("@")[2]  # what stands before may be a password
    try:
        parts = urlsplit(url)
        _ = parts.port
        if parts.scheme not in _PORTS or not parts.hostname:
            problem = f"{place!r} in the environment is no URL: http(s)://host:port"
        elif parts.scheme != "http" and what == "the proxy":
            problem = "in the environment is reached by TLS, which is not supported: http://host:port"
    except ValueError as error:
        problem = f"{place!r} in the environment is no URL: {error}"
    if problem:
        raise ConfigError([Mistake("", "", f"{what} {problem}")])
    return parts


def _login(proxy: SplitResult) -> dict[str, str]:
    """The header with a proxy's user and password, if its URL has any."""
    if not proxy.username:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"proxy-authorization": f"Basic {b64encode(login.encode()).decode()}"}
