"""The Kubernetes API over REST: the few requests that are needed, with the errors that it gives.

No client library: those take 0.3 to 1 s of CPU to import, and a run makes three kinds of requests.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

from workflow_manager import flag_types
from workflow_manager.clouds import service
from workflow_manager.clouds.http import (
    PAGE_BYTES,
    Answer,
    CloudError,
    ErrorDocument,
    Request,
    excerpt,
    unfinished,
)
from workflow_manager.clouds.kubernetes_access import Access, in_cluster, nowhere
from workflow_manager.clouds.kubernetes_credentials import Proof
from workflow_manager.clouds.service import Service
from workflow_manager.ports import Option, Settings

T = TypeVar("T")

NAMESPACE = "kubernetes-namespace"
CONTEXT = "kubernetes-context"
KUBECONFIG = "kubernetes-kubeconfig"
MAX_UNFINISHED = "kubernetes-max-unfinished"
OPTIONS = (
    Option(NAMESPACE, "namespace of the Jobs (default: the pod's own, or the context's)"),
    Option(CONTEXT, "context of the kubeconfig to use (default: its current one)"),
    Option(
        KUBECONFIG,
        "kubeconfig to use (default: $KUBECONFIG; in a pod, its ServiceAccount; ~/.kube/config)",
        parse=flag_types.path,
    ),
)
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
# Objects on a page of a listing. A Job may have its task several times over, each up to 100 kB.
_PAGE = 50
_DONE = frozenset({200, 201, 202})
_DENIED = ("denied the request", "denied request", "violates PodSecurity")


class Resource(NamedTuple):
    """A kind of object: the group and version of its API, and its name in paths."""

    api: str
    plural: str

    @property
    def group(self) -> str:
        """The group; empty for the core."""
        return self.api.partition("/")[0] if "/" in self.api else ""


JOBS = Resource("batch/v1", "jobs")
CONFIG_MAPS = Resource("v1", "configmaps")
PODS = Resource("v1", "pods")


class Cluster:
    """One API server and the namespace to work in. Safe for use by many threads. Methods raise CloudError."""

    def __init__(self, access: Access, namespace: str, settings: Settings) -> None:
        self.namespace = namespace
        self.source = access.source
        self._access = access
        self._settings = settings
        self._lock = threading.Lock()
        self._services: dict[tuple[str | bytes, str | bytes], Service] = {}
        self._service(Proof())  # finds what is wrong with the address and the CA

    @classmethod
    def open(cls, what: str, settings: Settings) -> Self:
        """The API server that the options and the environment name; raises ConfigError. Sends no request."""
        service.require(what, "kubernetes", "pycurl")
        access = _access(settings)
        namespace = str(settings.options.get(NAMESPACE) or access.namespace or "default")
        return cls(access, namespace, settings)

    def path(self, resource: Resource, name: str = "", more: str = "") -> str:
        """The path of the objects of a kind in the namespace, or of one of them."""
        root = f"/apis/{resource.api}" if resource.group else f"/api/{resource.api}"
        tail = "".join(f"/{quote(part, safe='')}" for part in (name, more) if part)
        return f"{root}/namespaces/{quote(self.namespace, safe='')}/{resource.plural}{tail}"

    def ask(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """The object that the API server answers with."""
        return self.answer(method, path, content, query=query, content_type=content_type)[0]

    def answer(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The object that the API server answers with, and the headers."""
        body = b"" if content is None else json.dumps(content, ensure_ascii=False).encode()
        headers = {"accept": JSON, **({"content-type": content_type} if body else {})}
        target = f"{path}?{urlencode(query)}" if query else path
        request = Request(method, target, body, headers, limit=PAGE_BYTES)
        return self._authorized(lambda server: server.fetch(request, _DONE, _parsed))

    def pages(self, resource: Resource, **query: str) -> Iterator[Sequence[dict[str, Any]]]:
        """The objects of a kind in the namespace, by pages. `query` is as the API's parameters."""
        token = ""
        while True:
            asked = {**query, "limit": str(_PAGE), **({"continue": token} if token else {})}
            page = self.ask("GET", self.path(resource), query=asked)
            yield page.get("items") or []
            token = page["metadata"].get("continue", "")
            if not token:
                return

    def stream(self, path: str, query: Mapping[str, str], write: Callable[[bytes], object]) -> None:
        """Have `write` called with the bytes of an answer as they come, until its end."""
        request = Request("GET", f"{path}?{urlencode(query)}", headers={"accept": "*/*"})
        self._authorized(lambda server: server.stream(request, write))

    def who(self) -> str:
        """Who we are to the API server."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        found = self.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        return str(found["status"]["userInfo"].get("username", ""))

    def allowed(self, verb: str, resource: Resource) -> bool:
        """Whether we may do this to objects of a kind in the namespace."""
        attributes = {
            "namespace": self.namespace,
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        found = self.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(found["status"].get("allowed"))

    def advice(self, error: CloudError, verb: str, resource: Resource, template: str = "") -> str:
        """What to do about an error of a request with this verb."""
        what = template or "the object"
        if "exceeded quota" in error.cause:
            return f"raise the quota, delete finished Jobs, or set --{MAX_UNFINISHED} below the quota"
        if 'namespaces "' in error.cause and error.status == HTTPStatus.NOT_FOUND:
            return f"create the namespace {self.namespace}, or correct --{NAMESPACE}"
        if any(words in error.cause for words in _DENIED):
            return f"an admission policy of the cluster refuses it: correct {what}, or the policy"
        advice: dict[int, str] = {
            HTTPStatus.UNAUTHORIZED: f"the credentials are expired or wrong: check {self.source}",
            HTTPStatus.FORBIDDEN: self.grant(verb, resource),
            HTTPStatus.NOT_FOUND: f"check that it is in namespace {self.namespace}, and --{NAMESPACE}",
            HTTPStatus.UNPROCESSABLE_ENTITY: f"correct {what}",
            HTTPStatus.BAD_REQUEST: f"correct {what}",
        }
        return advice.get(error.status, error.advice)

    def grant(self, verb: str, resource: Resource) -> str:
        """How a verb is granted."""
        name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        return (
            f"grant it: kubectl create role workflow-manager-{resource.plural} --namespace={self.namespace} "
            f"--verb={verb} --resource={name}, and bind that Role"
        )

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for server in self._services.values():
                server.close()

    def _authorized(self, send: Callable[[Service], T]) -> T:
        """Do this with valid credentials; once more with others if the API server refuses them."""
        proof = self._access.credentials.proof()
        try:
            return send(self._service(proof))
        except CloudError as error:
            if error.status != HTTPStatus.UNAUTHORIZED or not self._access.credentials.renew(proof):
                raise
        return send(self._service(self._access.credentials.proof()))

    def _service(self, proof: Proof) -> Service:
        """The API server for those who have this certificate."""
        key = (proof.certificate, proof.key)
        with self._lock:
            if key not in self._services:
                self._services[key] = self._open_service(proof)
            return self._services[key]

    def _open_service(self, proof: Proof) -> Service:
        access, environ = self._access, self._settings.environ
        if access.proxy:
            environ = {**environ, "https_proxy": access.proxy, "http_proxy": access.proxy, "no_proxy": ""}
        return Service(
            access.server,
            environ,
            self._settings.retry_policy,
            authorize=self._headers,
            explain=explain,
            tls=access.tls._replace(certificate=proof.certificate, key=proof.key),
        )

    def _headers(self, request: Request) -> Mapping[str, str]:  # noqa: ARG002 (the same for all requests)
        authorization = self._access.credentials.proof().authorization
        return {"authorization": authorization} if authorization else {}


def explain(body: bytes) -> ErrorDocument:
    """What a `Status` says: the reason, such as `Forbidden`, and the message."""
    try:
        status = json.loads(body)
        return ErrorDocument(str(status.get("reason", "")), str(status["message"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ErrorDocument("", excerpt(body))


def warning_of(headers: Mapping[str, str]) -> str:
    """What the API server warns of, as a header has it (RFC 7234, 5.5): `299 - "text"`."""
    return headers.get("warning", "").removeprefix('299 - "').removesuffix('"').replace('\\"', '"')


def _parsed(answer: Answer) -> tuple[dict[str, Any], Mapping[str, str]]:
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        raise unfinished("is not JSON") from error
    if not isinstance(document, dict):
        raise unfinished("is not an object")
    return document, answer.headers


def _access(settings: Settings) -> Access:
    environ = settings.environ
    named = str(settings.options.get(KUBECONFIG) or environ.get("KUBECONFIG") or "")
    context = str(settings.options.get(CONTEXT) or "")
    default = Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"
    if not named and not context and (found := in_cluster(environ)):
        return found
    paths = [Path(path) for path in named.split(os.pathsep) if path] or [default]
    if not settings.options.get(KUBECONFIG):  # of a list, and of the default, files may be missing
        paths = [path for path in paths if path.exists()]
    if not paths:
        raise nowhere(default)
    from workflow_manager.clouds.kubeconfig import Kubeconfig  # noqa: PLC0415 (a pod needs none)

    return Kubeconfig(paths).access(context, environ)
