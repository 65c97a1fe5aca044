"""Releases of the chart on a real control plane: installed, run, changed, rolled back and removed."""

import json
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from servers.kubernetes import ControlPlane
from servers.process import wait_until
from support.chart import (
    CHART,
    KINDS_OF_VALUES,
    KUBE_VERSION,
    RefusedError,
    Rendered,
    container,
    helm,
    kubectl_on,
    values_file,
)
from support.command import Deployment
from support.kubelet import COMPONENT, Kubelet, component, kubelet

pytestmark = pytest.mark.timeout(600)  # several waits for controllers, on a busy machine
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
RELEASE = "prio"
PROGRAM = Path(sys.executable).with_name("workflow-manager")
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

    def miss_a_schedule(self) -> None:
        """Let the CronJob's last run be so long ago that the controller makes a Job at once, and only one."""
        ago = (datetime.now(UTC) - timedelta(days=400)).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"/apis/batch/v1/namespaces/{self.namespace}/cronjobs/{CRON_JOB}/status"
        self.plane.patch(path, {"status": {"lastScheduleTime": ago}})

    def becomes(self, condition: Callable[[], bool], complaint: str) -> None:
        """Wait for the controllers."""
        wait_until(condition, f"{complaint} in {self.namespace} of {self.plane.directory}", timeout=240)


@contextmanager
def opened(plane: ControlPlane, home: Path, program: Path | None = None) -> Iterator[Site]:
    namespace = plane.namespace(RESTRICTED)
    with kubelet(plane, namespace, home / "pods", program) as pods:
        found = Site(plane, namespace, pods, home)
        found.becomes(lambda: "ServiceAccount/default" in found.everything(), "no account")
        yield found


@pytest.fixture
def site(cluster: ControlPlane, controllers: ControlPlane, tmp_path: Path) -> Iterator[Site]:
    """Where every pod succeeds."""
    with opened(cluster, tmp_path) as found:
        yield found


@pytest.fixture
def working(cluster: ControlPlane, controllers: ControlPlane, tmp_path: Path) -> Iterator[Site]:
    """Where pods run the program."""
    with opened(cluster, tmp_path, PROGRAM) as found:
        yield found


def test_a_release_is_installed_runs_and_is_changed_rolled_back_and_removed(
    working: Site, tmp_path: Path
) -> None:
    site, deployment = working, Deployment(PROGRAM, tmp_path)
    deployment.put_batch(f"kittens-seen/{datetime.now(UTC):%Y/%m/%d/%H/%M}/{uuid.uuid4()}")
    before = site.everything()
    values = values_of(deployment)
    notes = site.helm("install", RELEASE, CHART, values=values)
    assert site.pods.components() == ["check"]
    assert "ok      na-ingestor-1: write markers" in site.pods.printed[-1]
    assert f"create job --from=cronjob/{CRON_JOB}" in notes
    assert site.everything() - before == {
        f"CronJob/{CRON_JOB}",
        f"NetworkPolicy/{RELEASE}-workflow-manager",
        f"ServiceAccount/{RELEASE}-workflow-manager",
        f"Secret/sh.helm.release.v1.{RELEASE}.v1",
    }

    # The controller makes a Job, and the program schedules a task.
    site.miss_a_schedule()
    site.becomes(lambda: any(succeeded(job) for job in site.get("jobs")), "no Job has succeeded")
    (job,) = site.get("jobs")
    assert job["metadata"]["ownerReferences"][0]["name"] == CRON_JOB
    assert site.pods.components() == ["check", "run"]
    assert [task["aggregation-id"] for task in deployment.tasks("intake")] == ["kittens-seen"]

    site.helm("upgrade", RELEASE, CHART, values=values_of(deployment, {"grace-period": "4h"}))
    assert site.pods.components() == ["check", "run", "check"]
    assert "--grace-period=4h" in container(site.cron_job())["args"]

    # A check that fails stops the upgrade; what runs is left as it is.
    missing = values_of(deployment, {"peer-validation-input": f"file://{tmp_path}/missing"})
    with pytest.raises(RefusedError, match=f"job {RELEASE}-workflow-manager-check failed"):
        site.helm("upgrade", RELEASE, CHART, values=missing)
    assert "FAILED  na-ingestor-1: list the peer validation bucket" in site.pods.printed[-1]
    assert "--grace-period=4h" in container(site.cron_job())["args"]

    site.helm("rollback", RELEASE, "1")
    assert not any("grace-period" in flag for flag in container(site.cron_job())["args"])
    assert re.search(
        "TEST SUITE: +prio-workflow-manager-test\n.*\n.*\nPhase: +Succeeded", site.helm("test", RELEASE)
    )
    assert site.pods.components()[-1] == "test"
    assert "run.finished" in site.pods.printed[-1]
    assert len(deployment.tasks("intake")) == 1

    # The Job of a failed check stays a day for its log; the next check removes it.
    site.helm("upgrade", RELEASE, CHART, values=values)
    site.helm("uninstall", RELEASE, "--wait")
    site.becomes(lambda: site.everything() == before, "something is left")


