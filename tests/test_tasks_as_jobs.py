"""The page on tasks as Jobs works as written: its templates, its permissions and its commands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers.kubernetes import ControlPlane
from servers.process import find
from support.command import Deployment, Outcome, call
from support.jobs import OPERATOR_RULES, RULES, environment, expanded, jobs, message_of

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "tasks-as-jobs.md").read_text()
INTAKE, AGGREGATE, PERMISSIONS, OPERATOR, KUEUE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
NOW = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=6h", "--aggregation-period=4h", "--grace-period=20m")
IDS = {"short": "b8a5579a-f984-460a-a42d-2813cbf5{:04}", "long": f"{200 * 'x'}-{{:04}}"}
FACILITATOR = '#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n'


class Reader:
    """Someone who follows the page: two templates, a ServiceAccount with the Role, batches in the buckets."""

    def __init__(
        self, plane: ControlPlane, directory: Path, batches: int, batch_id: str = IDS["short"]
    ) -> None:
        self.plane = plane
        self.directory = directory
        self.namespace = plane.namespace()
        role, binding = yaml.safe_load_all(PERMISSIONS)
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        token = plane.service_account(self.namespace, role["rules"])
        self._config = plane.kubeconfig_for(token, self.namespace)
        (directory / "intake.yaml").write_text(INTAKE)
        (directory / "aggregate.yaml").write_text(AGGREGATE)
        self._buckets = Deployment(COMMAND, directory)
        for number in range(batches):
            key = f"kittens-seen/2026/11/23/00/05/{batch_id.format(number)}"
            self._buckets.put_batch(key)
            self._buckets.put("peer", f"{key}.validity_0.sig")

    def call(self, command: str, *flags: str) -> Outcome:
        kind = ["--task-queue-kind=kubernetes-jobs", f"--kubernetes-kubeconfig={self._config}"]
        given = [
            f"--kubernetes-job-template-{topic}={self.directory / topic}.yaml"
            for topic in ("intake", "aggregate")
        ]
        return call(COMMAND, [command, *self._buckets.flags()[:6], *kind, *given, *NOW, *flags])

    def job(self, topic: str) -> dict[str, Any]:
        """The first Job of a topic."""
        return jobs(self.plane, self.namespace, f"workflow-manager/task={topic}")[0]

    def ran(self, job: dict[str, Any]) -> list[str]:
        """The arguments with which a Job's container would run `facilitator`."""
        container = job["spec"]["template"]["spec"]["containers"][0]
        variables = environment(job)
        if "TASK_FILE" in variables:
            variables["TASK_FILE"] = str(self.directory / "task.json")
            (self.directory / "task.json").write_bytes(message_of(self.plane, job))
        arguments = [expanded(argument, variables) for argument in container["args"]]
        program = self.directory / "bin" / "facilitator"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FACILITATOR)
        program.chmod(0o755)
        command = [*container.get("command", [str(program)]), *arguments]
        path = f"{program.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command, env={**variables, "PATH": path}, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("batches", "batch_id"),
    [(2, IDS["short"]), (420, IDS["long"])],
    ids=["a short message", "a message that is a file"],
)
def test_the_templates_run_facilitator_with_the_arguments_of_the_task(
    batches: int, batch_id: str, control_plane: ControlPlane, tmp_path: Path
) -> None:
    find("jq", "apt-get install jq")
    reader = Reader(control_plane, tmp_path, batches, batch_id)
    outcome = reader.call("run", "--batch-ids=any")
    assert outcome.status == 0, outcome.stderr
    intake = reader.job("intake")
    assert reader.ran(intake) == [
        "intake-batch",
        "--aggregation-id=kittens-seen",
        f"--batch-id={environment(intake)['BATCH_ID']}",
        "--date=2026/11/23/00/05",
    ]
    aggregate = reader.job("aggregate")
    assert ("TASK_FILE" in environment(aggregate)) == (batches > 100)
    window = ["--aggregation-start", "2026/11/23/00/00", "--aggregation-end", "2026/11/23/04/00"]
    named = [
        word
        for number in range(batches)
        for word in ("--batch-id", batch_id.format(number), "--batch-time", "2026/11/23/00/05")
    ]
    assert reader.ran(aggregate) == ["aggregate", "--aggregation-id", "kittens-seen", *window, *named]


def test_the_permissions_are_those_that_all_tests_of_jobs_have() -> None:
    role, _ = yaml.safe_load_all(PERMISSIONS)
    assert role["rules"] == list(RULES)
    assert yaml.safe_load(OPERATOR)["rules"] == list(OPERATOR_RULES)


def test_the_permissions_are_enough_to_check_and_to_bound(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    reader = Reader(control_plane, tmp_path, 3)
    bounded = "--kubernetes-max-unfinished=2"
    checked = reader.call("check", bounded)
    assert checked.status == 0, checked.stdout
    assert reader.call("run", bounded).event("tasks.left")["intake_tasks"] >= 1


def test_kueues_label_and_a_priority_class_are_the_templates_own(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    reader = Reader(control_plane, tmp_path, 1)
    template, more = yaml.safe_load(INTAKE), yaml.safe_load(KUEUE)
    pod = more["spec"]["template"]["spec"]
    template["metadata"] = more["metadata"]
    template["spec"]["template"]["spec"] |= pod
    (tmp_path / "intake.yaml").write_text(json.dumps(template))
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    control_plane.ask("POST", classes, {"metadata": {"name": pod["priorityClassName"]}, "value": 1000})
    assert reader.call("run").status == 0
    job = reader.job("intake")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "facilitator"
    assert job["spec"]["template"]["spec"]["priorityClassName"] == "aggregations"


def test_the_commands_of_the_page_have_these_flags() -> None:
    shown = call(COMMAND, ["jobs", "--help"]).stdout
    for flag in re.findall(r"workflow-manager jobs [^\n`]*?(--[a-z-]+)", PAGE):
        assert flag in shown
