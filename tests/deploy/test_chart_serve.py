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
    paths = {
        container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    with subprocess.Popen([str(PROGRAM), *arguments], stderr=subprocess.PIPE, env={}) as process:
        try:
            wait_until(lambda: [answer(port, path) for path in paths] == [200] * 3, "a probe fails")
            process.send_signal(signal.SIGTERM)
            _, logged = process.communicate(timeout=pod["terminationGracePeriodSeconds"])
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM, logged.decode()
