"""Who we are to an API server: in a pod, by kubeconfigs, by certificates and by exec plug-ins."""

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from servers.kubernetes import ControlPlane, kubeconfig
from workflow_manager.clouds import kubernetes_access
from workflow_manager.clouds.http import CloudError
from workflow_manager.clouds.kubernetes_api import JOBS, Cluster
from workflow_manager.errors import ConfigError
from workflow_manager.ports import Settings

READ_JOBS = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}


def cluster(environ: Mapping[str, str] | None = None, **options: object) -> Cluster:
    """What the environment and the options name; `_` stands for `-`."""
    given = {f"kubernetes-{name.replace('_', '-')}": value for name, value in options.items()}
    return Cluster.open("the test", Settings(given, environ={"HOME": "/nonexistent", **(environ or {})}))


def who(environ: Mapping[str, str] | None = None, **options: object) -> str:
    """Who the API server takes us for."""
    opened = cluster(environ, **options)
    try:
        return opened.who()
    finally:
        opened.close()


def written(path: Path, document: object) -> str:
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture
def pod(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, str], Path]:
    """The environment of a pod, and the folder that has what its ServiceAccount gives it."""
    namespace = control_plane.namespace()
    token = control_plane.service_account(namespace, [READ_JOBS])
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text(f"{token}\n")
    (folder / "namespace").write_text(namespace)
    (folder / "ca.crt").write_bytes(control_plane.ca.read_bytes())
    monkeypatch.setattr(kubernetes_access, "SERVICE_ACCOUNT", folder)
    host, _, port = control_plane.url.removeprefix("https://").partition(":")
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}, folder


def test_a_pod_is_its_service_account_in_its_namespace(pod: tuple[dict[str, str], Path]) -> None:
    environ, folder = pod
    opened = cluster(environ)
    assert opened.namespace == (folder / "namespace").read_text()
    assert opened.who() == f"system:serviceaccount:{opened.namespace}:workflow-manager"
    assert list(opened.pages(JOBS)) == [[]]
    opened.close()


def test_another_namespace_can_be_named_and_is_refused_without_a_role(
    pod: tuple[dict[str, str], Path],
) -> None:
    opened = cluster(pod[0], namespace="default")
    with pytest.raises(CloudError, match='cannot list resource "jobs"') as refused:
        list(opened.pages(JOBS))
    opened.close()
    assert "--namespace=default --verb=list --resource=jobs.batch" in opened.advice(
        refused.value, "list", JOBS
    )


def test_a_token_that_is_replaced_is_read_anew(
    control_plane: ControlPlane, pod: tuple[dict[str, str], Path]
) -> None:
    environ, folder = pod
    opened = cluster(environ)
    (folder / "token").write_text("expired")
    with pytest.raises(CloudError) as refused:
        opened.who()
    assert refused.value.status == 401
    assert "the pod's ServiceAccount" in opened.advice(refused.value, "list", JOBS)
    (folder / "token").write_text(control_plane.token_of(opened.namespace))
    assert opened.who().endswith(":workflow-manager")
    (folder / "token").unlink()
    with pytest.raises(CloudError, match="cannot read the token"):
        opened.who()
    opened.close()


def test_a_kubeconfig_goes_before_the_pod(
    control_plane: ControlPlane, pod: tuple[dict[str, str], Path]
) -> None:
    assert who(pod[0], kubeconfig=str(control_plane.kubeconfig)) == "admin"
    assert who({**pod[0], "KUBECONFIG": str(control_plane.kubeconfig)}) == "admin"


