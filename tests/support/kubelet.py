"""Stands in for the nodes of a control plane: starts the pods of a namespace, and ends those that end.

With a program, it is what the pods of the chart run, with the arguments, variables and files that a kubelet
would give them; there are no containers.
"""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from servers.kubernetes import ApiError, ControlPlane

COMPONENT = "app.kubernetes.io/component"
Pod = dict[str, Any]


class Kubelet:
    """What ran in a namespace, and what it printed. `exit_codes` are those of components that do not run."""

    def __init__(self, plane: ControlPlane, namespace: str, directory: Path, program: Path | None) -> None:
        self.exit_codes: dict[str, int] = {}
        self.ran: list[Pod] = []
        self.printed: list[str] = []
        self._plane = plane
        self._core = f"/api/v1/namespaces/{namespace}"
        self._directory = directory
        self._program = program
        self._stopped = threading.Event()

    def components(self) -> list[str]:
        """The components of the pods that ran, in order."""
        return [component(pod) for pod in self.ran]

    def work(self) -> None:
        while not self._stopped.wait(0.2):
            for pod in self._plane.ask("GET", f"{self._core}/pods")["items"]:
                if pod["status"].get("phase", "Pending") == "Pending":
                    self._run(pod)

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, pod: Pod) -> None:
        path = f"{self._core}/pods/{pod['metadata']['name']}/status"
        with suppress(ApiError):  # the pod may be gone
            if pod["spec"]["restartPolicy"] == "Always":
                ready = [{"type": "Ready", "status": "True"}]
                self._plane.patch(path, {"status": {"phase": "Running", "conditions": ready}})
                self.ran.append(pod)
                return
            code = self.exit_codes.get(component(pod))
            if code is None:
                code = self._execute(pod) if self._program else 0
            self.ran.append(pod)
            self._plane.patch(path, {"status": _ended(pod, code)})

    def _execute(self, pod: Pod) -> int:
        (container,) = pod["spec"]["containers"]
        if "command" in container:
            return 0
        arguments = [str(self._program), *container["args"]]
        config_maps = {one["name"]: one["configMap"] for one in pod["spec"]["volumes"] if "configMap" in one}
        for mount in container["volumeMounts"]:
            if mount["name"] in config_maps:
                folder = str(self._mounted(pod, config_maps[mount["name"]]["name"]))
                arguments = [argument.replace(mount["mountPath"], folder) for argument in arguments]
        environ = {one["name"]: self._value(one) for one in container.get("env", ())}
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environ)
        self.printed.append(done.stdout + done.stderr)
        return done.returncode

    def _mounted(self, pod: Pod, name: str) -> Path:
        """A folder with the files of a ConfigMap."""
        folder: Path = self._directory / str(pod["metadata"]["uid"]) / name
        folder.mkdir(parents=True)
        for file, content in self._plane.ask("GET", f"{self._core}/configmaps/{name}")["data"].items():
            (folder / file).write_text(content)
        return folder

    def _value(self, variable: dict[str, Any]) -> str:
        if "value" in variable:
            return str(variable["value"])
        ((kind, reference),) = variable["valueFrom"].items()
        assert kind == "configMapKeyRef", kind
        found = self._plane.ask("GET", f"{self._core}/configmaps/{reference['name']}")
        return str(found["data"][reference["key"]])


def component(pod: Pod) -> str:
    """What the chart says that a pod is for."""
    return str(pod["metadata"]["labels"].get(COMPONENT, ""))


def _ended(pod: Pod, code: int) -> dict[str, object]:
    (container,) = pod["spec"]["containers"]
    ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
    status = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False}
    statuses = [{**status, "restartCount": 0, "state": ended}]
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": statuses}


@contextmanager
def kubelet(
    plane: ControlPlane, namespace: str, directory: Path, program: Path | None = None
) -> Iterator[Kubelet]:
    """Pods of a namespace run until the end of the block."""
    found = Kubelet(plane, namespace, directory, program)
    thread = threading.Thread(target=found.work, name="kubelet", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()
