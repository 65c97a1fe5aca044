"""What the chart makes of values as a whole, and which values it refuses."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import (
    CHART,
    INSTANCE,
    KINDS_OF_VALUES,
    KUBE_VERSION,
    NAMESPACE,
    RELEASE,
    ROOT,
    RefusedError,
    Rendered,
    container,
    helm,
    pod_template,
    render,
    values_file,
    with_instance,
)
from workflow_manager import __version__
from workflow_manager.assembly import flags_of_kind
from workflow_manager.config.fleet_flags import FLEET, SERVED
from workflow_manager.fleet import read_fleet


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_lint(name: str) -> None:
    helm("lint", "--strict", KUBE_VERSION, "--values", values_file(name), CHART)


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_every_object_has_a_name_of_its_own(name: str) -> None:
    names = [
        (one["kind"], one["metadata"]["namespace"], one["metadata"]["name"])
        for one in render(name=name).documents
        if "helm.sh/hook" not in (one["metadata"].get("annotations") or {})
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_every_pod_mounts_what_it_has_and_has_what_it_mounts(name: str) -> None:
    for pod in render(name=name).pods():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]} == volumes
        assert pod["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_every_volume_of_the_release_s_own_is_there_before_its_pod(name: str) -> None:
    """Hooks find only hooks; what is installed finds only what is installed with it."""
    rendered = render(name=name)
    for document in rendered.documents:
        if document["kind"] not in ("CronJob", "Deployment", "Job", "Pod"):
            continue
        hook = "helm.sh/hook" in (document["metadata"].get("annotations") or {})
        tested = document["metadata"]["labels"]["app.kubernetes.io/component"] == "test"
        for volume in pod_template(document)["spec"]["volumes"]:
            kind, source = (
                ("ConfigMap", volume.get("configMap"))
                if "configMap" in volume
                else ("Secret", volume.get("secret"))
            )
            if source and volume["name"] in ("instances", "job-templates"):
                found = source.get("name") or source.get("secretName")
                assert any(
                    rendered.find(kind, found, hook=where) for where in ({hook, False} if tested else {hook})
                )


def test_the_package_makes_the_same_as_the_folder(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path, environ={"HOME": str(tmp_path)})
    (package,) = tmp_path.glob("workflow-manager-*.tgz")
    flags = ["--namespace", NAMESPACE, KUBE_VERSION, f"--values={values_file('everything')}", "--values=-"]
    assert helm("template", RELEASE, package, *flags, content="{}") == render(name="everything").text


def test_the_version_is_that_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_status_2_is_not_retried_and_a_drained_node_does_not_count() -> None:
    spec = render(with_instance()).one("CronJob")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    invalid, drained = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    codes = {"containerName": "workflow-manager", "operator": "In", "values": [2]}
    assert invalid == {"action": "FailJob", "onExitCodes": codes}
    assert drained == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def test_serve_is_alive_and_ready_when_it_says_so() -> None:
    served = render(name="serve").container()
    assert served["startupProbe"]["httpGet"] == served["livenessProbe"]["httpGet"]
    assert served["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert served["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_a_change_of_an_instance_replaces_the_pods_of_serve() -> None:
    first, second = (
        render(with_instance({"grace-period": period}, mode="serve")).pod()["metadata"]["annotations"]
        for period in ("1h", "2h")
    )
    assert first["checksum/instances"] != second["checksum/instances"]


@pytest.mark.parametrize(
    ("interval", "schedule"),
    [
        ("", r"[0-4]-59/5 \* \* \* \*"),
        ("1m", r"\* \* \* \* \*"),
        ("120s", r"[01]-59/2 \* \* \* \*"),
        ("30m", r"[12]?[0-9]-59/30 \* \* \* \*"),
        ("60m", r"[1-5]?[0-9] \* \* \* \*"),
        ("8h", r"[1-5]?[0-9] [0-7]-23/8 \* \* \*"),
    ],
)
def test_an_instance_runs_at_each_interval(interval: str, schedule: str) -> None:
    found = render(with_instance({"interval": interval})).one("CronJob")["spec"]["schedule"]
    assert re.fullmatch(schedule, found), found


def test_instances_are_spread_over_the_interval() -> None:
    schedules = [one["spec"]["schedule"] for one in render(name="many").find("CronJob")]
    counts = {schedule: schedules.count(schedule) for schedule in schedules}
    assert set(counts) == {f"{minute}-59/5 * * * *" for minute in range(5)}
    assert max(counts.values()) < 60


def test_names_that_kubernetes_does_not_take_are_changed_and_stay_distinct() -> None:
    names = ["A.b", "a_b", "a-b", "x" * 63, f"{'x' * 62}y"]
    instances = dict.fromkeys(names, INSTANCE)
    found = render({"instances": instances}).find("CronJob")
    made = [one["metadata"]["name"] for one in found]
    assert len(set(made)) == len(names)
    assert all(re.fullmatch("[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", name) for name in made)
    assert sorted(one["metadata"]["labels"]["workflow-manager/instance"] for one in found) == sorted(names)


def test_flags_reach_the_program_as_they_are_written() -> None:
    """Numbers keep their digits, an instance's false is no default, and Kubernetes expands nothing."""
    given = {
        "aggregation-override-timestamp": 202011010000,
        "max-list-workers": 1000000,
        "is-first": False,
        "intake-tasks-topic": "$(HOME) $x {{ y }} \"'\\",
    }
    rendered = render(with_instance(given, defaults={"is-first": True}))
    args = rendered.container()["args"]
    assert "--aggregation-override-timestamp=202011010000" in args
    assert "--max-list-workers=1000000" in args
    assert "--is-first=false" in args
    assert "--intake-tasks-topic=$$(HOME) $x {{ y }} \"'\\" in args


