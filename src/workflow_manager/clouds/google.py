"""Google's services over REST: whose credentials, and what errors say.

google-auth finds application default credentials (a user's, a service account's, the metadata
server's, those of workload identity federation) and gets tokens for them. It reads the
process's environment and files itself.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit, urlunsplit

from workflow_manager.clouds.http import CloudError, ErrorDocument, Request, excerpt
from workflow_manager.clouds.refresh import Expiring, Refreshed
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.clouds.tls_settings import TlsSettings
from workflow_manager.ports import Settings

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

Who = Callable[[], str]
RENEW = "renew the credentials: gcloud auth application-default login, or the workload's service account"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE",)
# google-auth's own: metadata servers give a new token only when the old one is about to expire.
_MARGIN_SECONDS = 225.0
_ADVICE = (
    "log in (gcloud auth application-default login), set GOOGLE_APPLICATION_CREDENTIALS, "
    "or give this workload a service account"
)


class Tokens:
    """The application default credentials, as headers of requests; asked for when first needed."""

    def __init__(self, settings: Settings, scopes: Sequence[str]) -> None:
        self._settings = settings
        self._scopes = scopes
        self._found: Credentials | None = None
        self._headers = Refreshed(self._fetch, _MARGIN_SECONDS)

    def __call__(self, request: Request) -> Mapping[str, str]:  # noqa: ARG002 (the same for all requests)
        """The headers of a request; raises CloudError if there are no credentials."""
        return self._headers.get()

    def who(self) -> str:
        """Whose credentials these are, as far as is known by now."""
        email = getattr(self._found, "service_account_email", None)
        if isinstance(email, str) and "@" in email:
            return email
        return "Google's application default credentials"

    def _fetch(self) -> Expiring[Mapping[str, str]]:
        import google.auth.transport  # noqa: PLC0415 (takes long to import)
        from google.auth.credentials import with_scopes_if_required  # noqa: PLC0415 (as above)

        headers: dict[str, str] = {}
        try:
            if self._found is None:
                request = cast("google.auth.transport.Request", self._request)  # only called, never more
                # With scopes, it would also look up the project, which needs a permission and a request.
                found, _ = google.auth.default(request=request)
                self._found = with_scopes_if_required(found, list(self._scopes))
            self._found.refresh(self._request)
            self._found.apply(headers)
            expiry = self._found.expiry
        except Exception as error:  # what files and programs say is read on the way, and may be anything
            said = error.args[0] if error.args else type(error).__name__
            raise CloudError(f"cannot obtain Google's credentials: {said}", _ADVICE) from error
        return Expiring(headers, expiry.replace(tzinfo=UTC) if expiry else None)

    def _request(  # google-auth's own shape of a request: see google.auth.transport.Request
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> SimpleNamespace:
        from google.auth.exceptions import TransportError  # noqa: PLC0415 (takes long to import)

        from workflow_manager.clouds.transport import Transport  # noqa: PLC0415 (comes with an extra)

        retry_policy = self._settings.retry_policy
        deadline = time.monotonic() + (timeout or min(retry_policy.read_timeout, retry_policy.total_timeout))
        parts = urlsplit(url)
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        # Of what is asked here, only metadata servers speak plain HTTP, and no proxy reaches those.
        transport = Transport(
            f"{parts.scheme}://{parts.netloc}",
            self._settings.environ,
            retry_policy,
            tls=TlsSettings(ca_variables=CA_VARIABLES),
            proxied=parts.scheme != "http",
        )
        try:
            answer = transport.exchange(Request(method, target, body or b""), headers or {}, deadline)
        except CloudError as error:
            raise TransportError(error) from error
        finally:
            transport.close()
        return SimpleNamespace(status=answer.status, headers=answer.headers, data=answer.body)


def open_service(settings: Settings, scopes: Sequence[str], url: str, emulator: str) -> tuple[Service, "Who"]:
    """The service at `url`, or at `emulator` if that is set, and whose credentials it is used with.

    An emulator, given with or without a scheme, is used without credentials. Sends no request.
    """
    if emulator:
        url = emulator if "://" in emulator else f"http://{emulator}"
        authorize: Callable[[Request], Mapping[str, str]] = no_authorization
        who: Who = _nobody
    else:
        tokens = _tokens(settings, scopes)
        authorize, who = tokens, tokens.who
    service = Service(
        url.rstrip("/"),
        settings.environ,
        settings.retry_policy,
        authorize=authorize,
        explain=explain,
        tls=TlsSettings(ca_variables=CA_VARIABLES),
        http2=True,
        requests=settings.requests,
    )
    return service, who


def _tokens(settings: Settings, scopes: Sequence[str]) -> Tokens:
    """The tokens for these scopes, which all adapters of a process may share."""
    key = (Tokens, tuple(scopes))
    made = Tokens(settings, scopes)
    found = settings.shared.setdefault(key, made)  # of several threads, one is the first
    return found if isinstance(found, Tokens) else made


def explain(body: bytes) -> ErrorDocument:
    """What an error document in JSON says: the reason, such as `forbidden`, and the message."""
    try:
        error = json.loads(body)["error"]
        reasons = [entry.get("reason", "") for entry in error.get("errors", ())]
        return ErrorDocument((reasons or [""])[0] or error.get("status", ""), str(error.get("message", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ErrorDocument("", excerpt(body))


def _nobody() -> str:
    return "nobody (STORAGE_EMULATOR_HOST or PUBSUB_EMULATOR_HOST is set)"
