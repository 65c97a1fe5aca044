"""Amazon's services over REST: whose credentials, and what errors say.

Credentials in the environment are taken from there directly, and roles of a web identity are
assumed with a plain call of STS, so that a short run need not load botocore. All others
(profiles, SSO, containers, instances) are found by botocore, which reads the process's
environment and files itself. Its clients, which take long to make and to call, are not used.
"""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urlsplit

from workflow_manager.clouds.http import Answer, CloudError, ErrorDocument, Request, excerpt, unfinished
from workflow_manager.clouds.refresh import Expiring, Refreshed
from workflow_manager.clouds.service import Service, no_authorization
from workflow_manager.clouds.signing import Keys, Signer
from workflow_manager.clouds.tls_settings import TlsSettings
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Settings

if TYPE_CHECKING:
    from botocore.credentials import Credentials as BotocoreCredentials

CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_OK = frozenset({200})
# Assumed roles last an hour, as every role allows, and are renewed when a sixth of that is left.
_SESSION_SECONDS = 3600
_MARGIN_SECONDS = 600.0
_AMBIENT = timedelta(seconds=60)
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]+:role/[^\s]+")
_METADATA_HOST = "metadata.google.internal"
# https://cloud.google.com/compute/docs/instances/verifying-instance-identity; the audience is
# the one that the roles of existing deployments trust.
_IDENTITY = (
    "/computeMetadata/v1/instance/service-accounts/default/identity"
    "?audience=sts.amazonaws.com%2Fgke-identity-federation&format=full"
)
_ELEMENT = r"<{0}>([^<]*)</{0}>"
_CODE = re.compile(_ELEMENT.format("Code"))
_MESSAGE = re.compile(_ELEMENT.format("Message"))
_ARN = re.compile(_ELEMENT.format("Arn"))
_KEYS = tuple(
    re.compile(_ELEMENT.format(name))
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
)
_ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class Credentials(NamedTuple):
    """Whose credentials, in words for errors, and the function that gives those valid now."""

    who: str
    keys: Callable[[], Keys]


def open_service(settings: Settings, name: str, region: str, url: str) -> tuple[Service, str]:
    """The service of this name at `url`, and whose credentials it is used with. Sends no request."""
    who, keys = credentials(settings, region)
    service = Service(
        url,
        settings.environ,
        settings.retry_policy,
        authorize=Signer(keys, name, region, _host(url), urlsplit(url).path.rstrip("/")),
        explain=explain,
        requests=settings.requests,
        tls=TlsSettings(ca_variables=CA_VARIABLES),
    )
    return service, who


def caller(settings: Settings, region: str) -> str:
    """The ARN that the credentials belong to, by asking STS; raises CloudError."""
    url = endpoint(settings.environ, "sts") or f"https://sts.{domain(region)}"
    service, _ = open_service(settings, "sts", region, url)
    form = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"}).encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    with closing(service):
        answer = service.send(Request("POST", "/", form, kind), _OK)
    arn = _ARN.search(answer.body.decode(errors="replace"))
    if arn is None:
        raise unfinished("does not say who the caller is")
    return unescape(arn[1])


def credentials(settings: Settings, region: str) -> Credentials:
    """Those of the identity in the settings, or of the environment; raises ConfigError."""
    environ = settings.environ
    name = environ.get("AWS_ROLE_SESSION_NAME") or "workflow-manager"
    if settings.identity:
        if not _ROLE.fullmatch(settings.identity):
            raise ConfigError([Mistake("", "", f"the identity {settings.identity!r} is not a role's ARN")])
        return _assumed(settings, region, settings.identity, name)
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN") or None
        keys = Keys(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token)
        return Credentials("the keys in AWS_ACCESS_KEY_ID", lambda: keys)
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    role = environ.get("AWS_ROLE_ARN")
    if role and environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and not profile:
        return _assumed(settings, region, role, name)
    who = f"the AWS profile {profile!r}" if profile else "the AWS credentials of this machine or its ~/.aws"
    return Credentials(who, Refreshed(_Ambient(), 0.0).get)


def endpoint(environ: Mapping[str, str], service: str) -> str | None:
    """The endpoint that the environment sets for a service, or None: `AWS_ENDPOINT_URL_S3`."""
    url = environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environ.get("AWS_ENDPOINT_URL")
    return url.rstrip("/") if url else None


def _host(url: str) -> str:
    """The host of a URL as requests are signed for it: without the port if that is the scheme's own."""
    parts = urlsplit(url)
    own = ":443" if parts.scheme == "https" else ":80"
    return parts.netloc.rpartition("@")[2].removesuffix(own)


