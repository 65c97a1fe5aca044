"""One try of a request, by libcurl: TLS, proxies, HTTP/1.1 and HTTP/2, and limits on what comes back.

Importing this imports libcurl, so only clouds.service does, when a service is first made.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pycurl

from workflow_manager import __version__
from workflow_manager.clouds.connect_options import connect_options, endpoint_parts, tls_options
from workflow_manager.clouds.http import Answer, Call, CloudError, Request
from workflow_manager.clouds.shared_io import close_shared, open_shared
from workflow_manager.clouds.streaming import Stream
from workflow_manager.clouds.tls_settings import AS_THE_ENVIRONMENT_SAYS, TlsSettings
from workflow_manager.clouds.transfer import Options, Transfer
from workflow_manager.clouds.transport_errors import explained
from workflow_manager.ports import RetryPolicy

# As much of an answer as libcurl hands over at once. A page of 1,000 keys has about 300 kB.
_BUFFER_BYTES = 1 << 16
# The least that libcurl takes: each handle keeps such a buffer, and a marker has a few hundred bytes.
_UPLOAD_BUFFER_BYTES = 1 << 14
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
# libcurl would add the first two; with no encoding, a page is read without being unpacked first.
_OWN_HEADERS = ("accept:", "expect:", "accept-encoding: identity")
_METHODS = {"GET": pycurl.HTTPGET, "HEAD": pycurl.NOBODY}


class Transport:
    """Requests to one endpoint. Safe for use by many threads.

    With `http2`, that is used if the service offers it, and one connection carries all requests.
    """

    def __init__(
        self,
        endpoint: str,
        environ: Mapping[str, str],
        retry_policy: RetryPolicy,
        *,
        proxied: bool,
        http2: bool = False,
        tls: TlsSettings = AS_THE_ENVIRONMENT_SAYS,
    ) -> None:
        parts = endpoint_parts(endpoint)
        self._host = parts.netloc.rpartition("@")[2]
        self._base = f"{parts.scheme}://{self._host}{parts.path.rstrip('/')}"
        self._retry_policy = retry_policy
        self._tls = tls
        found = connect_options(parts.scheme, environ, tls.ca_variables, proxied=proxied) | tls_options(tls)
        self._options: Options = (*_fixed_options(retry_policy, http2=http2), *found.items())
        self._io = open_shared()
        self._idle = self._io.pool(self._options)
        self._open = True

    def exchange(self, request: Request, headers: Mapping[str, str], deadline: float) -> Answer:
        """The answer; raises CloudError. Takes no longer than `deadline`, on the monotonic clock."""
        (answer,) = self.exchange_all([(request, headers)], deadline)
        if isinstance(answer, CloudError):
            raise answer
        return answer

    def exchange_all(self, calls: Sequence[Call | CloudError], deadline: float) -> list[Answer | CloudError]:
        """The answers to requests that are sent at once, or why there is none; see `exchange`.

        An error in the place of a request is its own answer.
        """
        transfers = [
            call if isinstance(call, CloudError) else self._to_send(*call, deadline) for call in calls
        ]
        self._io.run([transfer for transfer in transfers if isinstance(transfer, Transfer)])
        return [
            self._received(transfer) if isinstance(transfer, Transfer) else transfer for transfer in transfers
        ]

    def stream(
        self, request: Request, headers: Mapping[str, str], write: Callable[[bytes], object]
    ) -> Answer:
        """As `exchange`, but for any time, and for a body of any length, which `write` gets as it comes.

        The body of an answer other than 200 is returned instead. It ends early if `write` raises, or if the
        calling thread is interrupted.
        """
        transfer = Transfer(self._options)
        self._prepare(transfer, request, _header_lines(request, headers))
        stream = Stream(transfer, write)
        thread = threading.Thread(target=stream.perform, name="stream", daemon=True)
        thread.start()
        try:
            thread.join()
        finally:
            stream.end()
            thread.join()
        answer = self._answer(transfer)
        if isinstance(answer, CloudError):
            raise answer
        return answer

    def close(self) -> None:
        """Let go of the connections."""
        if self._open:
            self._open = False
            close_shared(self._io)

    def _to_send(
        self, request: Request, headers: Mapping[str, str], deadline: float
    ) -> Transfer | CloudError:
        try:
            lines = _header_lines(request, headers)
        except CloudError as error:
            return error
        try:
            transfer = self._idle.pop()
        except IndexError:
            transfer = Transfer(self._options)
        self._prepare(transfer, request, lines)
        transfer.curl.setopt(pycurl.TIMEOUT_MS, max(1, int((deadline - time.monotonic()) * 1000)))
        return transfer

    def _prepare(self, transfer: Transfer, request: Request, lines: list[str]) -> None:
        curl = transfer.curl
        curl.setopt(pycurl.URL, f"{self._base}{request.target}")
        if transfer.headers != lines:
            curl.setopt(pycurl.HTTPHEADER, lines)
            transfer.headers = lines
        if transfer.limit != request.limit:
            curl.setopt(pycurl.MAXFILESIZE, request.limit)
            transfer.limit = request.limit
        if transfer.method != request.method:
            _set_method(curl, request.method)
            transfer.method = request.method
        if request.method not in _METHODS:
            curl.setopt(pycurl.POSTFIELDS, request.body)

    def _received(self, transfer: Transfer) -> Answer | CloudError:
        """The answer of a transfer whose handle can then be used for another."""
        try:
            return self._answer(transfer)
        finally:
            transfer.body.seek(0)
            transfer.body.truncate()
            transfer.lines.clear()
            self._idle.append(transfer)

    def _answer(self, transfer: Transfer) -> Answer | CloudError:
        if transfer.code:
            return explained(transfer, self._host, transfer.limit, self._retry_policy, self._tls.source)
        status = transfer.curl.getinfo(pycurl.RESPONSE_CODE)
        return Answer(status, AnswerHeaders(transfer.lines), transfer.body.getvalue())


class AnswerHeaders(Mapping[str, str]):
    """The headers of an answer, with their names in lower case; taken apart when one is asked for."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines.copy()
        self._parsed: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, str]:
        if self._parsed is None:
            self._parsed = {}
            for line in self._lines:
                name, colon, value = line.decode("latin-1").partition(":")
                if line.startswith(b"HTTP/"):
                    self._parsed.clear()  # what came before was said before the answer itself
                elif colon:
                    self._parsed[name.lower()] = value.strip()
        return self._parsed


