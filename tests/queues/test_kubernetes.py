"""Jobs on a real API server: what is created, what a repeat does, and what each refusal says."""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from servers.faulty import Faulty, answer, faulty, lose_answer
from servers.kubernetes import ApiError, ControlPlane, kubeconfig
from support.jobs import RULES, TEMPLATE, environment, jobs, jobs_queue, message_of, task_body
from workflow_manager.clouds import service
from workflow_manager.errors import ConfigError, QueueError, QueueFullError
from workflow_manager.ports import Message, RetryPolicy
from workflow_manager.queues.kubernetes import KubernetesJobs

Open = Callable[..., KubernetesJobs]
LARGE = task_body(aggregation_id="kittens-seen", batches=[{"id": str(number)} for number in range(9000)])


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    return control_plane.namespace()


@pytest.fixture
def opened(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Open]:
    """Opens queues, which are closed in the end."""
    queues: list[KubernetesJobs] = []

    def open_queue(
        *,
        most: int | None = None,
        kubeconfig: Path | None = None,
        token: str = "",
        text: str = TEMPLATE,
        labels: Mapping[str, str] | None = None,
        marker_bucket: str = "",
    ) -> KubernetesJobs:
        options: dict[str, object] = {"kubernetes-max-unfinished": most} if most else {}
        options |= {"kubernetes-kubeconfig": str(kubeconfig)} if kubeconfig else {}
        queue = jobs_queue(
            control_plane,
            namespace,
            tmp_path,
            token=token,
            text=text,
            labels=labels,
            marker_bucket=marker_bucket,
            options=options,
        )
        queues.append(queue)
        return queue

    yield open_queue
    for queue in queues:
        queue.close()


def task(number: int = 0, body: bytes = b"", aggregation: str = "kittens-seen") -> Message:
    content = body or task_body(trace_id=f"trace-{number}", batch_id=f"batch-{number}")
    return Message(content, aggregation, f"task-markers/intake-{aggregation}-{number}")


def outcome(queue: KubernetesJobs, message: Message, topic: str = "intake") -> QueueError | None:
    (error,) = queue.publish(topic, [message])
    return error


def refusal(queue: KubernetesJobs, message: Message) -> str:
    error = outcome(queue, message)
    assert error is not None
    return str(error)


def finish(plane: ControlPlane, job: dict[str, Any], condition: str = "Complete") -> None:
    """Set a Job's status as its controller does."""
    metadata = job["metadata"]
    before = "SuccessCriteriaMet" if condition == "Complete" else "FailureTarget"
    times = {"startTime": "2026-11-23T04:20:00Z"}
    if condition == "Complete":
        times["completionTime"] = "2026-11-23T04:21:00Z"
    status = {"conditions": [{"type": kind, "status": "True"} for kind in (before, condition)], **times}
    path = f"/apis/batch/v1/namespaces/{metadata['namespace']}/jobs/{metadata['name']}/status"
    plane.patch(path, {"status": status})


