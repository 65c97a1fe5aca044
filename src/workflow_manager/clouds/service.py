"""Requests to a cloud's service: bounded in time, tried again where that can help, one kind of error.

An operation here is one request with its retries: one page of a listing, one object written.
All its bounds come from ports.RetryPolicy, in seconds:

- `connect_timeout` and `read_timeout` hold for each try: for the connection to be made, and
  for each silence of the service;
- `tries` is the maximum number of tries per request. Where no connection could be made at all, there are
  at most CONNECT_TRIES, so that a wrong address does not take as long as a busy service;
- `total_timeout` bounds the operation, with all tries and the pauses between them; so does `until`.

Pauses double from FIRST_PAUSE to LONGEST_PAUSE, and a random part of that is taken ("full
jitter"), so that many workers do not come back at the same moment. A service that names a time
in `Retry-After` is given that time, but no more than LONGEST_WISH.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from importlib.util import find_spec
from time import sleep
from typing import TypeVar

from workflow_manager.clouds.http import ALWAYS, Answer, Call, CloudError, ErrorDocument, Request
from workflow_manager.clouds.tls_settings import AS_THE_ENVIRONMENT_SAYS, TlsSettings
from workflow_manager.errors import MissingExtraError
from workflow_manager.ports import NobodyCounts, RequestObserver, RetryPolicy
from workflow_manager.random_ids import random_between

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
LONGEST_WISH = 20.0

# What is worth another try. HTTP says so of these statuses, the services say so of these codes,
# whatever status they come with (S3 gives RequestTimeout as 400, SNS Throttling as 400).
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_BUSY_CODES = frozenset(
    {
        "ABORTED",
        "CANCELLED",
        "Conflict",
        "ConditionalRequestConflict",
        "IDPCommunicationError",
        "InternalError",
        "InternalFailure",
        "KMSThrottling",
        "KmsThrottled",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "backendError",
        "rateLimitExceeded",
        "userRateLimitExceeded",
    }
)

# Headers whose values stay out of errors, and what separates the secrets in them from the rest.
_CONFIDENTIAL = frozenset({"authorization", "x-amz-security-token"})
_WORDS = re.compile(r"[\s,=]+")
_SECRET_LENGTH = 16


class Service:
    """One service at one endpoint, such as `https://host:port`. Safe for use by many threads.

    `authorize` gives the headers that each try of a request goes with, `explain` reads the
    service's error documents. With `http2`, that is used where the endpoint offers it. `requests` is told
    of each try of a request that has an operation.
    """

    def __init__(  # noqa: PLR0913 (what a service has to be told; most of it has a default)
        self,
        endpoint: str,
        environ: Mapping[str, str],
        retry_policy: RetryPolicy,
        *,
        authorize: Callable[[Request], Mapping[str, str]],
        explain: Callable[[bytes], ErrorDocument],
        proxied: bool = True,
        http2: bool = False,
        requests: RequestObserver | None = None,
        tls: TlsSettings = AS_THE_ENVIRONMENT_SAYS,
    ) -> None:
        from workflow_manager.clouds.transport import Transport  # noqa: PLC0415 (comes with an extra)

        self.endpoint = endpoint
        self._retry_policy = retry_policy
        self._authorize = authorize
        self._explain = explain
        self._requests = requests or NobodyCounts()
        self._transport = Transport(endpoint, environ, retry_policy, proxied=proxied, http2=http2, tls=tls)

    def send(self, request: Request, accept: frozenset[int]) -> Answer:
        """The answer to a request, if its status is in `accept`; raises CloudError."""
        return self.fetch(request, accept, _as_it_is)

    def fetch(self, request: Request, accept: frozenset[int], parse: Callable[[Answer], T]) -> T:
        """What `parse` makes of the answer. If it raises a CloudError that may be tried again, it is."""
        (result,) = self.fetch_all([request], accept, parse)
        if isinstance(result, CloudError):
            raise result
        return result

    def send_all(
        self, requests: Sequence[Request | CloudError], accept: frozenset[int]
    ) -> list[Answer | CloudError]:
        """The answers to requests that are sent at once, or why there is none; see `send`."""
        return self.fetch_all(requests, accept, _as_it_is)

    def fetch_all(
        self, requests: Sequence[Request | CloudError], accept: frozenset[int], parse: Callable[[Answer], T]
    ) -> list[T | CloudError]:
        """What becomes of requests that are sent at once, in order; see `fetch`. No error is raised.

        An error in the place of a request, which cannot be made, is its outcome.
        """
        begin = time.monotonic()
        attempt = 1
        outcomes = self._once(requests, accept, parse, begin, attempt)
        failed = {n: outcome for n, outcome in enumerate(outcomes) if isinstance(outcome, CloudError)}
        while failed and (pending := self._to_try_again(failed, begin, attempt)):
            attempt += 1
            again = self._once([requests[number] for number in pending], accept, parse, begin, attempt)
            outcomes_again = dict(zip(pending, again, strict=True))
            failed = {n: outcome for n, outcome in outcomes_again.items() if isinstance(outcome, CloudError)}
            for number, outcome in outcomes_again.items():
                outcomes[number] = outcome
        return outcomes

    def _to_try_again(self, failed: Mapping[int, CloudError], begin: float, attempt: int) -> list[int]:
        """Those that are worth another try, after a pause. The errors of the others are completed."""
        tries = self._retry_policy.tries
        pending = [number for number, error in failed.items() if attempt < min(error.tries, tries)]
        wait = pause(attempt, max((failed[number].retry_after for number in pending), default=0.0))
        # The deadline may have moved meanwhile.
        if pending and time.monotonic() + wait >= self._retry_policy.deadline(begin):
            pending = []
        for number in failed.keys() - set(pending) if attempt > 1 else ():
            failed[number].cause += f" (tried {attempt} times in {time.monotonic() - begin:.1f} s)"
        if pending:
            sleep(wait)
        return pending

    def stream(self, request: Request, write: Callable[[bytes], object]) -> None:
        """Have `write` called with an answer's body as it comes; raises CloudError. It is tried once."""
        headers = {**request.headers, **self._authorize(request)}
        answer = self._transport.stream(request, headers, write)
        if answer.status != HTTPStatus.OK:
            body = _without_secrets(answer.body, headers, request.secrets)
            raise self._refusal(answer.status, answer.headers, body)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _once(
        self,
        requests: Sequence[Request | CloudError],
        accept: frozenset[int],
        parse: Callable[[Answer], T],
        begin: float,
        attempt: int,
    ) -> list[T | CloudError]:
        """The outcome of one try of each request."""
        calls = [self._call(request) for request in requests]
        deadline = self._retry_policy.deadline(begin)
        if time.monotonic() >= deadline:
            late = "there was no time left to send the request"
            return [call if isinstance(call, CloudError) else CloudError(late) for call in calls]
        answers = self._transport.exchange_all(calls, deadline)
        return [
            call if isinstance(call, CloudError) else self._outcome(*call, answer, accept, parse, attempt)
            for call, answer in zip(calls, answers, strict=True)
        ]

    def _call(self, request: Request | CloudError) -> Call | CloudError:
        if isinstance(request, CloudError):
            return request
        try:
            return request, {**request.headers, **self._authorize(request)}
        except CloudError as error:
            return error

    def _outcome(
        self,
        request: Request,
        sent: Mapping[str, str],
        answer: Answer | CloudError,
        accept: frozenset[int],
        parse: Callable[[Answer], T],
        attempt: int,
    ) -> T | CloudError:
        if request.operation:
            received = 0 if isinstance(answer, CloudError) else len(answer.body)
            self._requests.requested(request.operation, len(request.body), received, retry=attempt > 1)
        if isinstance(answer, CloudError):
            return answer
        if answer.status not in accept:
            body = _without_secrets(answer.body, sent, request.secrets)
            return self._refusal(answer.status, answer.headers, body)
        try:
            return parse(answer if attempt == 1 else answer._replace(attempt=attempt))
        except CloudError as error:
            return error

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> CloudError:
        code, message = self._explain(body)
        busy = status in _BUSY or code in _BUSY_CODES
        said = ": ".join(part for part in (f"{status} {code}".rstrip(), message) if part)
        return CloudError(
            f"the service answered {said}",
            "the service is overloaded or failing: try again later, and check its status page"
            if busy
            else "",
            status=status,
            code=code,
            tries=ALWAYS if busy else 1,
            retry_after=_wish(headers),
            headers=headers,
        )