def test_flags_that_only_serve_has_are_not_given_to_runs() -> None:
    """So that the same instances can be values of either mode."""
    served = {option.name: "1m" for option in SERVED.options}
    assert render(with_instance(served)).container()["args"] == render(with_instance()).container()["args"]
    entry = yaml.safe_load(file_of(render(with_instance(served))))["instances"]["na-ingestor-1"]
    assert served.items() <= entry.items()


SECRETS: dict[str, object] = {
    "push-gateway": {"secretKeyRef": {"name": "gateway", "key": "url"}},
    "gcp-project-id": {"configMapKeyRef": {"name": "cloud", "key": "project"}},
    "grace-period": {"env": "GRACE"},
    "k8s-namespace": {"file": "/locality"},
}


def test_secrets_are_given_by_reference() -> None:
    """In the program's own variables to a run; in a variable for each reference to the file of instances."""
    rendered = render(with_instance(SECRETS))
    env = {one["name"]: one["valueFrom"] for one in rendered.container()["env"]}
    assert env == {
        "WORKFLOW_MANAGER_PUSH_GATEWAY": SECRETS["push-gateway"],
        "WORKFLOW_MANAGER_GCP_PROJECT_ID": SECRETS["gcp-project-id"],
    }
    assert not any(flag in argument for flag in SECRETS for argument in rendered.container()["args"])
    check = container(rendered.one("Job", hook=True))
    variables = {one["name"]: one["valueFrom"] for one in check["env"]}
    (entry,) = yaml.safe_load(file_of(rendered))["instances"].values()
    assert variables[entry["push-gateway"]["env"]] == SECRETS["push-gateway"]
    assert variables[entry["gcp-project-id"]["env"]] == SECRETS["gcp-project-id"]


def file_of(rendered: Rendered) -> str:
    """The file of all instances that `check` is given."""
    (found,) = [
        one for one in rendered.find("ConfigMap", hook=True) if one["metadata"]["name"].endswith("-check")
    ]
    return str(found["data"]["instances.yaml"])


@pytest.mark.parametrize("name", ["one", "many"])
def test_a_cron_job_s_arguments_say_the_same_as_the_file_of_instances(name: str, tmp_path: Path) -> None:
    """So that what `check` has found is true of each run; the program itself reads both."""
    rendered = render({"defaults": {"interval": "10m"}}, name=name)
    path = tmp_path / "instances.yaml"
    path.write_text(file_of(rendered))
    instances = {one.name: one.values for one in read_fleet("run", "", [f"--config={path}"], {}).instances}
    jobs = {one["metadata"]["labels"]["workflow-manager/instance"]: one for one in rendered.find("CronJob")}
    assert jobs.keys() == instances.keys()
    for instance, job in jobs.items():
        assert run_values(job, {}) == of_a_run(instances[instance])


