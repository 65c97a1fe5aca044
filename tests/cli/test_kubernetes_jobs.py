"""Whole runs of the command whose tasks are Jobs: repeats, kills, a bound, and publishing again."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servers.kubernetes import ControlPlane, kubectl
from support.command import Deployment, Outcome, call
from support.jobs import environment, jobs, templates

# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
NOW = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=6h", "--aggregation-period=4h", "--grace-period=20m")
IDS = [f"b8a5579a-f984-460a-a42d-2813cbf5{number:04}" for number in range(40)]
KILLS = 5


class Cluster:
    """Buckets that are directories, and a namespace in which the tasks are Jobs."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self.plane = plane
        self.namespace = plane.namespace()
        self.kubeconfig = plane.kubeconfig_for(plane.token, self.namespace)
        self.buckets = Deployment(COMMAND, directory)
        self._templates = templates(directory)

    def fill(self) -> None:
        """Put batches of two aggregations into the buckets, and the peer's validations of them."""
        for number, name in enumerate(IDS):
            key = f"{'kittens' if number % 2 else 'puppies'}-seen/2026/11/23/{number % 4:02}/05/{name}"
            self.buckets.put_batch(key)
            self.buckets.put("peer", f"{key}.validity_0.sig")

    def flags(self) -> list[str]:
        return [
            *self.buckets.flags()[:6],
            "--task-queue-kind=kubernetes-jobs",
            f"--kubernetes-kubeconfig={self.kubeconfig}",
            *(f"--{name}={value}" for name, value in self._templates.items()),
        ]

    def run(self, *arguments: str) -> Outcome:
        return call(COMMAND, ["run", *self.flags(), *NOW, *arguments])

    def uids(self) -> dict[str, str]:
        """The Jobs there are: each one's identity by its name."""
        found = jobs(self.plane, self.namespace)
        return {job["metadata"]["name"]: job["metadata"]["uid"] for job in found}

    def batches(self) -> list[str]:
        """The batches for which there are intake Jobs, in order."""
        found = jobs(self.plane, self.namespace, "workflow-manager/task=intake")
        return sorted(environment(job)["BATCH_ID"] for job in found)


@pytest.fixture
def cluster(control_plane: ControlPlane, tmp_path: Path) -> Cluster:
    cluster = Cluster(control_plane, tmp_path)
    cluster.fill()
    return cluster


def test_each_task_is_a_job_and_a_second_run_changes_nothing(cluster: Cluster) -> None:
    outcome = cluster.run("--k8s-namespace=na", "--ingestor-label=ingestor-1")
    assert outcome.status == 0, outcome.stderr
    assert cluster.batches() == IDS
    aggregations = jobs(cluster.plane, cluster.namespace, "workflow-manager/task=aggregate")
    windows = {
        (variables["AGGREGATION_ID"], variables["AGGREGATION_START"], variables["AGGREGATION_END"])
        for variables in map(environment, aggregations)
    }
    window = ("2026/11/23/00/00", "2026/11/23/04/00")
    assert windows == {("kittens-seen", *window), ("puppies-seen", *window)}
    named = [json.loads(environment(job)["TASK"])["batches"] for job in aggregations]
    assert sorted(batch["id"] for batches in named for batch in batches) == IDS
    before = cluster.uids()
    assert cluster.run().status == 0
    assert cluster.uids() == before
    selector = "workflow-manager/locality=na,workflow-manager/ingestor=ingestor-1"
    assert len(jobs(cluster.plane, cluster.namespace, selector)) == len(IDS) + 2


def test_without_markers_the_jobs_themselves_prevent_repeats(cluster: Cluster) -> None:
    assert cluster.run().status == 0
    before = cluster.uids()
    for marker in (cluster.buckets.directory / "own" / "task-markers").iterdir():
        marker.unlink()
    outcome = cluster.run()
    assert outcome.status == 0
    assert outcome.event("run.finished")["intake_tasks_scheduled"] == len(IDS)
    assert cluster.uids() == before
    assert len(cluster.buckets.markers()) == len(IDS) + 2


