"""Releases of the chart on a real control plane: installed, run, changed, rolled back and removed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from servers.kubernetes import ControlPlane
from servers.process import wait_until
from support.chart import CHART, KINDS_OF_VALUES, RefusedError, container, helm, kubectl_on, values_file
from support.kubelet import Kubelet, kubelet

pytestmark = pytest.mark.timeout(300)
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
RELEASE = "prio"
CRON_JOB = f"{RELEASE}-workflow-manager-na-ingestor-1"


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace to install into, whose pods run."""

    plane: ControlPlane
    namespace: str
    pods: Kubelet
    home: Path

    def helm(self, *arguments: str | Path, values: object = None) -> str:
        """What a command of Helm's prints; the values are those of `--values=-`."""
        environ = {"KUBECONFIG": str(self.plane.kubeconfig), "HOME": str(self.home)}
        given = ["--values=-"] if values else []
        flags = ["--namespace", self.namespace, *given]
        return helm(*arguments, *flags, content=json.dumps(values), environ=environ)

    def get(self, kinds: str, *flags: str) -> list[dict[str, Any]]:
        """Objects in the namespace."""
        done = kubectl_on(self.plane, "get", kinds, f"--namespace={self.namespace}", "--output=json", *flags)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout)["items"])

    def everything(self) -> set[str]:
        """Kind and name of all objects in the namespace but events, which say what was."""
        listed = kubectl_on(
            self.plane, "api-resources", "--namespaced", "--verbs=list", "--output=name"
        ).stdout.split()
        kinds = ",".join(kind for kind in listed if not kind.startswith("events"))
        return {f"{one['kind']}/{one['metadata']['name']}" for one in self.get(kinds)}

    def cron_job(self) -> dict[str, Any]:
        """The only CronJob."""
        (found,) = self.get("cronjobs")
        return found

    def becomes(self, condition: Callable[[], bool], complaint: str) -> None:
        """Wait for the controllers."""
        wait_until(condition, f"{complaint}: {sorted(self.everything())}")


@pytest.fixture
def site(cluster: ControlPlane, controllers: ControlPlane, tmp_path: Path) -> Iterator[Site]:
    namespace = controllers.namespace(RESTRICTED)
    with kubelet(cluster, namespace) as pods:
        found = Site(cluster, namespace, pods, tmp_path)
        found.becomes(lambda: "ServiceAccount/default" in found.everything(), "no account")
        yield found


def test_a_release_is_installed_runs_and_is_changed_rolled_back_and_removed(site: Site) -> None:
    before = site.everything()
    notes = site.helm("install", RELEASE, CHART, "--values", values_file("one"))
    assert site.pods.components() == ["check"]
    assert f"create job --from=cronjob/{CRON_JOB}" in notes
    assert site.everything() - before == {
        f"CronJob/{CRON_JOB}",
        f"NetworkPolicy/{RELEASE}-workflow-manager",
        f"ServiceAccount/{RELEASE}-workflow-manager",
        f"Secret/sh.helm.release.v1.{RELEASE}.v1",
    }

    # The controller makes the Job of a schedule that has passed.
    minutes_ago = (datetime.now(UTC) - timedelta(minutes=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/apis/batch/v1/namespaces/{site.namespace}/cronjobs/{CRON_JOB}/status"
    site.plane.patch(path, {"status": {"lastScheduleTime": minutes_ago}})
    site.becomes(lambda: any(succeeded(job) for job in site.get("jobs")), "no Job has succeeded")
    (job,) = site.get("jobs")
    assert job["metadata"]["ownerReferences"][0]["name"] == CRON_JOB
    assert site.pods.components() == ["check", "run"]
    assert "--ingestor-input=gs://na-ingestor-1" in site.pods.ran[-1]["spec"]["containers"][0]["args"]

    changed = {"instances": {"na-ingestor-1": {"grace-period": "4h"}}}
    site.helm("upgrade", RELEASE, CHART, "--values", values_file("one"), values=changed)
    assert site.pods.components() == ["check", "run", "check"]
    assert "--grace-period=4h" in container(site.cron_job())["args"]

    # A check that fails stops the upgrade; what runs is left as it is.
    site.pods.failing.add("check")
    broken = {"instances": {"na-ingestor-1": {"grace-period": "5h"}}}
    with pytest.raises(RefusedError, match=f"job {RELEASE}-workflow-manager-check failed"):
        site.helm("upgrade", RELEASE, CHART, "--values", values_file("one"), values=broken)
    assert "--grace-period=4h" in container(site.cron_job())["args"]
    site.pods.failing.clear()

    site.helm("rollback", RELEASE, "1")
    assert not any("grace-period" in flag for flag in container(site.cron_job())["args"])
    assert "Phase:          Succeeded" in site.helm("test", RELEASE)
    assert site.pods.components()[-1] == "test"

    # The Job of the failed check stays for its log; the next one would have removed it.
    site.helm("upgrade", RELEASE, CHART, "--values", values_file("one"))
    site.helm("uninstall", RELEASE, "--wait")
    site.becomes(lambda: site.everything() == before, "something is left")


def succeeded(job: dict[str, Any]) -> bool:
    return bool(job["status"].get("succeeded"))


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_nothing_is_left_of_any_kind_of_release(site: Site, name: str) -> None:
    before = site.everything()
    flags = ["--values", str(values_file(name)), "--set", "rbac.namespaces=null"]
    site.helm("install", RELEASE, CHART, *flags, "--wait")
    if name != "many":
        site.helm("test", RELEASE)
    assert site.everything() != before
    site.helm("uninstall", RELEASE, "--wait")
    site.becomes(lambda: site.everything() == before, "something is left")


def test_a_release_changes_from_cron_jobs_to_serve_and_to_jobs(site: Site) -> None:
    """The check has what the new version needs, although the release has it only afterwards."""
    site.helm(
        "install", RELEASE, CHART, "--values", values_file("one"), "--set", "serviceAccount.create=false"
    )
    for name in ("serve", "jobs"):
        site.helm("upgrade", RELEASE, CHART, "--values", values_file(name), "--wait")
        check = (
            site.pods.ran[-1]
            if name == "jobs"
            else next(pod for pod in reversed(site.pods.ran) if is_check(pod))
        )
        assert check["spec"]["serviceAccountName"] == f"{RELEASE}-workflow-manager"
    assert site.get("deployments,services,poddisruptionbudgets") == []
    assert [one["metadata"]["name"] for one in site.get("roles")] == [f"{RELEASE}-workflow-manager"]
    site.helm("rollback", RELEASE, "2", "--wait")
    assert site.get("cronjobs,roles,rolebindings") == []
    assert len(site.get("deployments")) == 1


def is_check(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"]["labels"]["app.kubernetes.io/component"] == "check")
