"""What becomes of a template and a message: names, labels and what containers see."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.jobs import TEMPLATE, environment, task_body
from workflow_manager.errors import ConfigError
from workflow_manager.ports import Message
from workflow_manager.queues.job_manifest import JobTask, JobTemplate, Json, job_name, label_value

MARKER = "task-markers/intake-kittens-seen-2020-10-31-20-29-b8a5579a-f984-460a-a42d-2813cbf57771"
DNS_LABEL = re.compile("[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL = re.compile("([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def made(tmp_path: Path, text: str = TEMPLATE, body: bytes = b"{}", key: str = MARKER) -> Json:
    """The Job of a message."""
    path = tmp_path / "job.yaml"
    path.write_text(text)
    task = JobTask.of("intake", Message(body, "kittens-seen", key), {"locality": "na"}, "gs://own")
    return JobTemplate.read(path, "prio").job(task)


def refused(tmp_path: Path, text: str) -> str:
    """What is said of a template that is none."""
    with pytest.raises(ConfigError) as error:
        made(tmp_path, text)
    return str(error.value)


def test_a_name_tells_what_the_task_is_and_ends_in_a_hash() -> None:
    name = job_name(MARKER, MARKER)
    assert re.fullmatch("intake-kittens-seen-2020-10-31-20-29-b8a5579a-f984-[a-z2-7]{12}", name)
    assert name == job_name(MARKER, MARKER)


def test_the_same_marker_in_another_bucket_is_another_job() -> None:
    assert job_name(f"gs://one/{MARKER}", MARKER) != job_name(f"gs://other/{MARKER}", MARKER)


@given(st.text(max_size=300))
def test_any_marker_has_a_name_that_kubernetes_takes(key: str) -> None:
    assert DNS_LABEL.fullmatch(job_name(key, key))


@given(st.text(max_size=100))
def test_any_text_has_a_label_value(text: str) -> None:
    value = label_value(text)
    assert LABEL.fullmatch(value)
    assert value == text or value.startswith("sha256-")


def test_the_template_stays_as_it_is_and_the_task_is_added(tmp_path: Path) -> None:
    job = made(tmp_path)
    assert job["spec"]["backoffLimit"] == 2
    assert job["metadata"]["labels"]["team"] == "statistics"
    assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "workflow-manager"
    assert job["metadata"]["labels"]["app.kubernetes.io/component"] == "intake"
    assert job["metadata"]["labels"]["workflow-manager/locality"] == "na"
    assert job["spec"]["template"]["metadata"]["labels"]["workflow-manager/aggregation-id"] == "kittens-seen"
    assert job["metadata"]["annotations"]["workflow-manager/marker"] == f"gs://own/{MARKER}"


def test_what_looks_like_a_date_stays_text(tmp_path: Path) -> None:
    annotations = made(tmp_path)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["example.com/started"] == "2020-10-31"


def test_values_that_are_no_label_values_are_hashed_and_annotated(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(TEMPLATE)
    task = JobTask.of("intake", Message(b"{}", "über kittens", MARKER), {"ingestor": "a/b"}, "")
    metadata = JobTemplate.read(tmp_path / "job.yaml", "prio").job(task)["metadata"]
    for name, value in (("aggregation-id", "über kittens"), ("ingestor", "a/b")):
        assert metadata["labels"][f"workflow-manager/{name}"].startswith("sha256-")
        assert metadata["annotations"][f"workflow-manager/{name}"] == value


def test_fields_are_variables_and_the_message_is_too(tmp_path: Path) -> None:
    body = task_body(trace_id="t", aggregation_id="kittens-seen", batch_id="b", date="2020/10/31/20/29")
    job = made(tmp_path, body=body)
    assert environment(job) == {
        "TRACE_ID": "t",
        "AGGREGATION_ID": "kittens-seen",
        "BATCH_ID": "b",
        "DATE": "2020/10/31/20/29",
        "TASK": body.decode(),
        "RUST_LOG": "info",
    }
    assert job["metadata"]["annotations"]["workflow-manager/trace-id"] == "t"


def test_every_container_gets_the_task(tmp_path: Path) -> None:
    template = json.dumps(
        {
            "spec": {
                "template": {
                    "spec": {
                        "initContainers": [{"name": "first", "image": "i"}],
                        "containers": [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}],
                    }
                }
            }
        }
    )
    pod = made(tmp_path, template, task_body(batch_id="b"))["spec"]["template"]["spec"]
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert {"name": "BATCH_ID", "value": "b"} in container["env"]


def test_a_variable_of_the_template_with_the_name_of_a_field_gives_way(tmp_path: Path) -> None:
    job = made(tmp_path, TEMPLATE.replace("RUST_LOG", "BATCH_ID"), task_body(batch_id="b"))
    names = [entry["name"] for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names.count("BATCH_ID") == 1
    assert environment(job)["BATCH_ID"] == "b"


def test_names_of_others_cannot_refer_to_variables(tmp_path: Path) -> None:
    job = made(tmp_path, body=task_body(aggregation_id="$(SECRET) $$(SECRET) $"))
    entries = job["spec"]["template"]["spec"]["containers"][0]["env"]
    (raw,) = [entry["value"] for entry in entries if entry["name"] == "AGGREGATION_ID"]
    assert raw == "$$(SECRET) $$$$(SECRET) $$"
    assert environment(job)["AGGREGATION_ID"] == "$(SECRET) $$(SECRET) $"


def test_a_long_message_is_a_file(tmp_path: Path) -> None:
    body = task_body(aggregation_id="kittens-seen", batches=["x" * 100_000])
    job = made(tmp_path, body=body)
    variables = environment(job)
    assert "TASK" not in variables
    assert variables["TASK_FILE"] == "/var/run/workflow-manager/task.json"
    pod = job["spec"]["template"]["spec"]
    assert pod["volumes"] == [
        {"name": "workflow-manager-task", "configMap": {"name": job["metadata"]["name"]}}
    ]
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/run/workflow-manager"


def test_a_message_that_is_no_object_is_handed_over_as_it_is(tmp_path: Path) -> None:
    assert environment(made(tmp_path, body=b"[1]"))["TASK"] == "[1]"


def test_a_cron_job_gives_its_job_template(tmp_path: Path) -> None:
    indented = TEMPLATE.partition("spec:\n")[2].replace("\n", "\n    ")
    cron_job = f"kind: CronJob\nspec:\n  schedule: '@daily'\n  jobTemplate:\n    spec:\n    {indented}"
    assert made(tmp_path, cron_job)["spec"]["backoffLimit"] == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Pod", "it is a Pod, not a Job or a CronJob"),
        ("apiVersion: batch/v1beta1\nkind: Job", "its apiVersion is 'batch/v1beta1', not 'batch/v1'"),
        ("kind: Job\nspec: []", "spec must have keys with values"),
        ("kind: Job\nspec: {template: {spec: {}}}", "spec.template.spec.containers has no container"),
        ("kind: Job\nspec: {template: {spec: {containers: [1]}}}", "a container must have keys with values"),
        (
            "kind: Job\nspec: {template: {spec: {containers: [{env: {a: b}}]}}}",
            "env must be a list of objects",
        ),
        ("a: b\n---\nc: d", "expected a single document in the stream"),
        ("kind: Job: bad", "mapping values are not allowed"),
        ("- a", "it must have keys with values"),
        (TEMPLATE.replace("labels:", "namespace: other\n  labels:"), "Jobs are created in 'prio'"),
    ],
)
def test_a_template_that_is_none_says_why(text: str, problem: str, tmp_path: Path) -> None:
    said = refused(tmp_path, text)
    assert problem in said
    assert str(tmp_path / "job.yaml") in said


def test_a_template_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        JobTemplate.read(tmp_path / "absent.yaml", "prio")
