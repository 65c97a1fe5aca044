"""A real Kubernetes control plane: etcd, the API server and, for those who ask, the controllers.

No node runs anything: tests set the status of pods and Jobs themselves.
"""

import csv
import json
import os
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servers.process import absent, find, free_port, serving, wait_until
from servers.tls import Authority

GO = Path(__file__).parent / "go"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
_ADMIN = "admin-of-the-tests"
_ISSUER = "https://kubernetes.default.svc"
# What a deployment of ours needs: Jobs and their pods, and what a chart's release is made of.
_CONTROLLERS = (
    "cronjob-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "ttl-after-finished-controller",
)

# Where what is not Kubernetes' own comes from: the folder of the build's `go.mod`, and the module.
_MODULES = {
    "helm": ("helm", "helm.sh/helm/v3"),
    "prometheus-operator-crds": (
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator",
    ),
}


def tool(name: str) -> str:
    """The path of a program that `tests/servers/go/build` has built. One that is absent skips the test."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("WORKFLOW_MANAGER_TOOLS") or Path(cache) / "workflow-manager" / "tools")
    found = folder / f"{name}-{_version(name)}"
    if not os.access(found, os.X_OK):
        absent(f"{found} is not there: run 'tests/servers/go/build {name}' (once; it takes minutes, and Go)")
    return str(found)


def kubectl() -> str:
    """The path of the kubectl that is built beside the API server, and of the same version."""
    return tool("kubectl")


class ApiError(Exception):
    """The API server refused a request of the test's own."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {document.get('message')}")
        self.status = status
        self.document = document


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """An API server with RBAC and pod security on. `token` is an administrator's, and `kubeconfig` has it.

    A client that has a certificate signed by `clients` is the user that its subject names.
    """

    url: str
    ca: Path
    directory: Path
    clients: Authority
    token: str = _ADMIN

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.kubeconfig_for(self.token)

    def kubeconfig_for(self, token: str, namespace: str = "default") -> Path:
        """A kubeconfig with a token, in a file of its own."""
        document = kubeconfig(self.url, self.ca, {"token": token}, namespace)
        path = self.directory / f"{uuid.uuid5(uuid.NAMESPACE_OID, f'{token} {namespace}')}.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def ask(
        self, method: str, path: str, content: object = None, *, token: str = "", content_type: str = JSON
    ) -> Any:  # noqa: ANN401 (JSON)
        """One request past the code that is tested, as the administrator or with a token; raises ApiError."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"authorization": f"Bearer {token or self.token}", "content-type": content_type},
        )
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                body = answer.read()
                return json.loads(body) if answer.headers.get_content_type() == JSON else body.decode()
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, json.loads(error.read())) from None

    def patch(self, path: str, content: object) -> Any:  # noqa: ANN401 (JSON)
        """Change fields of an object, as the administrator."""
        return self.ask("PATCH", path, content, content_type=MERGE_PATCH)

    def forget_jobs(self) -> None:
        """Delete the Jobs of all namespaces, without their pods."""
        for namespace in self.ask("GET", "/api/v1/namespaces")["items"]:
            path = f"/apis/batch/v1/namespaces/{namespace['metadata']['name']}/jobs"
            self.ask("DELETE", f"{path}?propagationPolicy=Background")

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """A new namespace with nothing in it."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        return name

    def service_account(
        self, namespace: str, rules: Sequence[Mapping[str, object]], name: str = "workflow-manager"
    ) -> str:
        """A token of a new ServiceAccount that a Role with these rules is bound to."""
        core = f"/api/v1/namespaces/{namespace}"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.ask("POST", f"{core}/serviceaccounts", {"metadata": {"name": name}})
        self.ask("POST", f"{rbac}/roles", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        self.ask("POST", f"{rbac}/rolebindings", binding)
        return self.token_of(namespace, name)

    def token_of(self, namespace: str, name: str = "workflow-manager") -> str:
        """A new token of a ServiceAccount, as kubelets project them."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.ask("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])


def kubeconfig(
    url: str, ca: Path, user: Mapping[str, object], namespace: str = "default"
) -> dict[str, object]:
    """A kubeconfig with one context, `test`."""
    cluster = {"server": url, "certificate-authority": str(ca)}
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }


@contextmanager
def control_plane(directory: Path) -> Iterator[ControlPlane]:
    """An API server with nothing of anyone's in it, and the etcd behind it."""
    etcd, api_server = find("etcd", "apt-get install etcd-server"), tool("kube-apiserver")
    store, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    port = free_port()
    servers, clients = Authority(directory, "api-servers"), Authority(directory, "api-clients")
    with (
        serving(_etcd(etcd, directory, store, peers), store, directory / "etcd.log"),
        serving(
            _api_server(api_server, directory, store, port, servers, clients),
            f"tcp://127.0.0.1:{port}",
            directory / "kube-apiserver.log",
        ),
    ):
        plane = ControlPlane(f"https://127.0.0.1:{port}", servers.bundle, directory, clients)
        wait_until(lambda: _ready(plane), f"the API server is not ready: {directory / 'kube-apiserver.log'}")
        yield plane


@contextmanager
def controllers(plane: ControlPlane) -> Iterator[None]:
    """The controllers of Jobs, CronJobs and Deployments at work until the end of the block.

    What earlier tests have left would keep them busy for minutes, so their Jobs are deleted.
    """
    plane.forget_jobs()
    port = free_port()
    command = [
        tool("kube-controller-manager"),
        f"--kubeconfig={plane.kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={plane.directory / 'controller-certificates'}",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
        f"--service-account-private-key-file={plane.directory / 'service-accounts.pem'}",
        "--use-service-account-credentials=false",
        f"--controllers={','.join(_CONTROLLERS)}",
    ]
    with serving(command, f"tcp://127.0.0.1:{port}", plane.directory / f"kube-controller-manager-{port}.log"):
        yield


def _version(name: str) -> str:
    """The version that the build's `go.mod` asks for."""
    folder, module = _MODULES.get(name, ("kubernetes", "k8s.io/kubernetes"))
    lines = (line.split() for line in (GO / folder / "go.mod").read_text().splitlines())
    return next(words[words.index(module) + 1] for words in lines if module in words[:2])


def _etcd(program: str, directory: Path, clients: str, peers: str) -> list[str]:
    return [
        program,
        f"--data-dir={directory / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
    ]


def _api_server(
    program: str, directory: Path, store: str, port: int, servers: Authority, clients: Authority
) -> list[str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    accounts = directory / "service-accounts.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    accounts.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    tokens = directory / "tokens.csv"
    with tokens.open("w", newline="") as file:
        csv.writer(file).writerow([_ADMIN, "admin", "1", "system:masters"])
    certificate = servers.certificate("127.0.0.1")
    return [
        program,
        f"--etcd-servers={store}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={certificate}",
        f"--client-ca-file={clients.bundle}",
        f"--cert-dir={directory / 'certificates'}",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
        "--enable-priority-and-fairness=false",
    ]


def _ready(plane: ControlPlane) -> bool:
    try:
        return bool(plane.ask("GET", "/readyz") == "ok" and plane.ask("GET", "/api/v1/namespaces/default"))
    except (ApiError, OSError, ValueError):
        return False
