"""Without Helm: the bases build, a real API server takes them, and the examples work as they are."""

import subprocess
from pathlib import Path

import pytest
import yaml

from servers.kubernetes import ControlPlane, kubectl
from support.chart import ROOT, Rendered, container, kubectl_on
from workflow_manager.assembly import flags_of_kind
from workflow_manager.fleet import read_fleet

KUSTOMIZE = ROOT / "deploy" / "kustomize"
BUILDS = sorted(path.parent.relative_to(KUSTOMIZE) for path in KUSTOMIZE.rglob("kustomization.yaml"))


def build(folder: Path) -> Rendered:
    command = [kubectl(), "kustomize", str(folder)]
    return Rendered(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("folder", BUILDS, ids=str)
def test_the_server_takes_what_is_built(cluster: ControlPlane, folder: Path) -> None:
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    namespace = cluster.namespace(labels)
    built = build(KUSTOMIZE / folder)
    text = built.text.replace("namespace: prio", f"namespace: {namespace}")
    flags = ["apply", "--dry-run=server", "--validate=strict", f"--namespace={namespace}", "--filename=-"]
    done = kubectl_on(cluster, *flags, content=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(built.documents) > 0


def test_the_example_has_a_cron_job_for_each_instance_with_one_account() -> None:
    built = build(KUSTOMIZE / "example")
    jobs = built.find("CronJob")
    instances = [job["metadata"]["labels"]["workflow-manager/instance"] for job in jobs]
    assert [job["metadata"]["name"] for job in jobs] == [f"workflow-manager-run-{name}" for name in instances]
    account = built.one("ServiceAccount")["metadata"]
    for job in jobs:
        pod = job["spec"]["jobTemplate"]["spec"]["template"]
        assert pod["spec"]["serviceAccountName"] == account["name"]
        assert pod["metadata"]["labels"]["workflow-manager/instance"] in instances
        command, *args = container(job)["args"]
        parsed = flags_of_kind(command, "", "gcp-pubsub").parse(args, {})
        assert parsed.all_mistakes() == []
    policy = built.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert all(policy.items() <= pod["metadata"]["labels"].items() for pod in built.pods())


def test_the_example_of_serve_has_its_own_instances_and_a_change_of_them_replaces_the_pods() -> None:
    built = build(KUSTOMIZE / "example-serve")
    file = built.one("ConfigMap")
    (volume,) = [one for one in built.pod()["spec"]["volumes"] if one["name"] == "instances"]
    assert volume["configMap"]["name"] == file["metadata"]["name"] != "workflow-manager-instances"
    own = (KUSTOMIZE / "example-serve" / "instances.yaml").read_text()
    assert file["data"]["instances.yaml"] == own


def test_the_example_s_file_of_instances_has_no_mistakes() -> None:
    path = KUSTOMIZE / "example-serve" / "instances.yaml"
    fleet = read_fleet("serve", "", [f"--config={path}"], {"PUSH_GATEWAY": "http://pushgateway:9091"})
    assert [one.name for one in fleet.instances] == ["na-ingestor-1", "na-ingestor-2"]


def test_an_instance_of_the_jobs_base_reads_the_templates_of_the_common_base(tmp_path: Path) -> None:
    overlay = {"resources": [str(_link(tmp_path, "common")), "one"]}
    (tmp_path / "one").mkdir()
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    instance = {"resources": [f"../{_link(tmp_path, 'instance')}"], "nameSuffix": "-na-ingestor-1"}
    (tmp_path / "one" / "kustomization.yaml").write_text(yaml.safe_dump(instance))
    built = build(tmp_path)
    (volume,) = [one for one in built.pod()["spec"]["volumes"] if one["name"] == "job-templates"]
    assert volume["configMap"]["name"] == built.one("ConfigMap")["metadata"]["name"]
    assert built.one("RoleBinding")["subjects"][0]["name"] == built.pod()["spec"]["serviceAccountName"]


def _link(folder: Path, base: str) -> Path:
    """A copy of a base: Kustomize takes no absolute paths."""
    target = folder / f"jobs-{base}"
    target.mkdir()
    for path in (KUSTOMIZE / "jobs" / base).iterdir():
        (target / path.name).write_text(path.read_text())
    return target.relative_to(folder)
