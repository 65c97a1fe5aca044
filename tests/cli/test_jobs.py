"""`jobs`: the Jobs of tasks, with a control plane whose controllers are at work."""

import argparse
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.faulty import Exchange, Faulty, Reply, faulty
from servers.kubernetes import ControlPlane
from servers.process import wait_until
from servers.tls import Authority
from support.command import Outcome, call
from support.jobs import OPERATOR_RULES, TEMPLATE, environment, jobs, jobs_queue, task_body
from workflow_manager.cli.jobs import complete_names
from workflow_manager.ports import Message

# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
FAILS_AT_ONCE = TEMPLATE.replace("backoffLimit: 2", "backoffLimit: 0")
LARGE = task_body(aggregation_id="kittens-seen", batches=["x" * 100_000])


class Tasks:
    """A namespace with Jobs of tasks, whose pods a test lets succeed or fail."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.namespace = plane.namespace()
        self._folder = folder
        operator = plane.service_account(self.namespace, OPERATOR_RULES, "operator")
        self._config = plane.kubeconfig_for(operator, self.namespace)

    def publish(
        self,
        *ids: str,
        topic: str = "intake",
        text: str = FAILS_AT_ONCE,
        body: bytes = b"",
        of: str = "kittens",
    ) -> None:
        queue = jobs_queue(self.plane, self.namespace, self._folder, text=text, labels={"locality": "na"})
        for name in ids:
            content = body or task_body(trace_id=f"trace-{name}", batch_id=name)
            message = Message(content, of, f"task-markers/{topic}-{name}")
            assert list(queue.publish(topic, [message])) == [None]
        queue.close()

    def run(self, *arguments: str) -> Outcome:
        config = f"--kubernetes-kubeconfig={self._config}"
        return call(COMMAND, ["jobs", *arguments, config], {"NO_COLOR": "1"})

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        outcome = self.run("list", "--json", *arguments)
        assert outcome.status == 0, outcome.stderr
        return [json.loads(line) for line in outcome.stdout.splitlines()]

    def names(self, *arguments: str) -> list[str]:
        outcome = self.run("list", "--names", *arguments)
        assert outcome.status == 0, outcome.stderr
        return outcome.stdout.splitlines()

    def name(self, task: str) -> str:
        """The name of the Job of a task."""
        names = [str(job["metadata"]["name"]) for job in jobs(self.plane, self.namespace)]
        (name,) = [name for name in names if f"-{task}-" in name]
        return name

    def conditions(self, task: str) -> set[str]:
        """What the controller says of a task's Job."""
        (job,) = [
            one for one in jobs(self.plane, self.namespace) if one["metadata"]["name"] == self.name(task)
        ]
        return {condition["type"] for condition in job["status"].get("conditions", ())}

    def pods(self, task: str) -> list[dict[str, Any]]:
        selector = f"batch.kubernetes.io/job-name={self.name(task)}"
        found = self.plane.ask("GET", f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}")
        return list(found["items"])

    def end(self, task: str, *, code: int = 0) -> None:
        """Let the pod of a task's Job end, as a kubelet would report it, and wait for the Job to follow."""
        wait_until(lambda: bool(self.pods(task)), "no pod")
        ended = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": "no such\x1b[1m batch",
        }
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [
                {
                    "name": "facilitator",
                    "image": "facilitator",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"terminated": ended},
                }
            ],
        }
        pod = max(self.pods(task), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        self.plane.patch(
            f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status", {"status": status}
        )
        wanted = "Failed" if code else "Complete"
        wait_until(lambda: wanted in self.conditions(task), f"{task} is not {wanted}")


@pytest.fixture
def tasks(controllers: ControlPlane, tmp_path: Path) -> Tasks:
    return Tasks(controllers, tmp_path)


def test_jobs_are_listed_with_their_state_and_why_they_failed(tasks: Tasks) -> None:
    tasks.publish("works", "breaks", "waits")
    tasks.publish("stands", text=TEMPLATE.replace("backoffLimit: 2", "suspend: true"), topic="aggregate")
    tasks.end("works")
    tasks.end("breaks", code=101)
    wait_until(lambda: "Suspended" in tasks.conditions("stands"), "none is suspended")
    found = {job["marker"].rpartition("-")[2]: job for job in tasks.listed()}
    states = {task: job["state"] for task, job in found.items()}
    assert states == {"works": "complete", "breaks": "failed", "waits": "pending", "stands": "suspended"}
    assert "BackoffLimitExceeded" in found["breaks"]["reason"]
    assert "container facilitator exited with 101 (Error: no such" in found["breaks"]["reason"]
    assert found["works"]["reason"] == ""
    assert found["works"]["trace_id"] == "trace-works"
    assert found["works"]["locality"] == "na"
    assert found["stands"]["task"] == "aggregate"
    assert found["works"]["finished"] >= found["works"]["started"] >= found["works"]["created"]
    lines = tasks.run("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TASK", "AGGREGATION", "STATE", "AGE", "WHY"]
    (failed,) = [line for line in lines if " failed " in line]
    assert r"no such\x1b[1m batch" in failed


def test_jobs_are_chosen_by_state_task_aggregation_and_age(tasks: Tasks) -> None:
    tasks.publish("one")
    tasks.publish("two", of="puppies")
    tasks.publish("three", topic="aggregate")
    for arguments, expected in (
        (("--task=aggregate",), {"three"}),
        (("--aggregation-id=pup*",), {"two"}),
        (("--state=pending", "--task=intake"), {"one", "two"}),
        (("--finished",), set()),
        (("--older-than=1h",), set()),
        (("--older-than=0s",), {"one", "two", "three"}),
        (("--k8s-namespace=elsewhere",), set()),
        (("--k8s-namespace=na",), {"one", "two", "three"}),
    ):
        markers = {job["marker"].rpartition("-")[2] for job in tasks.listed(*arguments)}
        assert markers == expected, arguments


def test_names_are_completed(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.publish("one", "two")
    config = str(tasks.plane.kubeconfig_for(tasks.plane.token, tasks.namespace))
    named = argparse.Namespace(kubernetes_kubeconfig=config)
    assert sorted(complete_names(parsed_args=named)) == sorted(tasks.names())
    monkeypatch.setenv("WORKFLOW_MANAGER_KUBERNETES_KUBECONFIG", config)
    assert len(complete_names(parsed_args=argparse.Namespace())) == 2
    assert complete_names(parsed_args=argparse.Namespace(kubernetes_kubeconfig="/absent")) == ()
    line = "workflow-manager jobs logs intake-"
    script = (
        "source <(workflow-manager completion bash)\n"
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_TYPE=9\n"
        "_python_argcomplete workflow-manager; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    monkeypatch.setenv("PATH", f"{COMMAND.parent}:{os.environ['PATH']}")
    offered = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert sorted(offered.split()) == sorted(tasks.names())


def test_a_failed_job_is_made_anew_under_its_name(tasks: Tasks) -> None:
    tasks.publish("breaks")
    tasks.end("breaks", code=1)
    (before,) = jobs(tasks.plane, tasks.namespace)
    assert tasks.run("retry", "--failed").stdout == "retried 1 Job\n"
    (after,) = jobs(tasks.plane, tasks.namespace)
    assert after["metadata"]["name"] == before["metadata"]["name"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert environment(after) == environment(before)
    for key in ("workflow-manager/marker", "workflow-manager/trace-id"):
        assert after["metadata"]["annotations"][key] == before["metadata"]["annotations"][key]
    assert after["metadata"]["annotations"]["workflow-manager/retries"] == "1"
    tasks.end("breaks")
    assert tasks.names("--failed") == []


def test_a_retried_job_keeps_its_large_message(tasks: Tasks) -> None:
    tasks.publish("large", body=LARGE)
    tasks.end("large", code=1)
    assert tasks.run("retry", tasks.name("large")).status == 0
    (job,) = jobs(tasks.plane, tasks.namespace)
    (volume,) = job["spec"]["template"]["spec"]["volumes"]
    path = f"/api/v1/namespaces/{tasks.namespace}/configmaps/{volume['configMap']['name']}"
    found = tasks.plane.ask("GET", path)
    assert found["data"]["task.json"].encode() == LARGE
    assert [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]
    # The old one goes with the old Job.
    old = f"/api/v1/namespaces/{tasks.namespace}/configmaps"
    ours = "labelSelector=app.kubernetes.io/managed-by=workflow-manager"
    wait_until(lambda: len(tasks.plane.ask("GET", f"{old}?{ours}")["items"]) == 1, "the old one stays")


def test_only_failed_jobs_are_retried(tasks: Tasks) -> None:
    tasks.publish("waits", "works")
    tasks.end("works")
    for task, state in (("waits", "pending"), ("works", "complete")):
        outcome = tasks.run("retry", tasks.name(task))
        assert outcome.status == 1
        assert f"it is {state} (only failed Jobs are retried" in outcome.stderr
    assert tasks.run("retry", "absent").stderr.count("not found") == 1


def test_a_job_that_the_api_server_would_not_take_again_is_not_deleted(tasks: Tasks) -> None:
    tasks.publish("breaks")
    tasks.end("breaks", code=1)
    rules: list[dict[str, object]] = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "delete"]}
    ]
    token = tasks.plane.service_account(tasks.namespace, rules)
    config = tasks.plane.kubeconfig_for(token, tasks.namespace)
    before = jobs(tasks.plane, tasks.namespace)
    arguments = ["jobs", "retry", before[0]["metadata"]["name"], f"--kubernetes-kubeconfig={config}"]
    outcome = call(COMMAND, arguments)
    assert outcome.status == 1
    assert "--verb=create --resource=jobs.batch" in outcome.stderr
    assert jobs(tasks.plane, tasks.namespace) == before


def test_finished_jobs_are_deleted_when_they_are_old_enough(tasks: Tasks) -> None:
    tasks.publish("works", "breaks", "waits")
    tasks.end("works")
    tasks.end("breaks", code=1)
    assert tasks.run("delete", "--finished", "--older-than=1h").stdout == "deleted 0 Jobs\n"
    would = tasks.run("delete", "--finished", "--dry-run").stdout
    assert would.count("would have deleted") == 2
    assert tasks.run("delete", "--finished", "--older-than=0s").stdout == "deleted 2 Jobs\n"
    assert tasks.names() == [tasks.name("waits")]
    assert tasks.run("delete", tasks.name("waits")).stdout == "deleted 1 Job\n"


def test_jobs_of_others_are_left_alone(tasks: Tasks) -> None:
    path = f"/apis/batch/v1/namespaces/{tasks.namespace}/jobs"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    tasks.plane.ask("POST", path, {"metadata": {"name": "other"}, "spec": {"template": {"spec": pod}}})
    assert tasks.names() == []
    for action in ("delete", "retry", "logs"):
        outcome = tasks.run(action, "other")
        assert outcome.status == 1
        assert "it is no task's Job" in outcome.stderr


def test_kubernetes_removes_jobs_some_time_after_they_finish(tasks: Tasks) -> None:
    tasks.publish("works", text=TEMPLATE.replace("backoffLimit: 2", "ttlSecondsAfterFinished: 1"))
    wait_until(lambda: bool(tasks.pods("works")), "no pod")
    (pod,) = tasks.pods("works")
    path = f"/api/v1/namespaces/{tasks.namespace}/pods/{pod['metadata']['name']}/status"
    tasks.plane.patch(path, {"status": {"phase": "Succeeded"}})
    wait_until(lambda: jobs(tasks.plane, tasks.namespace) == [], "the Job stays")


def test_who_may_not_read_pods_is_told_and_sees_the_jobs(tasks: Tasks) -> None:
    tasks.publish("waits")
    rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}
    config = tasks.plane.kubeconfig_for(tasks.plane.service_account(tasks.namespace, [rule]), tasks.namespace)
    outcome = call(COMMAND, ["jobs", "list", f"--kubernetes-kubeconfig={config}"])
    assert outcome.status == 0
    assert "-waits-" in outcome.stdout
    assert "--verb=list --resource=pods" in outcome.stderr