# No Job of its own accord while a test counts them; see `Site.miss_a_schedule`.
YEARLY = {"schedule": "0 0 1 1 *", "startingDeadlineSeconds": 401 * 86400}


def values_of(deployment: Deployment, flags: Mapping[str, str] | None = None) -> dict[str, object]:
    """Values with one instance over the directories of a deployment."""
    given = deployment.flags()
    own = dict(zip((flag.removeprefix("--") for flag in given[::2]), given[1::2], strict=True))
    return {"instances": {"na-ingestor-1": {**own, **(flags or {})}}, "cronJob": YEARLY}


@pytest.mark.parametrize(
    ("status", "pods", "reason"), [(1, 2, "BackoffLimitExceeded"), (2, 1, "PodFailurePolicy")]
)
def test_a_run_that_fails_is_tried_twice_but_not_with_a_wrong_configuration(
    site: Site, status: int, pods: int, reason: str
) -> None:
    site.pods.exit_codes["run"] = status
    site.helm("install", RELEASE, CHART, "--values", values_file("one"), values={"cronJob": YEARLY})
    site.miss_a_schedule()
    site.becomes(lambda: any(failure(job) for job in site.get("jobs")), "no Job has failed")
    (job,) = site.get("jobs")
    assert failure(job) == reason
    assert site.pods.components().count("run") == pods


def failure(job: dict[str, Any]) -> str:
    conditions = job["status"].get("conditions", ())
    return next((one["reason"] for one in conditions if one["type"] == "Failed"), "")


def succeeded(job: dict[str, Any]) -> bool:
    return bool(job["status"].get("succeeded"))


@pytest.mark.parametrize("name", [name for name in KINDS_OF_VALUES if name != "one"])
def test_nothing_is_left_of_any_kind_of_release(site: Site, name: str) -> None:
    before = site.everything()
    flags = ["--values", str(values_file(name)), "--set", "rbac.namespaces=null"]
    if name == "everything":
        flags += ["--set", f"instances.jobs.kubernetes-namespace={site.namespace}"]
    site.helm("install", RELEASE, CHART, *flags, "--wait")
    if name != "many":
        site.helm("test", RELEASE)
    assert site.everything() != before
    site.helm("uninstall", RELEASE, "--wait")
    site.becomes(lambda: site.everything() == before, "something is left")


def test_an_account_of_someone_else_s_is_not_touched(site: Site) -> None:
    name = f"{RELEASE}-workflow-manager"
    path = f"/api/v1/namespaces/{site.namespace}/serviceaccounts"
    theirs = site.plane.ask("POST", path, {"metadata": {"name": name}})
    with pytest.raises(RefusedError, match="exists and cannot be imported into the current release"):
        site.helm("install", RELEASE, CHART, "--values", values_file("one"))
    assert site.plane.ask("GET", f"{path}/{name}") == theirs


def test_an_account_that_an_interrupted_check_left_is_replaced(site: Site) -> None:
    name = f"{RELEASE}-workflow-manager"
    path = f"/api/v1/namespaces/{site.namespace}/serviceaccounts"
    made = helm(
        "template",
        RELEASE,
        CHART,
        KUBE_VERSION,
        "--values",
        values_file("one"),
        "--namespace",
        site.namespace,
    )
    (left,) = Rendered(made).find("ServiceAccount", hook=True)
    site.plane.ask("POST", path, left)
    site.helm("install", RELEASE, CHART, "--values", values_file("one"))
    assert site.plane.ask("GET", f"{path}/{name}")["metadata"]["labels"].get(COMPONENT) is None


def test_a_release_changes_from_cron_jobs_to_serve_and_to_jobs(site: Site) -> None:
    """The check has what the new version needs, although the release has it only afterwards."""
    site.helm(
        "install", RELEASE, CHART, "--values", values_file("one"), "--set", "serviceAccount.create=false"
    )
    for name in ("serve", "jobs"):
        before = site.pods.components().count("check")
        site.helm("upgrade", RELEASE, CHART, "--values", values_file(name), "--wait")
        *_, check = (pod for pod in site.pods.ran if component(pod) == "check")
        assert site.pods.components().count("check") == before + 1
        assert check["spec"]["serviceAccountName"] == f"{RELEASE}-workflow-manager"
    assert site.get("deployments,services,poddisruptionbudgets") == []
    assert [one["metadata"]["name"] for one in site.get("roles")] == [f"{RELEASE}-workflow-manager"]
    site.helm("rollback", RELEASE, "2", "--wait")
    assert site.get("cronjobs,roles,rolebindings") == []
    assert len(site.get("deployments")) == 1
