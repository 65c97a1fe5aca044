"""The pages on Kubernetes work as written: their commands are run in order, on a real control plane."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from servers.kubernetes import ControlPlane, kubectl, tool
from support.chart import RELEASE, ROOT, container, render
from support.kubelet import Kubelet, kubelet
from workflow_manager.assembly import flags_of_kind

pytestmark = pytest.mark.timeout(600)  # several waits for controllers, on a busy machine
PAGES = ROOT / "docs" / "how-to"
INSTALL, UPGRADE = PAGES / "run-on-kubernetes.md", PAGES / "upgrade-and-roll-back.md"
CHECK = "job/prio-workflow-manager-check"


class Reader:
    """Someone who follows a page, in a copy of the repository and with nothing but Helm and kubectl."""

    def __init__(self, plane: ControlPlane, pods: Kubelet, home: Path) -> None:
        self.pods = pods
        self._home = home
        (home / "deploy").symlink_to(ROOT / "deploy")
        (home / "bin").mkdir()
        for name, program in (("helm", tool("helm")), ("kubectl", kubectl())):
            (home / "bin" / name).symlink_to(program)
        path = f"{home / 'bin'}:/usr/bin:/bin"
        self._environ = {"PATH": path, "HOME": str(home), "KUBECONFIG": str(plane.kubeconfig)}

    def save(self, content: str, name: str) -> None:
        """Write a file beside the repository."""
        (self._home / name).write_text(content)

    def run(self, command: str, status: int = 0) -> str:
        """What a command prints."""
        words = shlex.split(command)
        if "logs" in words:  # nothing runs containers here; but what is to be read must be there
            command = shlex.join(["get" if word == "logs" else word for word in words])
        shell = ["bash", "-euc", command]
        done = subprocess.run(
            shell, cwd=self._home, env=self._environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, f"{command}\n{done.stdout}{done.stderr}"
        assert "Warning" not in done.stderr, f"{command}\n{done.stderr}"
        return done.stdout + done.stderr


def values() -> list[str]:
    """The page's files of values."""
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", INSTALL.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def commands(page: Path) -> list[str]:
    """The commands of a page but those that build an image, in their order."""
    blocks = re.findall(r"^(?: {4}| {7})(?! )(\S.*)$", page.read_text(), re.MULTILINE)
    return [line for line in blocks if line.startswith(("helm ", "kubectl "))]


@pytest.fixture
def reader(cluster: ControlPlane, controllers: ControlPlane, tmp_path: Path) -> Iterator[Reader]:
    with kubelet(cluster, "prio", tmp_path / "pods") as pods:
        yield Reader(cluster, pods, tmp_path)
    cluster.ask("DELETE", "/api/v1/namespaces/prio")


def test_the_pages_work_as_written(reader: Reader) -> None:
    reader.save(values()[0], "prio.yaml")
    printed: dict[str, str] = {}
    for command in commands(INSTALL):
        # The page tells of an installation that fails first.
        fails = command.startswith("helm install")
        reader.pods.exit_codes = {"check": 1} if fails else {}
        printed[command] = reader.run(command, status=int(fails))
    installed = next(text for command, text in printed.items() if "--install" in command)
    assert "2 instance(s) as CronJobs in namespace prio" in installed
    assert "job.batch/run-now created" in printed[next(one for one in printed if "create job" in one)]
    assert "Succeeded" in printed[next(one for one in printed if one.startswith("helm test"))]
    assert "cronjob.batch/workflow-manager-run-na-ingestor-2 created" in printed[commands(INSTALL)[-1]]

    printed = {}
    for command in commands(UPGRADE):
        if "logs" in command:  # the page tells of an upgrade that fails
            reader.pods.exit_codes = {"check": 1}
            reader.run(next(one for one in commands(UPGRADE) if "--wait" in one), status=1)
            reader.run(command)
            reader.pods.exit_codes = {}
        else:
            printed[command] = reader.run(command)
    history = next(text for command, text in printed.items() if "history" in command)
    assert len(re.findall("deployed", history)) == 1
    assert 'release "prio" uninstalled' in printed[commands(UPGRADE)[-1]]


def test_the_values_for_jobs_make_a_role_and_give_each_instance_its_templates() -> None:
    rendered = render(yaml.safe_load(values()[1]))
    assert len(rendered.find("Role")) == 1
    directory = "/etc/workflow-manager/job-templates"
    for job, intake in zip(rendered.find("CronJob"), ("intake", "large-intake"), strict=True):
        command, *args = container(job)["args"]
        assert f"--kubernetes-job-template-intake={directory}/{intake}.yaml" in args
        assert f"--kubernetes-job-template-aggregate={directory}/aggregate.yaml" in args
        assert flags_of_kind(command, "", "kubernetes-jobs").parse(args, {}).all_mistakes() == []


def test_the_values_for_monitoring_make_what_the_page_says() -> None:
    served = yaml.safe_load(values()[0]) | yaml.safe_load(values()[2]) | {"mode": "serve"}
    kinds = {one["kind"] for one in render(served).documents}
    assert {"PrometheusRule", "ServiceMonitor"} <= kinds
    assert render(served).one("ConfigMap", f"{RELEASE}-workflow-manager-dashboard")


def test_every_command_of_the_pages_is_tried() -> None:
    """A command in another form would go unnoticed."""
    for page in (INSTALL, UPGRADE):
        text = page.read_text()
        named = re.findall(r"^ {4,}((?:helm|kubectl|docker|workflow-manager) .*)$", text, re.MULTILINE)
        assert [line for line in named if not line.startswith("docker ")] == commands(page)