@pytest.fixture
def kubelet(controllers: ControlPlane, tmp_path: Path) -> Iterator[tuple[Faulty, str]]:
    """A server of logs that a node of the cluster names as its kubelet, and the node's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Authority(tmp_path, "kubelets").certificate("127.0.0.1"))
    with faulty(tls=context) as server:
        port = int(server.url.rpartition(":")[2])
        name = f"node-{port}"
        controllers.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        controllers.patch(f"/api/v1/nodes/{name}/status", {"status": status})
        yield server, name


def bind(tasks: Tasks, task: str, node: str) -> None:
    """Put the pod of a task's Job on a node, as the scheduler does."""
    wait_until(lambda: bool(tasks.pods(task)), "no pod")
    (pod,) = tasks.pods(task)
    name = pod["metadata"]["name"]
    binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": node}}
    tasks.plane.ask("POST", f"/api/v1/namespaces/{tasks.namespace}/pods/{name}/binding", binding)


def talking(lines: list[bytes], go_on: threading.Event) -> Callable[[Exchange], None]:
    """A kubelet that sends a line, and the others when it may."""

    def talk(exchange: Exchange) -> None:
        exchange.begin(Reply(200), None)
        exchange.handler.wfile.write(lines[0])
        exchange.handler.wfile.flush()
        go_on.wait(30)
        exchange.handler.wfile.write(b"".join(lines[1:]))
        exchange.handler.close_connection = True

    return talk


