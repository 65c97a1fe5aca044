"""What the environment says of connections, as options for libcurl: proxies and certificates.

libcurl would read the process's environment itself. Every option that it would look for there is
set, so that only the environment of the settings counts.
"""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pycurl

from workflow_manager.clouds.tls_settings import TlsSettings
from workflow_manager.errors import ConfigError, Mistake

_ENDPOINTS = frozenset({"http", "https"})
_PATH = re.compile("[!$&'()*+,/0-9:;=@A-Z_a-z.~%-]*")
_PROXIES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
# Where systems keep the certificates that they trust: Debian, Ubuntu and Alpine; Fedora and RHEL; SUSE;
# older RHEL; macOS and the BSDs.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def endpoint_parts(url: str) -> SplitResult:
    """The parts of an endpoint's URL: scheme, host, port and path; raises ConfigError."""
    parts = _parts(url, "the endpoint", _ENDPOINTS)
    if not _PATH.fullmatch(parts.path):
        raise _mistake("the endpoint", url, "its path contains characters that must be percent-encoded")
    return parts


def connect_options(
    scheme: str, environ: Mapping[str, str], ca_variables: tuple[str, ...], *, proxied: bool
) -> dict[int, Any]:
    """Options for connections to endpoints of a scheme; None stands for unset. Raises ConfigError.

    `ca_variables` name a CA bundle each, and the first that is set counts, before SSL_CERT_FILE.
    """
    proxy = proxy_for(scheme, environ) if proxied else ""
    no_proxy = _setting(environ, "no_proxy") if proxy else ""
    options: dict[int, Any] = {pycurl.PROXY: proxy, pycurl.NOPROXY: no_proxy}
    by_tls = proxy and _parts(proxy, "the proxy", _PROXIES).scheme == "https"
    if scheme == "https" or by_tls:
        file, folder = trusted(environ, ca_variables)
        options |= {pycurl.CAINFO: file, pycurl.CAPATH: folder}
        options |= {pycurl.PROXY_CAINFO: file, pycurl.PROXY_CAPATH: folder} if by_tls else {}
    return options


def tls_options(tls: TlsSettings) -> dict[int, Any]:
    """Options for a service that has a CA or a client certificate of its own."""
    options: dict[int, Any] = {}
    if isinstance(tls.ca, bytes):
        options |= {pycurl.CAINFO: None, pycurl.CAPATH: None, pycurl.CAINFO_BLOB: tls.ca}
    elif tls.ca:
        options |= {pycurl.CAINFO: tls.ca, pycurl.CAPATH: None}
    if not tls.verify:
        options |= {pycurl.SSL_VERIFYPEER: 0, pycurl.SSL_VERIFYHOST: 0}
    for value, file, blob in (
        (tls.certificate, pycurl.SSLCERT, pycurl.SSLCERT_BLOB),
        (tls.key, pycurl.SSLKEY, pycurl.SSLKEY_BLOB),
    ):
        if value:
            options[blob if isinstance(value, bytes) else file] = value
    return options


def proxy_for(scheme: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy for endpoints of a scheme, or ""."""
    proxy = _setting(environ, f"{scheme}_proxy") or _setting(environ, "all_proxy")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def trusted(environ: Mapping[str, str], variables: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The file and the folder of the certificates to trust: what the environment names, or the system's.

    Raises ConfigError if what the environment names cannot be read.
    """
    for variable in variables:
        if bundle := environ.get(variable):
            _check_readable(variable, bundle)
            return (None, bundle) if Path(bundle).is_dir() else (bundle, None)
    file, folder = environ.get("SSL_CERT_FILE") or None, environ.get("SSL_CERT_DIR") or None
    for variable, path in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", folder)):
        if path:
            _check_readable(variable, path)
    if file or folder:
        return file, folder
    for bundle in _SYSTEM_BUNDLES:
        if os.access(bundle, os.R_OK):
            return bundle, None
    return _bundled(), None


def _bundled() -> str | None:
    """Mozilla's certificates, where the system has none: google-auth's extra brings them."""
    if find_spec("certifi") is None:
        return None
    import certifi  # noqa: PLC0415 (not there with every extra)

    return certifi.where()


def _check_readable(variable: str, path: str) -> None:
    try:
        with os.scandir(path) if Path(path).is_dir() else Path(path).open("rb"):
            pass
    except OSError as error:
        problem = f"the CA bundle {path!r} cannot be read: {error.strerror or error}"
        raise ConfigError([Mistake("", "", f"{problem} (check {variable})")]) from error


def _setting(environ: Mapping[str, str], name: str) -> str:
    """A variable in either case: the lower one first, as all tools have it."""
    # CGI scripts get HTTP_PROXY from whoever asks, so only the lower-case form counts for http.
    upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environ else environ.get(name.upper(), "")
    return environ.get(name, "") or upper


def _parts(url: str, what: str, schemes: frozenset[str]) -> SplitResult:
    """The parts of a URL that the environment gives; raises ConfigError."""
    problem = ""
    try:
        parts = urlsplit(url)
        _ = parts.port
        if parts.scheme not in schemes or not parts.hostname:
            problem = f"it must be {' or '.join(sorted(schemes))}://host:port"
    except ValueError as error:
        problem = str(error)
    if problem:
        raise _mistake(what, url, problem)
    return parts


def _mistake(what: str, url: str, problem: str) -> ConfigError:
    place = url.rpartition("@")[2]  # what stands before may be a password
    return ConfigError(
        [Mistake("", "", f"{what} {place!r} in the environment is not a valid URL: {problem}")]
    )
