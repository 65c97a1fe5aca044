"""One try of a request, over urllib3: connections, TLS, proxies, and what may go wrong with them.

Importing this imports urllib3, so only clouds.http does, when a service is first made.
"""

import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout, make_headers

from workflow_manager import __version__
from workflow_manager.clouds.http import ALWAYS, CONNECT_TRIES, CloudError, Request
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Patience

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

# Connections that are kept; more threads than this open one for each request beyond them.
POOL_SIZE = 128
# As much of an answer as is taken at once: a page of 1,000 keys has about 300 KB.
_READ_SIZE = 1 << 18
_LEAST_TIMEOUT = 0.001


class Transport:
    """The connections to one endpoint."""

    def __init__(
        self,
        endpoint: str,
        environ: Mapping[str, str],
        patience: Patience,
        *,
        ca_variables: tuple[str, ...],
        proxied: bool,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problem = f"the endpoint {endpoint!r} in the environment is no URL: http(s)://host:port"
            raise ConfigError([Mistake("", "", problem)])
        self.host = parts.netloc
        self._patience = patience
        self._base = parts.path.rstrip("/")
        self._manager = manager_for(endpoint, environ, ca_variables, proxied=proxied)
        if self._manager.proxy and parts.scheme == "http":
            # A proxy is asked for a whole URL, unless it only passes TLS on.
            self._base = f"{parts.scheme}://{parts.netloc}{self._base}"
        self._pool = self._manager.connection_from_url(f"{parts.scheme}://{parts.netloc}")

    def exchange(
        self, request: Request, headers: dict[str, str], deadline: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the answer; raises CloudError. Takes no longer than `deadline`."""
        left = max(_LEAST_TIMEOUT, deadline - time.monotonic())
        headers["user-agent"] = f"workflow-manager/{__version__}"
        with self._translated():
            response = self._pool.urlopen(
                request.method,
                self._base + request.target,
                body=request.body or None,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(
                    connect=min(self._patience.connect_timeout, left),
                    read=min(self._patience.read_timeout, left),
                ),
                preload_content=False,
            )
            return response.status, response.headers, self._read(response, deadline)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.close()
        self._manager.clear()

    def _read(self, response: "BaseHTTPResponse", deadline: float) -> bytes:
        """The body. A service that sends it byte by byte breaks no read timeout, but does the deadline."""
        chunks = []
        while chunk := response.read1(_READ_SIZE):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                response.close()
                raise CloudError(
                    f"the answer was not complete after {self._patience.total_timeout:g} s",
                    "check the network, and what stands between here and the service",
                )
        response.release_conn()
        return b"".join(chunks)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what urllib3 raises into CloudError; nothing else does."""
        try:
            yield
        except (HTTPError, OSError) as error:
            raise self._explained(error) from error
        except ValueError:
            # http.client puts the value, which may be a secret, into its error: so it goes no further.
            raise CloudError(
                "a header of the request holds a line break or another control character",
                "check the credentials for stray line breaks",
            ) from None

    def _explained(self, error: Exception) -> CloudError:
        if isinstance(error, SSLError) and (reason := _untrusted(error)):
            return CloudError(
                f"the certificate of {self.host} is not trusted: {reason}",
                "check the endpoint, the clock, and the CA bundle (AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or "
                "SSL_CERT_FILE)",
            )
        if isinstance(error, NameResolutionError):
            again = isinstance(error.__cause__, socket.gaierror) and error.__cause__.errno == socket.EAI_AGAIN
            return CloudError(
                f"the name of the host {self.host} cannot be resolved",
                "check the endpoint, the region, and DNS",
                tries=CONNECT_TRIES if again else 1,
            )
        if isinstance(error, ConnectTimeoutError | NewConnectionError | ProxyError):
            proxy = " through the proxy" if isinstance(error, ProxyError) else ""
            return CloudError(
                f"{self.host} cannot be reached{proxy}: {_innermost(error)}",
                "check the endpoint, the network and its firewalls, and HTTPS_PROXY and NO_PROXY",
                tries=CONNECT_TRIES,
            )
        if isinstance(error, ReadTimeoutError):
            return CloudError(
                f"{self.host} did not answer within {self._patience.read_timeout:g} s",
                "check the network and the service's status page",
                tries=ALWAYS,
            )
        known = isinstance(error, ProtocolError | SSLError | OSError)
        return CloudError(
            f"the connection to {self.host} broke: {_innermost(error)}",
            "check the network, and what stands between here and the service",
            tries=ALWAYS if known else 1,
        )


def manager_for(
    url: str, environ: Mapping[str, str], ca_variables: tuple[str, ...], *, proxied: bool = True
) -> urllib3.PoolManager:
    """A manager of connections to the host of `url`, through a proxy if the environment asks for it."""
    target = urlsplit(url)
    context = trust(environ, ca_variables) if target.scheme == "https" else None
    proxy = urlsplit(proxy_for(target.scheme, target.hostname or "", environ) if proxied else "")
    if not proxy.netloc:
        return urllib3.PoolManager(maxsize=POOL_SIZE, ssl_context=context)
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else None
    return urllib3.ProxyManager(
        f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}",
        proxy_headers=make_headers(proxy_basic_auth=login) if login else None,
        maxsize=POOL_SIZE,
        ssl_context=context,
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


def _untrusted(error: BaseException) -> str:
    """Why a certificate was not accepted, or "" if it is not about that."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
    return ""


def _innermost(error: BaseException) -> str:
    """The operating system's word for it if there is one, else the last cause's."""
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    if any(isinstance(cause, ConnectTimeoutError) for cause in causes):
        return "no connection within the connect timeout"
    return str(causes[-1])


def _chain(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        nested = [part for part in at.args if isinstance(part, BaseException)]
        at = at.__cause__ or at.__context__ or (nested[0] if nested else None)