def test_a_log_is_printed_as_it_is_written(tasks: Tasks, kubelet: tuple[Faulty, str]) -> None:
    server, node = kubelet
    tasks.publish("works")
    bind(tasks, "works", node)
    go_on = threading.Event()
    server.always = talking([b"first\n", b"second\n"], go_on)
    config = tasks.plane.kubeconfig_for(tasks.plane.token, tasks.namespace)
    command = [str(COMMAND), "jobs", "logs", tasks.name("works"), f"--kubernetes-kubeconfig={config}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"first\n"
        go_on.set()
        assert running.stdout.read() == b"second\n"
        assert running.wait() == 0
    assert "follow=true" in server.seen[0].path


def test_a_log_without_end_can_be_interrupted(tasks: Tasks, kubelet: tuple[Faulty, str]) -> None:
    server, node = kubelet
    tasks.publish("works")
    bind(tasks, "works", node)
    server.always = talking([b"first\n"], threading.Event())
    config = tasks.plane.kubeconfig_for(tasks.plane.token, tasks.namespace)
    command = [str(COMMAND), "jobs", "logs", tasks.name("works"), f"--kubernetes-kubeconfig={config}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"first\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        assert running.stderr.read() == b""


def test_a_log_that_is_not_there_says_why(tasks: Tasks) -> None:
    tasks.publish("waits")
    wait_until(lambda: bool(tasks.pods("waits")), "no pod")
    outcome = tasks.run("logs", tasks.name("waits"))
    assert outcome.status == 1
    assert "could not get the log of pod" in outcome.stderr
    tasks.publish("stands", text=TEMPLATE.replace("backoffLimit: 2", "suspend: true"))
    assert "it has no pod" in tasks.run("logs", tasks.name("stands")).stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give one of jobs list, jobs retry, jobs delete, jobs logs"),
        (("list", "name"), "unexpected word 'name'"),
        (("retry",), "jobs retry requires either names of Jobs, or --failed"),
        (("delete", "--finished", "name"), "jobs delete requires either names of Jobs, or --failed"),
        (("logs",), "jobs logs requires the name of one Job"),
        (("list", "--state=lost"), "not one of suspended, pending"),
        (("list", "--task=other"), "not one of intake, aggregate"),
        (("list", "--kubernetes-kubeconfig=/absent"), "cannot read the kubeconfig '/absent'"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], problem: str) -> None:
    outcome = call(COMMAND, ["jobs", *arguments])
    assert outcome.status == 2
    assert problem in outcome.stderr