def _fixed_options(retry_policy: RetryPolicy, *, http2: bool) -> Options:
    """The options of all requests."""
    return (
        (pycurl.NOSIGNAL, 1),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.FOLLOWLOCATION, 0),
        (pycurl.HTTP09_ALLOWED, 0),
        (pycurl.PATH_AS_IS, 1),
        (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
        (pycurl.SSL_VERIFYPEER, 1),
        (pycurl.SSL_VERIFYHOST, 2),
        (pycurl.PROXY_SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS if http2 else pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.USERAGENT, f"workflow-manager/{__version__}"),
        (pycurl.BUFFERSIZE, _BUFFER_BYTES),
        (pycurl.UPLOAD_BUFFERSIZE, _UPLOAD_BUFFER_BYTES),
        (pycurl.CONNECTTIMEOUT_MS, max(1, int(retry_policy.connect_timeout * 1000))),
        # Fewer than one byte a second for so long: libcurl counts in whole seconds.
        (pycurl.LOW_SPEED_LIMIT, 1),
        (pycurl.LOW_SPEED_TIME, max(1, math.ceil(retry_policy.read_timeout))),
    )


def _set_method(curl: pycurl.Curl, method: str) -> None:
    """Make a handle, whatever it was used for before, one for this method."""
    if method in _METHODS:
        curl.setopt(pycurl.HTTPGET, 1)
        curl.setopt(_METHODS[method], 1)
        curl.unsetopt(pycurl.CUSTOMREQUEST)
    else:
        curl.setopt(pycurl.POST, 1)  # has a body, which a HEAD before it had not
        curl.setopt(pycurl.CUSTOMREQUEST, method)


def _header_lines(request: Request, headers: Mapping[str, str]) -> list[str]:
    """Headers as libcurl takes them; raises CloudError for what would be more than headers."""
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
    # What is confidential may be in there, so it is not shown.
    text = "".join(lines)
    if _CONTROL.search(request.target) or _CONTROL.search(text):
        raise CloudError(
            "a header of the request contains a line break or another control character",
            "check the credentials for stray line breaks",
        )
    if not text.isascii():
        raise CloudError(
            "a header of the request contains a character that HTTP does not allow",
            "check the credentials and the endpoint",
        )
    lines += _OWN_HEADERS
    if request.body and "content-type" not in headers:
        lines.append("content-type:")  # libcurl would call it a form
    return lines