def require(what: str, extra: str, *modules: str) -> None:
    """Raise MissingExtraError if one of these modules, which `extra` brings, is not installed."""
    for module in modules:
        package = module.partition(".")[0]
        if find_spec(package) is None or find_spec(module) is None:
            raise MissingExtraError(what, extra, module)


def no_authorization(request: Request) -> Mapping[str, str]:  # noqa: ARG001 (has the shape of the others)
    """For services that ask for none: emulators, metadata servers, and those that give out credentials."""
    return {}


def _without_secrets(body: bytes, headers: Mapping[str, str], secrets: tuple[str, ...]) -> bytes:
    """An error document without what was sent in confidence: some services and proxies repeat it."""
    for name, value in headers.items():
        if name.lower() in _CONFIDENTIAL:
            secrets += tuple(part for part in _WORDS.split(value) if len(part) >= _SECRET_LENGTH)
    for secret in secrets:
        body = body.replace(secret.encode(), b"(removed)")
    return body


def _as_it_is(answer: Answer) -> Answer:
    return answer


def pause(attempt: int, wish: float = 0.0) -> float:
    """Seconds to wait after a try that failed, at random; `wish` is what the service asks for."""
    backoff = random_between(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1)))
    return max(backoff, min(wish, LONGEST_WISH))


def _wish(headers: Mapping[str, str]) -> float:
    """The seconds that `Retry-After` asks for: a number, or a date (RFC 9110, 10.2.3). 0 if neither."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value[:9])
    if not value:
        return 0.0
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 (a tenth of all that a run imports)

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
