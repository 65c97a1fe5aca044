"""What the chart makes is what a real API server takes, also where it allows only restricted pods."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from servers.kubernetes import ControlPlane
from support.chart import KINDS_OF_VALUES, NAMESPACE, Document, Rendered, kubectl_on, render, with_instance
from workflow_manager.queues.kubernetes import _NEEDED as NEEDED

NAMESPACES = (NAMESPACE, "workers", "others")
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


@pytest.fixture(scope="module")
def server(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The API server with the namespaces of the rendered objects."""
    for name in NAMESPACES:
        cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": RESTRICTED}})
    for name in KINDS_OF_VALUES:  # a pod is refused, also in a dry run, if its account is not there
        for account in render(name=name).find("ServiceAccount"):
            done = kubectl_on(cluster, "apply", "--filename=-", content=json.dumps(account))
            assert done.returncode == 0, done.stderr
    yield cluster
    for name in NAMESPACES:
        cluster.ask("DELETE", f"/api/v1/namespaces/{name}")


def apply(plane: ControlPlane, text: str) -> "subprocess.CompletedProcess[str]":
    return kubectl_on(plane, "apply", "--dry-run=server", "--validate=strict", "--filename=-", content=text)


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_the_server_takes_every_object_without_a_warning(server: ControlPlane, name: str) -> None:
    rendered = render(name=name)
    done = apply(server, rendered.text)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(re.findall(r"\(server dry run\)$", done.stdout, re.MULTILINE)) == len(rendered.documents)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("concurrencyPolicy: Forbid", "concurrencyPolicy: Forbidden", "Unsupported value"),
        (
            "enableServiceLinks: false",
            "enableServiceLink: false",
            'unknown field "spec.jobTemplate.spec.template',
        ),
        ("restartPolicy: Never", "restartPolicy: Always", "restartPolicy"),
    ],
)
def test_the_server_would_tell_of_a_mistake(server: ControlPlane, right: str, wrong: str, said: str) -> None:
    text = render(name="one").text
    assert right in text
    done = apply(server, text.replace(right, wrong))
    assert done.returncode == 1
    assert said in done.stderr


def test_the_server_would_warn_of_pods_that_are_not_restricted(server: ControlPlane) -> None:
    done = apply(
        server,
        render(with_instance(securityContext={"readOnlyRootFilesystem": None, "capabilities": None})).text,
    )
    assert "would violate PodSecurity" in done.stderr


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_the_server_takes_the_pods_themselves(server: ControlPlane, name: str) -> None:
    """Only pods are held to what a namespace enforces, not what makes them."""
    for pod in sample(render(name=name)):
        server.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict", pod)


def sample(rendered: Rendered) -> list[Document]:
    """A pod of every kind; those of many instances differ only in their flags."""
    found: dict[str, Document] = {}
    for template in rendered.pods():
        metadata = {**template["metadata"], "generateName": "pod-", "name": None, "annotations": None}
        found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = {
            "metadata": metadata,
            "spec": template["spec"],
        }
    return list(found.values())


def test_the_service_account_may_make_jobs_and_nothing_else(server: ControlPlane) -> None:
    namespace = server.namespace()
    rendered = render(name="jobs")
    for kind, path in (
        ("ServiceAccount", f"/api/v1/namespaces/{namespace}/serviceaccounts"),
        ("Role", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"),
        ("RoleBinding", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"),
    ):
        document = json.loads(json.dumps(rendered.one(kind)).replace(NAMESPACE, namespace))
        server.ask("POST", path, document)
    token = server.token_of(namespace, rendered.one("ServiceAccount")["metadata"]["name"])
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    def allowed(verb: str, resource: str, group: str = "", where: str = namespace) -> bool:
        attributes = {"namespace": where, "verb": verb, "resource": resource, "group": group}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        answer = server.ask(
            "POST", reviews, {**review, "spec": {"resourceAttributes": attributes}}, token=token
        )
        return bool(answer["status"]["allowed"])

    for verb, needed in NEEDED:
        assert allowed(verb, needed.plural, needed.group)
    assert allowed("list", "jobs", "batch")
    assert not allowed("delete", "jobs", "batch")
    assert not allowed("create", "jobs", "batch", "default")
    assert not allowed("get", "secrets")
    assert not allowed("create", "pods")