def test_a_repeat_finds_the_job_and_changes_nothing(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    assert outcome(opened(), task()) is None
    before = jobs(control_plane, namespace)
    again = task(body=task_body(trace_id="another", batch_id="batch-0"))
    assert outcome(opened(), again) is None
    assert jobs(control_plane, namespace) == before
    assert environment(before[0])["TRACE_ID"] == "trace-0"


def test_names_of_any_kind_become_jobs_that_can_be_selected(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    odd = ("über kittens", "a" * 300, "-", "$(PATH)", "UPPER.case", "💶")
    queue = opened(labels={"locality": "na", "ingestor": "a/b"})
    for aggregation in odd:
        assert outcome(queue, task(aggregation=aggregation)) is None
    found = jobs(control_plane, namespace, "workflow-manager/locality=na,workflow-manager/task=intake")
    annotated = {job["metadata"]["annotations"]["workflow-manager/aggregation-id"] for job in found}
    assert annotated == set(odd)


def test_deployments_that_share_a_namespace_do_not_take_each_others_jobs_for_their_own(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    for bucket in ("gs://own-1", "gs://own-2"):
        assert outcome(opened(marker_bucket=bucket), task()) is None
    markers = {
        job["metadata"]["annotations"]["workflow-manager/marker"] for job in jobs(control_plane, namespace)
    }
    assert markers == {f"gs://own-{number}/task-markers/intake-kittens-seen-0" for number in (1, 2)}


def test_a_large_message_is_in_a_config_map_that_goes_with_its_job(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    assert outcome(opened(), task(body=LARGE), "aggregate") is None
    (job,) = jobs(control_plane, namespace)
    assert message_of(control_plane, job) == LARGE
    path = f"/api/v1/namespaces/{namespace}/configmaps/{job['metadata']['name']}"
    (owner,) = control_plane.ask("GET", path)["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])


def test_a_repeat_adds_the_config_map_that_a_killed_run_did_not_create(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    assert outcome(opened(), task(body=LARGE)) is None
    (job,) = jobs(control_plane, namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps/{job['metadata']['name']}"
    control_plane.ask("DELETE", path)
    assert outcome(opened(), task(body=LARGE)) is None
    assert jobs(control_plane, namespace) == [job]
    assert message_of(control_plane, job) == LARGE


def test_a_config_map_of_an_earlier_job_is_not_taken_for_this_ones(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    assert outcome(opened(), task(body=LARGE)) is None
    (job,) = jobs(control_plane, namespace)
    control_plane.ask(
        "DELETE",
        f"/apis/batch/v1/namespaces/{namespace}/jobs/{job['metadata']['name']}?propagationPolicy=Background",
    )
    assert "belongs to another Job" in refusal(opened(), task(body=LARGE))


def test_another_object_of_the_name_is_an_error(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    assert outcome(opened(), task()) is None
    (job,) = jobs(control_plane, namespace)
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{job['metadata']['name']}"
    control_plane.patch(path, {"metadata": {"annotations": {"workflow-manager/marker": "another"}}})
    said = refusal(opened(), task())
    assert "another Job has this name" in said
    assert "'another', not 'task-markers/intake-kittens-seen-0'" in said
    control_plane.patch(path, {"metadata": {"annotations": None}})
    assert "it has no annotation workflow-manager/marker" in refusal(opened(), task())


def test_a_job_that_is_being_deleted_does_not_do_the_task(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    assert outcome(opened(), task()) is None
    (job,) = jobs(control_plane, namespace)
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{job['metadata']['name']}"
    control_plane.patch(path, {"metadata": {"finalizers": ["example.com/wait"]}})
    control_plane.ask("DELETE", path)
    assert "it exists, and is being deleted" in refusal(opened(), task())
    control_plane.patch(path, {"metadata": {"finalizers": None}})
    assert outcome(opened(), task()) is None


def test_no_more_jobs_exist_than_may_be_unfinished(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    queue = opened(most=2)
    outcomes = [outcome(queue, task(number)) for number in range(4)]
    assert [type(error) for error in outcomes] == [type(None), type(None), QueueFullError, QueueFullError]
    assert "2 unfinished Jobs exist (--kubernetes-max-unfinished)" in str(outcomes[3])
    for job, condition in zip(jobs(control_plane, namespace), ("Complete", "Failed"), strict=True):
        finish(control_plane, job, condition)
    assert isinstance(outcome(queue, task(2)), QueueFullError)  # they are counted once in a run
    queue.prepare(["intake", "aggregate"])
    assert [outcome(queue, task(number)) for number in range(4)] == [None] * 4


def test_a_job_that_is_there_counts_as_acknowledged_also_when_there_is_no_room(opened: Open) -> None:
    assert outcome(opened(), task()) is None
    queue = opened(most=1)
    assert outcome(queue, task()) is None
    assert isinstance(outcome(queue, task(1)), QueueFullError)


def test_jobs_of_other_deployments_take_no_room(opened: Open) -> None:
    assert outcome(opened(marker_bucket="gs://other"), task()) is None
    assert outcome(opened(marker_bucket="gs://own", most=1), task()) is None


def test_a_job_that_could_not_be_created_takes_no_room(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    queue = opened(most=1)
    quota(control_plane, namespace, 0)
    assert "exceeded quota" in refusal(queue, task())
    quota(control_plane, namespace, 5)
    deadline = time.monotonic() + 20
    while (said := outcome(queue, task(1))) is not None and time.monotonic() < deadline:
        assert "exceeded quota" in str(said)  # the API server has not heard of the new one yet
        time.sleep(0.1)
    assert said is None


def quota(plane: ControlPlane, namespace: str, most: int) -> None:
    """Allow so many Jobs in a namespace; its status is what a controller would set."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    hard = {"count/jobs.batch": str(most)}
    try:
        plane.ask("POST", path, {"metadata": {"name": "jobs"}, "spec": {"hard": hard}})
    except ApiError:
        plane.patch(f"{path}/jobs", {"spec": {"hard": hard}})
    plane.patch(f"{path}/jobs/status", {"status": {"hard": hard, "used": {"count/jobs.batch": "0"}}})


def test_an_exceeded_quota_says_so(control_plane: ControlPlane, namespace: str, opened: Open) -> None:
    quota(control_plane, namespace, 1)
    assert outcome(opened(), task()) is None
    said = refusal(opened(), task(1))
    assert "exceeded quota: jobs, requested: count/jobs.batch=1, used: count/jobs.batch=1" in said
    assert "raise the quota, delete finished Jobs, or set --kubernetes-max-unfinished" in said


def test_a_missing_permission_says_which_verb_to_grant(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    token = control_plane.service_account(namespace, [])
    said = refusal(opened(token=token), task())
    assert 'cannot create resource "jobs" in API group "batch"' in said
    assert f"--namespace={namespace} --verb=create --resource=jobs.batch" in said


def test_the_documented_permissions_are_enough(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    token = control_plane.service_account(namespace, RULES)
    queue = opened(token=token, most=5)
    for _ in range(2):
        assert outcome(queue, task(body=LARGE)) is None
    assert f"as system:serviceaccount:{namespace}:workflow-manager" in queue.check("intake")
    assert len(jobs(control_plane, namespace)) == 1


def test_permission_to_create_but_not_to_read_says_so(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
    queue = opened(token=control_plane.service_account(namespace, [rule]))
    assert outcome(queue, task()) is None
    said = refusal(queue, task())
    assert "it exists, and cannot be read" in said
    assert "--verb=get --resource=jobs.batch" in said


def test_a_missing_namespace_says_so(control_plane: ControlPlane, tmp_path: Path) -> None:
    queue = jobs_queue(control_plane, "nowhere", tmp_path)
    said = refusal(queue, task())
    queue.close()
    assert 'namespaces "nowhere" not found' in said
    assert "create the namespace nowhere, or correct --kubernetes-namespace" in said


def test_an_invalid_template_says_which_field(opened: Open, tmp_path: Path) -> None:
    said = refusal(opened(text=TEMPLATE.replace("Never", "Always")), task())
    assert "spec.template.spec.restartPolicy: Required value" in said
    assert f"correct {tmp_path / 'intake.yaml'}" in said


def test_a_refusal_of_an_admission_policy_says_what_it_says(
    control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    api = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE"]}
    policy = {
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {"expression": "has(object.spec.activeDeadlineSeconds)", "message": "Jobs need a deadline"}
            ],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    }
    control_plane.ask("POST", f"{api}/validatingadmissionpolicies", policy)
    control_plane.ask("POST", f"{api}/validatingadmissionpolicybindings", binding)
    queue = opened()
    said, number = None, 0
    while said is None:  # a policy takes hold a moment after it is created
        found = outcome(queue, task(number))
        said, number = None if found is None else str(found), number + 1
    assert "Jobs need a deadline" in said
    assert "an admission policy of the cluster refuses it" in said


@pytest.fixture
def between(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[tuple[Faulty, Path]]:
    """A server that passes requests on to the API server, and a kubeconfig that names it."""
    trusted = ssl.create_default_context(cafile=str(control_plane.ca))
    with faulty(control_plane.url, trusted=trusted) as server:
        path = tmp_path / "between.kubeconfig"
        user = {"token": control_plane.token}
        path.write_text(json.dumps(kubeconfig(server.url, control_plane.ca, user, namespace)))
        yield server, path


def test_no_api_server_says_where_it_was_looked_for(
    control_plane: ControlPlane, opened: Open, tmp_path: Path, hasty: None
) -> None:
    path = tmp_path / "nobody.kubeconfig"
    path.write_text(json.dumps(kubeconfig("https://127.0.0.1:1", control_plane.ca, {"token": "t"})))
    assert "127.0.0.1:1 cannot be reached" in refusal(opened(kubeconfig=path), task())


def test_a_busy_api_server_is_asked_again_and_then_its_answer_is_told(
    between: tuple[Faulty, Path], opened: Open, hasty: None
) -> None:
    server, path = between
    queue = opened(kubeconfig=path)
    busy = b'{"kind":"Status","reason":"TooManyRequests","message":"too many requests"}'
    server.script.extend([answer(429, busy, retry_after="0"), answer(503)])
    assert outcome(queue, task()) is None
    assert len(server.seen) == 3
    server.always = answer(429, busy)
    assert "429 TooManyRequests: too many requests" in refusal(queue, task(1))
    assert len(server.seen) == 3 + RetryPolicy().tries


def test_an_answer_that_is_lost_makes_no_second_job(
    control_plane: ControlPlane, namespace: str, between: tuple[Faulty, Path], opened: Open, hasty: None
) -> None:
    server, path = between
    server.script.append(lose_answer)
    assert outcome(opened(kubeconfig=path), task()) is None
    assert len(jobs(control_plane, namespace)) == 1


def test_checking_validates_both_templates_and_creates_nothing(
    control_plane: ControlPlane, namespace: str, opened: Open, tmp_path: Path
) -> None:
    queue = opened()
    assert f"the API server takes a Job of {tmp_path / 'intake.yaml'}" in queue.check("intake")
    assert f"in namespace {namespace}, as admin" in queue.check("aggregate")
    assert jobs(control_plane, namespace) == []
    with pytest.raises(QueueError, match=r"image: Required value.*correct .*aggregate\.yaml"):
        opened(text=TEMPLATE.replace("image: facilitator", "image: ''")).check("aggregate")


@pytest.mark.parametrize(
    ("resource", "verb"), [(rule["resources"][0], verb) for rule in RULES for verb in rule["verbs"]]
)
def test_checking_names_the_verb_that_is_missing(
    resource: str, verb: str, control_plane: ControlPlane, namespace: str, opened: Open
) -> None:
    rules = [
        {**rule, "verbs": [one for one in rule["verbs"] if (rule["resources"][0], one) != (resource, verb)]}
        for rule in RULES
    ]
    allowed = [rule for rule in rules if rule["verbs"]]
    queue = opened(token=control_plane.service_account(namespace, allowed), most=5)
    with pytest.raises(QueueError) as error:
        queue.check("intake")
    name = "jobs.batch" if resource == "jobs" else resource
    assert f"--verb={verb} --resource={name}, and bind that Role" in error.value.advice


def test_checking_tells_what_pod_security_would_refuse(control_plane: ControlPlane, tmp_path: Path) -> None:
    restricted = control_plane.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    queue = jobs_queue(control_plane, restricted, tmp_path)
    said = queue.check("intake")
    queue.close()
    assert 'would violate PodSecurity "restricted:latest"' in said


def test_other_topics_are_refused(opened: Open) -> None:
    with pytest.raises(QueueError, match="kubernetes-jobs has the topics intake and aggregate"):
        opened().prepare(["na-intake", "na-aggregate"])


@pytest.mark.parametrize("module", ["pycurl", "yaml"])
def test_what_is_not_installed_is_named_with_its_extra(
    module: str, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    monkeypatch.setattr(service, "find_spec", lambda name: None if name == module else object())
    with pytest.raises(ConfigError, match=rf"workflow-manager\[kubernetes\].*'{module}'") as missing:
        opened()
    assert len(missing.value.mistakes) == 1
