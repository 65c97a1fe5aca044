"""Stands in for the nodes of a control plane: it ends the pods that would end, and starts the others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from servers.kubernetes import ApiError, ControlPlane

COMPONENT = "app.kubernetes.io/component"


class Kubelet:
    """What ran in a namespace. `failing` are the components whose pods exit with status 1."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.failing: set[str] = set()
        self.ran: list[dict[str, Any]] = []
        self._plane = plane
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._stopped = threading.Event()

    def components(self) -> list[str]:
        """The components of the pods that ran, in order."""
        return [pod["metadata"]["labels"].get(COMPONENT, "") for pod in self.ran]

    def work(self) -> None:
        while not self._stopped.wait(0.2):
            for pod in self._plane.ask("GET", self._pods)["items"]:
                if pod["status"].get("phase", "Pending") == "Pending":
                    self._run(pod)

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, pod: dict[str, Any]) -> None:
        with suppress(ApiError):  # it may be gone
            self._plane.patch(f"{self._pods}/{pod['metadata']['name']}/status", {"status": self._status(pod)})
            self.ran.append(pod)

    def _status(self, pod: dict[str, Any]) -> dict[str, object]:
        if pod["spec"]["restartPolicy"] == "Always":
            return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        failed = pod["metadata"]["labels"].get(COMPONENT) in self.failing
        ended = {"terminated": {"exitCode": int(failed), "reason": "Error" if failed else "Completed"}}
        container = pod["spec"]["containers"][0]
        status = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False}
        return {
            "phase": "Failed" if failed else "Succeeded",
            "containerStatuses": [{**status, "restartCount": 0, "state": ended}],
        }


@contextmanager
def kubelet(plane: ControlPlane, namespace: str) -> Iterator[Kubelet]:
    """Pods of a namespace run until the end of the block."""
    found = Kubelet(plane, namespace)
    thread = threading.Thread(target=found.work, name="kubelet", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()
