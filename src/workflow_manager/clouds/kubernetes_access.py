"""Where the Kubernetes API server is and who we are to it: in a pod, or as a kubeconfig says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow_manager.clouds.kubernetes_credentials import ApiCredentials, TokenFile
from workflow_manager.clouds.tls_settings import TlsSettings
from workflow_manager.errors import ConfigError, Mistake

# Where a pod has what its ServiceAccount gives it.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """An API server, the namespace to work in unless another is named, and credentials for it."""

    server: str
    namespace: str
    tls: TlsSettings
    credentials: ApiCredentials
    source: str
    proxy: str = ""


def in_cluster(environ: Mapping[str, str]) -> Access | None:
    """What a pod knows of its cluster; None if this is no pod, or one without a ServiceAccount's token."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    token = SERVICE_ACCOUNT / "token"
    if not host or not port or not token.exists():
        return None
    try:
        namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return Access(
        f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace,
        TlsSettings(ca=str(SERVICE_ACCOUNT / "ca.crt"), source=str(SERVICE_ACCOUNT / "ca.crt")),
        TokenFile(token),
        source="the pod's ServiceAccount",
    )


def nowhere(default: Path) -> ConfigError:
    """There is no API server that we know of."""
    problem = (
        f"no Kubernetes API server is known: this is not a pod with a ServiceAccount's token, KUBECONFIG is "
        f"not set, and there is no {default}; give --kubernetes-kubeconfig"
    )
    return ConfigError([Mistake("", "", problem)])
