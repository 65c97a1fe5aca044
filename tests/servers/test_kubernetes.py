"""The control plane that tests start: what they may rely on."""

import pytest

from servers.kubernetes import ApiError, ControlPlane

CREATE_JOBS = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(control_plane: ControlPlane) -> None:
    namespace, other = control_plane.namespace(), control_plane.namespace()
    token = control_plane.service_account(namespace, [CREATE_JOBS])
    job = {
        "metadata": {"generateName": "job-"},
        "spec": {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "worker", "image": "worker"}]}
            }
        },
    }
    assert control_plane.ask("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job, token=token)["spec"]
    for method, where in (("POST", other), ("GET", namespace)):
        with pytest.raises(ApiError) as refused:
            control_plane.ask(method, f"/apis/batch/v1/namespaces/{where}/jobs", job, token=token)
        assert refused.value.status == 403


def test_pod_security_is_enforced_where_a_namespace_asks_for_it(control_plane: ControlPlane) -> None:
    namespace = control_plane.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "root", "image": "root"}]}}
    control_plane.ask(
        "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}}
    )
    with pytest.raises(ApiError, match="violates PodSecurity"):
        control_plane.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