def domain(region: str) -> str:
    """Where the services of a region are."""
    return f"{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def explain(body: bytes) -> ErrorDocument:
    """What an error document in XML says."""
    text = body.decode(errors="replace")
    code, message = _CODE.search(text), _MESSAGE.search(text)
    if code is None:
        return ErrorDocument("", excerpt(body))
    return ErrorDocument(code[1], unescape(message[1]) if message else "")


def unescape(text: str) -> str:
    """Text with XML's entities made characters again, control characters among them."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    if name:
        return _ENTITIES[name]
    point = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return chr(point) if point <= sys.maxunicode else entity[0]


class _Ambient:
    """What botocore finds. It is asked once a minute, and renews what it has long before it expires."""

    def __init__(self) -> None:
        self._found: BotocoreCredentials | None = None

    def __call__(self) -> Expiring[Keys]:
        from botocore.session import Session  # noqa: PLC0415 (takes long to import)

        try:
            if self._found is None:
                self._found = Session().get_credentials()
            frozen = self._found.get_frozen_credentials() if self._found else None
        except Exception as error:  # what files and programs say is read on the way, and may be anything
            raise CloudError(
                f"cannot obtain AWS credentials: {str(error) or type(error).__name__}",
                "check ~/.aws and AWS_PROFILE, log in again (aws sso login), or check the machine's role",
            ) from error
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise CloudError(
                "there are no AWS credentials",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give this machine a role",
            )
        keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
        return Expiring(keys, datetime.now(UTC) + _AMBIENT)


def _assumed(settings: Settings, region: str, role: str, session: str) -> Credentials:
    """The keys of a role that a web identity may take on."""
    fetch = partial(_assume, settings, region, role, session)
    return Credentials(role, Refreshed(fetch, _MARGIN_SECONDS).get)


def _assume(settings: Settings, region: str, role: str, session: str) -> Expiring[Keys]:
    token = _web_identity_token(settings)
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": session,
        "DurationSeconds": str(_SESSION_SECONDS),
        "WebIdentityToken": token,
    }
    kind = {"content-type": "application/x-www-form-urlencoded"}
    request = Request("POST", "/", urlencode(form).encode(), kind, (token,))
    url = endpoint(settings.environ, "sts") or f"https://sts.{domain(region)}"
    try:
        with closing(_unsigned(settings, url)) as service:
            return service.fetch(request, _OK, _leased)
    except CloudError as error:
        error.cause = f"the role {role} cannot be assumed: {error.cause}"
        if error.status and not error.advice:
            error.advice = "check that the role exists and that its trust policy admits this web identity"
        raise


def _leased(answer: Answer) -> Expiring[Keys]:
    text = answer.body.decode(errors="replace")
    found = [pattern.search(text) for pattern in _KEYS]
    access_key, secret_key, token, expiration = (unescape(match[1]) if match else "" for match in found)
    if not (access_key and secret_key and token and expiration):
        raise unfinished("contains no complete credentials")
    try:
        expiry = datetime.fromisoformat(expiration)
    except ValueError:
        raise unfinished(f"has no valid expiration date: {excerpt(expiration.encode())!r}") from None
    return Expiring(Keys(access_key, secret_key, token), expiry)


def _web_identity_token(settings: Settings) -> str:
    """That in the file that the environment names, or else the one of this GKE workload."""
    path = settings.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            raise CloudError(
                f"the web identity token {path!r} cannot be read: {error}",
                "check AWS_WEB_IDENTITY_TOKEN_FILE",
            ) from error
    host = settings.environ.get("GCE_METADATA_HOST") or _METADATA_HOST
    request = Request("GET", _IDENTITY, headers={"metadata-flavor": "Google"})
    try:
        with closing(_unsigned(settings, f"http://{host}", proxied=False)) as service:
            return service.send(request, _OK).body.decode().strip()
    except CloudError as error:
        error.cause = f"there is no web identity token: the metadata server: {error.cause}"
        error.advice = (
            "run on GKE with a service account bound to this workload, or set AWS_WEB_IDENTITY_TOKEN_FILE"
        )
        raise


def _unsigned(settings: Settings, url: str, *, proxied: bool = True) -> Service:
    return Service(
        url,
        settings.environ,
        settings.retry_policy,
        authorize=no_authorization,
        explain=explain,
        tls=TlsSettings(ca_variables=CA_VARIABLES),
        proxied=proxied,
    )
