"""The pod of `mode: serve` does what its probes ask: the program is run as the chart says."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from servers.process import free_port, wait_until
from support.chart import Rendered, render
from support.command import Deployment

PROGRAM = Path(sys.executable).with_name("workflow-manager")
DIRECTORY = "/etc/workflow-manager/instances"


def rendered(deployment: Deployment, port: int) -> Rendered:
    given = deployment.flags()
    flags = dict(zip((flag.removeprefix("--") for flag in given[::2]), given[1::2], strict=True))
    values = {"instances": {"na-ingestor-1": flags}, "process": {"log-level": "debug"}}
    return render({**values, "mode": "serve", "serve": {"port": port, "flags": {"max-passes": 4}}})


def answer(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as found:
            return int(found.status)
    except OSError:
        return 0


def test_the_program_answers_its_probes_and_ends_in_time(tmp_path: Path) -> None:
    port = free_port()
    release = rendered(Deployment(PROGRAM, tmp_path), port)
    (tmp_path / "instances.yaml").write_text(release.one("ConfigMap")["data"]["instances.yaml"])
    container, pod = release.container(), release.pod()["spec"]
    arguments = [argument.replace(DIRECTORY, str(tmp_path)) for argument in container["args"]]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    paths = [str(container[probe]["httpGet"]["path"]) for probe in probes]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([str(PROGRAM), *arguments], stderr=log, env={}) as process,
    ):
        try:
            wait_until(lambda: all(answer(port, path) == 200 for path in paths), "a probe fails")
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=pod["terminationGracePeriodSeconds"])
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM, (tmp_path / "log").read_text()
