"""How requests to a Kubernetes API server say whose they are: tokens, certificates, exec plug-ins."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from workflow_manager.clouds.http import CloudError
from workflow_manager.clouds.refresh import Expiring, Refreshed

_EXEC_VERSIONS = frozenset({"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"})
_MARGIN_SECONDS = 10.0
_LONGEST_PLUGIN_SECONDS = 120.0


class Proof(NamedTuple):
    """What a request is sent with: the value of its `authorization` header, and a client certificate."""

    authorization: str = ""
    certificate: str | bytes = ""
    key: str | bytes = ""


class ApiCredentials(Protocol):
    """Someone's credentials. Safe for use by many threads."""

    def proof(self) -> Proof:
        """What is valid now; raises CloudError."""
        ...

    def renew(self, refused: Proof) -> bool:
        """The API server has refused this; whether there may be something else by now."""
        ...


class Fixed:
    """ApiCredentials that stay as they are."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    def proof(self) -> Proof:
        """See ApiCredentials."""
        return self._proof

    def renew(self, refused: Proof) -> bool:  # noqa: ARG002 (there is never another)
        """See ApiCredentials."""
        return False


class TokenFile:
    """A token in a file that others replace before it expires: it is read anew for each request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def proof(self) -> Proof:
        """See ApiCredentials."""
        try:
            token = self._path.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not a token"
            raise CloudError(f"cannot read the token in {str(self._path)!r}: {cause}") from error
        return Proof(bearer(token))

    def renew(self, refused: Proof) -> bool:
        """See ApiCredentials."""
        return self.proof() != refused


class PluginSpec(NamedTuple):
    """An exec plug-in as a kubeconfig describes it. `cluster` is what it is told of the API server."""

    command: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    version: str
    interactive: str
    hint: str
    cluster: Mapping[str, object] | None


class ExecPlugin:
    """A program that prints credentials; run when they are first needed, and again when they expire.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """

    def __init__(self, spec: PluginSpec) -> None:
        self._spec = spec
        self._held = Refreshed(self._fetch, _MARGIN_SECONDS)

    def proof(self) -> Proof:
        """See ApiCredentials."""
        return self._held.get()

    def renew(self, refused: Proof) -> bool:
        """See ApiCredentials."""
        if self._held.get() == refused:
            self._held = Refreshed(self._fetch, _MARGIN_SECONDS)
        return True

    def _fetch(self) -> Expiring[Proof]:
        spec = self._spec
        if spec.version not in _EXEC_VERSIONS:
            raise self._failed(
                f"its apiVersion {spec.version!r} is none of {', '.join(sorted(_EXEC_VERSIONS))}"
            )
        try:
            status = json.loads(self._output())["status"]
            proof = _plugin_proof(status)
            expiry = status.get("expirationTimestamp")
            return Expiring(proof, datetime.fromisoformat(expiry) if expiry else None)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._failed(f"it did not print credentials: {type(error).__name__}: {error}") from error

    def _output(self) -> bytes:
        spec = self._spec
        terminal = sys.stdin is not None and sys.stdin.isatty() and spec.interactive != "Never"
        if spec.interactive == "Always" and not terminal:
            raise self._failed("it needs a terminal")
        asked: dict[str, object] = {"interactive": terminal}
        if spec.cluster is not None:
            asked["cluster"] = spec.cluster
        info = {"apiVersion": spec.version, "kind": "ExecCredential", "spec": asked}
        program = shutil.which(spec.command, path=spec.environ.get("PATH", os.defpath))
        if program is None:
            raise self._failed("there is no such program")
        try:
            done = subprocess.run(  # noqa: S603 (what the user's own kubeconfig names)
                [program, *spec.arguments],
                stdin=None if terminal else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if terminal else subprocess.PIPE,
                env={**spec.environ, "KUBERNETES_EXEC_INFO": json.dumps(info)},
                timeout=_LONGEST_PLUGIN_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from error
        if done.returncode:
            said = (done.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
            raise self._failed(f"it ended with status {done.returncode}" + (f": {said}" if said else ""))
        return done.stdout

    def _failed(self, cause: str) -> CloudError:
        hint = " ".join(self._spec.hint.split())
        return CloudError(
            f"the exec plug-in {self._spec.command!r} of the kubeconfig gave no credentials: {cause}",
            hint or "run the same command by hand, and correct the kubeconfig's users[].user.exec",
        )


def bearer(token: str) -> str:
    """The value of the header that has a token."""
    return f"Bearer {token}"


def basic(username: str, password: str) -> str:
    """The value of the header that has a user's name and password."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def _plugin_proof(status: Mapping[str, object]) -> Proof:
    token = status.get("token")
    certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    if not token and not (certificate and key):
        raise KeyError("token")
    return Proof(
        bearer(str(token)) if token else "",
        str(certificate or "").encode(),
        str(key or "").encode(),
    )