def test_the_default_kubeconfig_is_in_the_home_directory(control_plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(control_plane.kubeconfig.read_text())
    assert who({"HOME": str(tmp_path)}) == "admin"


def test_nowhere_to_go_says_where_it_was_looked_for() -> None:
    with pytest.raises(ConfigError, match=r"no Kubernetes API server is known.*KUBECONFIG is not set"):
        cluster()


def test_contexts_are_chosen_by_name_and_have_a_namespace(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    namespace = control_plane.namespace()
    token = control_plane.service_account(namespace, [])
    document: dict[str, Any] = kubeconfig(control_plane.url, control_plane.ca, {"token": token}, namespace)
    document["contexts"].append({"name": "nobody", "context": {"cluster": "test", "namespace": "other"}})
    path = written(tmp_path / "config", document)
    assert who(kubeconfig=path, context="test") == f"system:serviceaccount:{namespace}:workflow-manager"
    opened = cluster(kubeconfig=path, context="nobody")
    opened.close()
    assert opened.namespace == "other"
    with pytest.raises(ConfigError, match="it has no context 'absent'; there are: nobody, test"):
        cluster(kubeconfig=path, context="absent")


def test_several_files_are_read_as_one_and_of_each_name_the_first_counts(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    document: dict[str, Any] = kubeconfig(control_plane.url, control_plane.ca, {"token": control_plane.token})
    users = written(tmp_path / "users", {"users": document.pop("users")})
    document["users"] = [{"name": "other", "user": {"token": "x"}}]
    rest = written(tmp_path / "rest", document)
    wrong = written(tmp_path / "wrong", {"users": [{"name": "test", "user": {"token": "wrong"}}]})
    absent = str(tmp_path / "absent")
    assert who({"KUBECONFIG": f"{absent}:{users}:{rest}:{wrong}"}) == "admin"


def test_a_client_certificate_says_who_we_are_in_files_and_in_place(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    pem = control_plane.clients.certificate("alice")
    user: dict[str, object] = {"client-certificate": str(pem), "client-key": str(pem)}
    path = written(tmp_path / "files", kubeconfig(control_plane.url, control_plane.ca, user))
    assert who(kubeconfig=path) == "alice"
    data = base64.b64encode(pem.read_bytes()).decode()
    user = {"client-certificate-data": data, "client-key-data": data}
    document: dict[str, Any] = kubeconfig(control_plane.url, control_plane.ca, user)
    ca = base64.b64encode(control_plane.ca.read_bytes()).decode()
    document["clusters"][0]["cluster"] = {"server": control_plane.url, "certificate-authority-data": ca}
    assert who(kubeconfig=written(tmp_path / "data", document)) == "alice"


def test_a_certificate_of_another_authority_is_refused(control_plane: ControlPlane, tmp_path: Path) -> None:
    document = kubeconfig(control_plane.url, control_plane.clients.bundle, {"token": control_plane.token})
    with pytest.raises(CloudError, match="is not trusted") as refused:
        who(kubeconfig=written(tmp_path / "config", document))
    assert "certificate-authority of the context 'test'" in refused.value.advice


def test_paths_in_a_kubeconfig_are_relative_to_it(control_plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(control_plane.ca.read_bytes())
    (tmp_path / "token").write_text(control_plane.token)
    document = kubeconfig(control_plane.url, Path("ca.pem"), {"tokenFile": "token"})
    assert who(kubeconfig=written(tmp_path / "config", document)) == "admin"


def plugin(tmp_path: Path, code: str, **more: object) -> dict[str, object]:
    """A user of a kubeconfig whose credentials are what a Python program prints."""
    (tmp_path / "plugin.py").write_text(code)
    command = {"command": sys.executable, "args": [str(tmp_path / "plugin.py")]}
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "interactiveMode": "Never", **command, **more}}


PRINT = """\
import json, os, pathlib, sys
count = pathlib.Path(sys.argv[0]).with_name("count")
count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["spec"]["interactive"] is False, info
status = {STATUS}
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


def test_an_exec_plugin_gives_a_token_once_for_many_requests(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    code = PRINT.replace("{STATUS}", '{"token": os.environ["TOKEN"]}')
    user = plugin(tmp_path, code, env=[{"name": "TOKEN", "value": control_plane.token}])
    document = kubeconfig(control_plane.url, control_plane.ca, user)
    opened = cluster(kubeconfig=written(tmp_path / "config", document))
    assert [opened.who() for _ in range(3)] == ["admin"] * 3
    opened.close()
    assert (tmp_path / "count").read_text() == "1"


def test_an_exec_plugin_is_run_again_when_its_token_is_refused(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    tokens = json.dumps({"1": "expired", "2": control_plane.token})
    code = PRINT.replace("{STATUS}", f'{{"token": {tokens}[count.read_text()]}}')
    document = kubeconfig(control_plane.url, control_plane.ca, plugin(tmp_path, code))
    assert who(kubeconfig=written(tmp_path / "config", document)) == "admin"
    assert (tmp_path / "count").read_text() == "2"


def test_an_exec_plugin_can_give_a_certificate_and_is_told_of_the_cluster(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    pem = control_plane.clients.certificate("bob")
    check = f'assert info["spec"]["cluster"]["server"] == {control_plane.url!r}\n'
    status = f'dict.fromkeys(["clientCertificateData", "clientKeyData"], open({str(pem)!r}).read())'
    code = PRINT.replace("status = {STATUS}", f"{check}status = {status}")
    user = plugin(tmp_path, code, provideClusterInfo=True)
    document = kubeconfig(control_plane.url, control_plane.ca, user)
    assert who(kubeconfig=written(tmp_path / "config", document)) == "bob"


@pytest.mark.parametrize(
    ("code", "more", "problem"),
    [
        ("import sys; sys.exit('log in first')", {}, "it ended with status 1: log in first"),
        ("print('hello')", {}, "it did not print credentials: JSONDecodeError"),
        ("print('{\"status\": {}}')", {}, "it did not print credentials: KeyError"),
        ("", {"command": "no-such-program"}, "there is no such program"),
        ("", {"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "its apiVersion"),
        ("", {"interactiveMode": "Always"}, "it needs a terminal"),
    ],
)
def test_an_exec_plugin_that_fails_says_why(
    code: str, more: dict[str, object], problem: str, control_plane: ControlPlane, tmp_path: Path
) -> None:
    user = plugin(tmp_path, code, **{"installHint": "install the plug-in", **more})
    path = written(tmp_path / "config", kubeconfig(control_plane.url, control_plane.ca, user))
    with pytest.raises(CloudError, match=problem) as failed:
        who(kubeconfig=path)
    assert failed.value.advice == "install the plug-in"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "it has no current context"),
        ({"current-context": "a"}, "it has no context 'a'; there are: none"),
        ({"contexts": "a"}, "contexts is not a list"),
        ({"contexts": [{"name": "a", "context": "b"}]}, "an entry of contexts is not valid"),
        (kubeconfig("not a url", Path("/dev/null"), {}), "is not a valid URL"),
        (
            kubeconfig("https://localhost:1", Path("/absent"), {}),
            "certificate-authority '/absent' cannot be read",
        ),
        (
            kubeconfig("https://localhost:1", Path("/dev/null"), {"auth-provider": {"name": "gcp"}}),
            "auth-provider",
        ),
        (kubeconfig("https://localhost:1", Path("/dev/null"), {"client-key-data": "*"}), "is not base64"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why(
    document: dict[str, object], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=problem):
        cluster(kubeconfig=written(tmp_path / "config", document))
