"""What libcurl's errors mean: which are worth another try, and what to do about them."""

import os

import pycurl

from workflow_manager.clouds.http import ALWAYS, CONNECT_TRIES, CloudError, unfinished
from workflow_manager.clouds.io_thread import CLOSED
from workflow_manager.clouds.transfer import Transfer
from workflow_manager.ports import RetryPolicy

# Codes that PycURL has no names for: https://curl.se/libcurl/c/libcurl-errors.html
_PROXY = 97
_TOO_LARGE = 100
_UNRESOLVED = frozenset({pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY})
_CUT_OFF = "unexpected eof"  # OpenSSL's words for a connection that ends without TLS's own farewell
_BUNDLE = "AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR"
_BETWEEN = "check the network, proxies and load balancers between this machine and the service"
_WAY = "check the endpoint, the network and its firewalls, and HTTPS_PROXY and NO_PROXY"


def explained(
    transfer: Transfer, host: str, limit: int, retry_policy: RetryPolicy, certificates: str = ""
) -> CloudError:
    """The error of a transfer from `host` that has failed, and whose body could have `limit` bytes.

    `certificates` says where the CA comes from if it is not the environment's.
    """
    code, message = transfer.code, transfer.message
    if code == CLOSED:
        return CloudError(message)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return _late(transfer, host, retry_policy)
    if code in (pycurl.E_GOT_NOTHING, pycurl.E_PARTIAL_FILE) or _CUT_OFF in message:
        return unfinished(
            "broke off" if transfer.body.tell() else "did not arrive: the connection was closed"
        )
    final = _untrusted(code, message, host, certificates) or _excessive(code, message, host, limit)
    return final or _failed(transfer, host)


def _untrusted(code: int, message: str, host: str, certificates: str) -> CloudError | None:
    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        return CloudError(
            f"the certificate of {host} is not trusted: {message.rpartition(': ')[2]}",
            f"check the endpoint, the clock, and the CA bundle ({certificates or _BUNDLE})",
        )
    if code == pycurl.E_SSL_CACERT_BADFILE:
        return CloudError(f"the CA bundle cannot be read: {message}", f"check {certificates or _BUNDLE}")
    if code == pycurl.E_SSL_CERTPROBLEM:
        return CloudError(f"the client certificate cannot be used: {message}", f"check {certificates}")
    return None


def _excessive(code: int, message: str, host: str, limit: int) -> CloudError | None:
    """Answers beyond what is taken. libcurl bounds the headers: 300 kB and 5,000 lines."""
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return CloudError(f"the answer of {host} has more than {limit:,} bytes", _BETWEEN)
    if code == _TOO_LARGE or "headers" in message or "CONTINUATION" in message:
        return CloudError(f"the answer of {host} has too many or too large headers: {message}", _BETWEEN)
    return None


def _failed(transfer: Transfer, host: str) -> CloudError:
    """What another try may mend."""
    code, message = transfer.code, transfer.message
    if code in _UNRESOLVED:
        proxy = code == pycurl.E_COULDNT_RESOLVE_PROXY
        name = message.rpartition(" ")[2] if proxy else host
        return CloudError(
            f"cannot resolve {'proxy' if proxy else 'host'} {name}",
            "check the endpoint, the region, HTTPS_PROXY, and DNS",
            tries=CONNECT_TRIES,  # a resolver that fails for a moment looks the same
        )
    if code in (pycurl.E_COULDNT_CONNECT, _PROXY) or "CONNECT" in message:
        return _unreachable(host, _system_error(transfer) or message, by_proxy=_by_proxy(transfer))
    return CloudError(
        f"the connection to {host} broke: {_system_error(transfer) or message or f'error {code}'}",
        _BETWEEN,
        tries=ALWAYS,
    )


def _late(transfer: Transfer, host: str, retry_policy: RetryPolicy) -> CloudError:
    """One of three limits: libcurl tells in which phase it was met, and which it was only in words."""
    if not transfer.curl.getinfo(pycurl.REQUEST_SIZE):
        return _unreachable(host, "no connection within the connect timeout", by_proxy=_by_proxy(transfer))
    slow = "too slow" in transfer.message
    seconds = retry_policy.read_timeout if slow else transfer.curl.getinfo(pycurl.TOTAL_TIME)
    if slow or not transfer.lines:
        return CloudError(
            f"{host} did not answer within {seconds:.3g} s",
            "check the network and the service's status page",
            tries=ALWAYS,
        )
    return CloudError(f"the answer of {host} was not complete after {seconds:.3g} s", _BETWEEN)


def _unreachable(host: str, cause: str, *, by_proxy: bool) -> CloudError:
    way = " through the proxy" if by_proxy else ""
    return CloudError(f"{host} cannot be reached{way}: {cause}", _WAY, tries=CONNECT_TRIES)


def _by_proxy(transfer: Transfer) -> bool:
    return bool(transfer.curl.getinfo(pycurl.USED_PROXY))


def _system_error(transfer: Transfer) -> str:
    number = transfer.curl.getinfo(pycurl.OS_ERRNO)
    return os.strerror(number) if number else ""