def test_references_say_the_same_in_a_cron_job_as_in_the_file_of_instances(tmp_path: Path) -> None:
    (tmp_path / "locality").write_text("na\n")
    secrets = {**SECRETS, "k8s-namespace": {"file": str(tmp_path / "locality")}}
    rendered = render(with_instance(secrets))
    resolved = {"url": "http://user:password@pushgateway:9091", "project": "prio-prod"}
    path = tmp_path / "instances.yaml"
    path.write_text(file_of(rendered))
    environ = environment(container(rendered.one("Job", hook=True)), resolved)
    (whole,) = read_fleet("run", "", [f"--config={path}"], {"GRACE": "4h", **environ}).instances
    path.write_text(rendered.one("ConfigMap")["data"]["instances.yaml"])
    (args, environ) = rendered.container()["args"], environment(rendered.container(), resolved)
    args = [arg.replace("/etc/workflow-manager/instances", str(tmp_path)) for arg in args[1:]]
    (apart,) = read_fleet("run", "", args, {"GRACE": "4h", **environ}).instances
    assert apart.values == whole.values
    assert whole.values["k8s-namespace"] == "na"
    assert whole.values["push-gateway"] == resolved["url"]


def environment(of: Mapping[str, Any], resolved: Mapping[str, str]) -> dict[str, str]:
    """A container's variables as a kubelet sets them, by the keys of what they refer to."""
    return {one["name"]: resolved[next(iter(one["valueFrom"].values()))["key"]] for one in of["env"]}


def run_values(job: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, object]:
    """What the program makes of a CronJob's arguments."""
    command, *args = container(dict(job))["args"]
    kind = next(arg for arg in args if arg.startswith("--task-queue-kind=")).partition("=")[2]
    parsed = flags_of_kind(command, "", kind).parse(args, environ)
    assert parsed.all_mistakes() == []
    return of_a_run(parsed.values)


def of_a_run(values: Mapping[str, object]) -> dict[str, object]:
    """Values without those of flags that only other commands have."""
    others = {option.name for group in (FLEET, SERVED) for option in group.options}
    process = (
        "cpuprofile",
        "log-format",
        "log-level",
        "memprofile",
        "shutdown-grace",
        "no-cpu-pinning",
        "no-malloc-tuning",
    )
    return {name: value for name, value in values.items() if name not in {*others, *process}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "instances is empty"),
        (with_instance(mode="cron"), "/mode"),
        (with_instance(chek={"enabled": False}), "'chek' not allowed"),
        (with_instance(check={"enabld": False}), "'enabld' not allowed"),
        (with_instance({"grace-perod": "1h"}), "'grace-perod' not allowed"),
        (with_instance({"grace-period": "1 hour"}), "/instances/na-ingestor-1/grace-period"),
        (with_instance({"log-level": "info"}), "'log-level' not allowed"),
        (with_instance({"redis-url": {"secretKeyRef": {"name": "redis"}}}), "missing property 'key'"),
        (with_instance({"redis-url": {"secret": "redis"}}), "'secret' not allowed"),
        (with_instance(defaults={"is-frist": True}), "'is-frist' not allowed"),
        (with_instance(process={"log-level": "loud"}), "/process/log-level"),
        (with_instance(serve={"flags": {"listen": "0.0.0.0:1"}}), "'listen' not allowed"),
        ({"instances": {"-a": INSTANCE}}, "'-a' does not match pattern"),
        (with_instance(image={"digest": "sha256:1"}), "/image/digest"),
        (with_instance(cronJob={"backoffLimit": -1}), "/cronJob/backoffLimit"),
        (
            with_instance({"interval": "7m"}),
            "interval 7m does not divide an hour or a day; set cronJob.schedules.na",
        ),
        (with_instance({"interval": "90s"}), "interval 90s is not a whole number of minutes"),
        (with_instance(cronJob={"schedules": {"na-ingestor-2": "* * * * *"}}), "no instance has this name"),
        (with_instance(serviceMonitor={"enabled": True}), "serviceMonitor.enabled requires mode: serve"),
        (with_instance(mode="serve", serve={"file": {"existing": "x"}}), "takes the place of instances"),
        ({"serve": {"file": {"existing": "x"}}}, "serve.file.existing requires mode: serve"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: Mapping[str, object], said: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(said)):
        render(values)


def test_the_schema_has_every_flag_of_an_instance() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    page = (ROOT / "docs" / "reference" / "instances.md").read_text()
    reference = json.loads(page.partition("```json\n")[2].partition("```")[0])
    flags = reference["$defs"]["flags"]["properties"]
    assert schema["$defs"]["flags"]["properties"].keys() == flags.keys()
