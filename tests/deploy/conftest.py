"""An API server that knows the Prometheus Operator's kinds, and commands that speak to it."""

from pathlib import Path

import pytest

from servers.kubernetes import ApiError, ControlPlane, tool
from servers.process import wait_until
from support.chart import kubectl_on

CRDS = ("prometheusrules", "servicemonitors")


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the Prometheus Operator's own definitions of its kinds."""
    for kind in CRDS:
        path = Path(tool("prometheus-operator-crds")) / f"monitoring.coreos.com_{kind}.yaml"
        done = kubectl_on(control_plane, "apply", "--server-side", "--filename", str(path))
        assert done.returncode == 0, done.stderr
    wait_until(lambda: all(_known(control_plane, kind) for kind in CRDS), "the CRDs are not established")
    return control_plane


def _known(plane: ControlPlane, kind: str) -> bool:
    try:
        return bool(plane.ask("GET", f"/apis/monitoring.coreos.com/v1/{kind}"))
    except (ApiError, ValueError):  # a kind that is not served yet gets a plain text
        return False