def test_runs_that_are_killed_lose_nothing_and_repeat_nothing(cluster: Cluster) -> None:
    chance = random.Random(15)
    created: dict[str, str] = {}
    for _ in range(KILLS):
        flags = [*cluster.flags(), *NOW, "--max-enqueue-workers=2", "--no-lease"]
        with subprocess.Popen([str(COMMAND), "run", *flags], stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            wanted = chance.randrange(1, 8)
            while wanted and (line := running.stderr.readline()):
                wanted -= '"task.scheduled"' in line
            running.kill()
        now = cluster.uids()
        assert {name: now.get(name) for name in created} == created
        created = now
    assert cluster.run("--no-lease").status == 0
    now = cluster.uids()
    assert {name: now.get(name) for name in created} == created
    assert cluster.batches() == IDS
    assert len(cluster.buckets.markers()) == len(now) == len(IDS) + 2


def test_what_may_not_be_created_yet_is_left_due_and_is_no_failure(cluster: Cluster) -> None:
    outcome = cluster.run("--kubernetes-max-unfinished=10")
    assert outcome.status == 0
    assert len(cluster.uids()) == len(cluster.buckets.markers()) == 10
    left = outcome.event("tasks.left")
    assert left["severity"] == "WARNING"
    assert left["intake_tasks"] + left["aggregation_tasks"] == len(IDS) + 2 - 10
    assert "10 unfinished Jobs exist (--kubernetes-max-unfinished)" in left["message"]
    assert cluster.run("--kubernetes-max-unfinished=10").event("tasks.left")
    assert len(cluster.uids()) == 10
    report = json.loads(cluster.run("--kubernetes-max-unfinished=10", "--json").stdout)
    assert report["queue_full"] == "10 unfinished Jobs exist (--kubernetes-max-unfinished)"
    assert cluster.run("--kubernetes-max-unfinished=100").status == 0
    assert cluster.batches() == IDS


def test_a_task_that_is_published_again_is_a_job_of_its_own(cluster: Cluster) -> None:
    assert cluster.run().status == 0
    before = cluster.uids()
    again = ["backfill", *cluster.flags(), *NOW, "--again", "--yes", "--aggregation-id=kittens-seen"]
    range_ = ["--from=2026-11-23T00:00:00Z", "--to=2026-11-23T04:00:00Z", "--reason=wrong key"]
    for _ in range(2):
        outcome = call(COMMAND, [*again, *range_])
        assert outcome.status == 0, outcome.stderr
    after = cluster.uids()
    assert {name: after[name] for name in before} == before
    assert len(after) - len(before) == len(IDS) // 2 + 1


def test_a_dry_run_creates_nothing(cluster: Cluster) -> None:
    assert cluster.run("--dry-run").status == 0
    assert cluster.uids() == {}


def test_topics_need_not_be_given_and_others_are_refused(cluster: Cluster) -> None:
    outcome = cluster.run("--intake-tasks-topic=na-intake")
    assert outcome.status == 1
    assert "leave out --intake-tasks-topic and --aggregate-tasks-topic" in outcome.stderr
    assert cluster.uids() == {}


def test_check_says_what_the_api_server_says(cluster: Cluster) -> None:
    outcome = call(COMMAND, ["check", *cluster.flags(), *NOW])
    assert outcome.status == 0, outcome.stdout
    assert outcome.stdout.count("ok      find the") == 2
    assert f"in namespace {cluster.namespace}, as admin" in outcome.stdout
    assert cluster.uids() == {}


def test_kubectl_shows_the_jobs(cluster: Cluster) -> None:
    assert cluster.run().status == 0
    shown = subprocess.run(
        [kubectl(), f"--kubeconfig={cluster.kubeconfig}", "get", "jobs", "-L", "workflow-manager/task"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(shown.stdout.splitlines()) == len(IDS) + 3
    assert "aggregate-kittens-seen-2026-11-23-00-00-2026-11-23" in shown.stdout


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--kubernetes-job-template-intake="], "--kubernetes-job-template-intake: is required"),
        (["--kubernetes-job-template-intake=/absent"], "cannot read the Job template '/absent'"),
        (["--kubernetes-max-unfinished=0"], "not a positive whole number"),
        (["--kubernetes-context=absent"], "it has no context 'absent'; there are: test"),
    ],
)
def test_mistakes_are_found_before_anything_is_done(flags: list[str], problem: str, cluster: Cluster) -> None:
    outcome = cluster.run(*flags)
    assert outcome.status == 2
    assert problem in outcome.stderr


def imported(*arguments: str) -> set[str]:
    """The modules that a run has imported."""
    code = (
        "import sys; from workflow_manager.cli.main import main; main(sys.argv[1:]); print(*[*sys.modules])"
    )
    command = [sys.executable, "-c", code, *arguments]
    # A variable that looks like a flag's makes a run look at the flags of every kind of queue.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WORKFLOW_MANAGER_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_what_is_not_used_is_not_imported(cluster: Cluster, tmp_path: Path) -> None:
    used: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    used["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    (tmp_path / "job.json").write_text(json.dumps(used))
    flag, path = "--kubernetes-job-template", tmp_path / "job.json"
    in_json = [f"{flag}-intake={path}", f"{flag}-aggregate={path}"]
    modules = imported("run", *cluster.flags(), *in_json, *NOW)
    assert len(cluster.uids()) == len(IDS) + 2
    assert "workflow_manager.queues.kubernetes" in modules
    assert not modules & {"yaml", "urllib3", "requests", "kubernetes", "rich", "workflow_manager.cli.jobs"}
    others = imported("run", *cluster.buckets.flags(), *NOW)
    assert not [name for name in others if "kube" in name]
