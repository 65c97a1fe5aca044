"""Each option of the chart, by its path in values.yaml, and what it changes in the objects of a release."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from support.chart import CHART, NAMESPACE, RELEASE, Rendered, container, render, values_file, with_instance
from workflow_manager.cli import serve
from workflow_manager.config.fleet_flags import FLEET

Shows = Callable[[], None]
OPTIONS: dict[str, Shows] = {}


def option(*paths: str) -> Callable[[Shows], Shows]:
    """The function shows what these options do."""

    def register(shows: Shows) -> Shows:
        OPTIONS.update(dict.fromkeys(paths, shows))
        return shows

    return register


def everything() -> Rendered:
    return render(name="everything")


def one(**values: object) -> Rendered:
    return render(with_instance({}, **values))


def served(**values: object) -> Rendered:
    return render(with_instance({}, mode="serve", **values))


def flags(rendered: Rendered) -> list[str]:
    return list(rendered.container()["args"])


def labels(document: dict[str, Any]) -> dict[str, str]:
    return dict(document["metadata"]["labels"])


def job(**cron_job: object) -> dict[str, Any]:
    return dict(one(cronJob=cron_job).one("CronJob")["spec"])


@option("mode")
def the_mode_decides_between_a_cron_job_for_each_instance_and_one_deployment() -> None:
    assert len(one().find("CronJob")) == 1
    assert one().find("Deployment") == []
    assert served().find("CronJob") == []
    assert len(served().find("Deployment")) == 1


@option("defaults.run-timeout")
def the_deadline_of_a_job_is_the_run_s_with_what_is_needed_to_start_and_to_stop() -> None:
    assert "--run-timeout=25m" in flags(one())
    assert one().one("CronJob")["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 25 * 60 + 20 + 180
    longer = render(with_instance({"run-timeout": "1h30m0.5s"}, process={"shutdown-grace": "1m500ms"}))
    spec = longer.one("CronJob")["spec"]["jobTemplate"]["spec"]
    assert spec["activeDeadlineSeconds"] == 5401 + 61 + 180
    without = render(with_instance({"run-timeout": ""}))
    assert "activeDeadlineSeconds" not in without.one("CronJob")["spec"]["jobTemplate"]["spec"]
    assert not any("run-timeout" in flag for flag in flags(without))
    assert flags(one(defaults={"run-timeout": None})) == flags(without)


@option("instances")
def each_instance_has_a_cron_job_of_its_name() -> None:
    names = [one["metadata"]["name"] for one in render(name="many").find("CronJob")]
    assert len(set(names)) == 200
    assert f"{RELEASE}-workflow-manager-locality-07-ingestor-2" in names


@option("process")
def flags_of_the_process_are_given_to_all_that_it_does() -> None:
    for rendered in (one(process={"log-level": "debug"}), served(process={"log-level": "debug"})):
        assert "--log-level=debug" in flags(rendered)
        assert "--log-level=debug" in container(rendered.one("Job", hook=True))["args"]
    grace = one(process={"shutdown-grace": "1m"}).pod()["spec"]["terminationGracePeriodSeconds"]
    assert grace == 60 + 10
    assert one().pod()["spec"]["terminationGracePeriodSeconds"] == 20 + 10


@option("extraArgs")
def further_arguments_come_last() -> None:
    assert flags(one(extraArgs=["--json", "--x=a b"]))[-2:] == ["--json", "--x=a b"]
    assert flags(served(extraArgs=["--shard-by=aggregation"]))[-1] == "--shard-by=aggregation"


@option("image.repository", "image.tag")
def the_image_is_the_one_of_the_chart_s_version_unless_a_tag_is_given() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert one().container()["image"] == f"workflow-manager:{version}"
    image = {"repository": "registry.example/wm", "tag": "2.0"}
    assert one(image=image).container()["image"] == "registry.example/wm:2.0"


@option("image.digest")
def a_digest_takes_precedence_over_the_tag() -> None:
    image = {"tag": "2.0", "digest": f"sha256:{'a' * 64}"}
    assert one(image=image).container()["image"] == f"workflow-manager@sha256:{'a' * 64}"


@option("image.pullPolicy")
def the_pull_policy_is_that_of_all_pods() -> None:
    assert {pod["spec"]["containers"][0]["imagePullPolicy"] for pod in one().pods()} == {"IfNotPresent"}
    assert {pod["spec"]["containers"][0]["imagePullPolicy"] for pod in everything().pods()} == {"Always"}


@option("imagePullSecrets")
def all_pods_pull_with_the_secrets() -> None:
    assert "imagePullSecrets" not in one().pod()["spec"]
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "registry"}] for pod in everything().pods())


@option("nameOverride")
def the_name_is_that_of_the_label_and_part_of_the_names_of_objects() -> None:
    rendered = one(nameOverride="wm")
    assert labels(rendered.workload())["app.kubernetes.io/name"] == "wm"
    assert rendered.one("ServiceAccount")["metadata"]["name"] == f"{RELEASE}-wm"


@option("fullnameOverride")
def the_full_name_is_that_of_objects() -> None:
    rendered = one(fullnameOverride="scheduler")
    assert rendered.one("CronJob")["metadata"]["name"] == "scheduler-na-ingestor-1"
    assert rendered.one("ServiceAccount")["metadata"]["name"] == "scheduler"


@option("cronJob.schedule")
def a_schedule_applies_to_all_instances() -> None:
    assert job(schedule="*/7 * * * *")["schedule"] == "*/7 * * * *"


@option("cronJob.schedules")
def an_instance_can_have_a_schedule_of_its_own() -> None:
    schedules = {"na-ingestor-1": "1 2 * * *"}
    assert job(schedule="*/7 * * * *", schedules=schedules)["schedule"] == "1 2 * * *"


@option("cronJob.suspend")
def cron_jobs_can_be_suspended() -> None:
    assert job()["suspend"] is False
    assert job(suspend=True)["suspend"] is True


@option("cronJob.startingDeadlineSeconds")
def a_run_that_could_not_start_in_time_is_skipped() -> None:
    assert job()["startingDeadlineSeconds"] == 240
    assert job(startingDeadlineSeconds=60)["startingDeadlineSeconds"] == 60


@option("cronJob.backoffLimit")
def a_run_is_repeated_as_often_as_the_backoff_limit_says() -> None:
    assert job()["jobTemplate"]["spec"]["backoffLimit"] == 1
    assert job(backoffLimit=0)["jobTemplate"]["spec"]["backoffLimit"] == 0


@option("cronJob.startupSeconds")
def the_deadline_includes_the_time_to_start() -> None:
    assert job(startupSeconds=0)["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 25 * 60 + 20


@option("cronJob.successfulJobsHistoryLimit", "cronJob.failedJobsHistoryLimit")
def jobs_are_kept_as_the_limits_say() -> None:
    assert (job()["successfulJobsHistoryLimit"], job()["failedJobsHistoryLimit"]) == (1, 3)
    kept = job(successfulJobsHistoryLimit=4, failedJobsHistoryLimit=5)
    assert (kept["successfulJobsHistoryLimit"], kept["failedJobsHistoryLimit"]) == (4, 5)


@option("serve.replicas")
def with_more_than_one_replica_one_is_always_kept() -> None:
    assert served().workload()["spec"]["replicas"] == 1
    assert served().find("PodDisruptionBudget") == []
    two = served(serve={"replicas": 2})
    assert two.workload()["spec"]["replicas"] == 2
    budget = two.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == two.workload()["spec"]["selector"]


@option("serve.shards")
def each_shard_has_a_deployment_that_selects_only_its_own_pods() -> None:
    assert not any("--shard" in flag for flag in flags(served()))
    deployments = served(serve={"shards": 3}).find("Deployment")
    assert [f"--shard={number}/3" in container(one)["args"] for number, one in enumerate(deployments)] == [
        True
    ] * 3
    selectors = [one["spec"]["selector"]["matchLabels"] for one in deployments]
    for number, deployment in enumerate(deployments):
        pod = deployment["spec"]["template"]["metadata"]["labels"]
        assert [selector.items() <= pod.items() for selector in selectors].index(True) == number
        assert sum(selector.items() <= pod.items() for selector in selectors) == 1


@option("serve.port")
def the_port_is_that_of_the_process_its_service_and_its_probes() -> None:
    rendered = served(serve={"port": 8080})
    assert "--listen=0.0.0.0:8080" in flags(rendered)
    assert rendered.container()["ports"] == [{"name": "http", "containerPort": 8080}]
    assert rendered.one("Service")["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
    ingress = rendered.one("NetworkPolicy")["spec"]["ingress"]
    assert ingress == [{"ports": [{"protocol": "TCP", "port": 8080}]}]
    assert ":8080/readyz" in str(container(rendered.one("Pod", hook=True))["args"])


@option("serve.flags")
def flags_of_serve_are_given_to_it_alone() -> None:
    rendered = served(serve={"flags": {"max-passes": 8}})
    assert "--max-passes=8" in flags(rendered)
    assert "--max-passes=8" not in container(rendered.one("Job", hook=True))["args"]


@option("serve.file.kind")
def the_file_of_instances_is_a_config_map_or_a_secret() -> None:
    config_map, secret = served(), served(serve={"file": {"kind": "Secret"}})
    name = f"{RELEASE}-workflow-manager-instances"
    content = config_map.one("ConfigMap", name)["data"]["instances.yaml"]
    assert secret.one("Secret", name)["stringData"]["instances.yaml"] == content
    assert secret.find("ConfigMap") == []
    assert volume(config_map)["configMap"] == {"name": name}
    assert volume(secret)["secret"] == {"secretName": name}


def volume(rendered: Rendered) -> dict[str, Any]:
    (found,) = [one for one in rendered.pod()["spec"]["volumes"] if one["name"] == "instances"]
    return dict(found)


@option("serve.file.existing")
def an_existing_file_is_used_by_serve_and_by_its_check() -> None:
    values = {"mode": "serve", "serve": {"file": {"kind": "Secret", "existing": "fleet"}}}
    rendered = render(values)
    assert volume(rendered)["secret"] == {"secretName": "fleet"}
    assert [one for one in rendered.documents if one["kind"] in ("Secret", "ConfigMap")] == []
    check = rendered.one("Job", hook=True)["spec"]["template"]["spec"]["volumes"]
    assert {"name": "instances", "secret": {"secretName": "fleet"}} in check


@option("jobTemplates")
def templates_of_jobs_are_files_that_instances_of_this_kind_are_given() -> None:
    rendered = render(name="jobs")
    files = rendered.one("ConfigMap", f"{RELEASE}-workflow-manager-job-templates")["data"]
    intake = yaml.safe_load(files["intake.yaml"])["spec"]["template"]["spec"]["containers"][0]
    assert "--batch-id=$(BATCH_ID)" in intake["args"]
    directory = "/etc/workflow-manager/job-templates"
    for task in ("intake", "aggregate"):
        assert f"--kubernetes-job-template-{task}={directory}/{task}.yaml" in flags(rendered)
    mounts = rendered.container()["volumeMounts"]
    assert {"name": "job-templates", "mountPath": directory, "readOnly": True} in mounts
    assert one().find("ConfigMap") == []


@option("rbac.create")
def roles_are_made_only_where_jobs_are_made() -> None:
    assert one().find("Role") == one().find("RoleBinding") == one().find("Role", hook=True) == []
    assert one().pod()["spec"]["automountServiceAccountToken"] is False
    rendered = render(name="jobs")
    role, binding = rendered.one("Role"), rendered.one("RoleBinding")
    assert {"create", "get"} <= set(role["rules"][0]["verbs"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = rendered.pod()["spec"]["serviceAccountName"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]
    assert rendered.pod()["spec"]["automountServiceAccountToken"] is True
    without = render({"rbac": {"create": False}}, name="jobs")
    assert without.find("Role") == without.find("Role", hook=True) == []


@option("rbac.namespaces")
def further_namespaces_can_have_the_role() -> None:
    namespaces = {role["metadata"]["namespace"] for role in everything().find("Role")}
    assert namespaces == {"workers", "others"}


@option("serviceAccount.create", "serviceAccount.name")
def the_service_account_is_the_release_s_or_one_that_exists() -> None:
    name = f"{RELEASE}-workflow-manager"
    assert (
        one().one("ServiceAccount")["metadata"]["name"] == one().pod()["spec"]["serviceAccountName"] == name
    )
    existing = one(serviceAccount={"create": False, "name": "mine"})
    assert existing.find("ServiceAccount") == existing.find("ServiceAccount", hook=True) == []
    assert {pod["spec"]["serviceAccountName"] for pod in existing.pods()} == {"mine"}
    assert one(serviceAccount={"create": False}).pod()["spec"]["serviceAccountName"] == "default"


@option("serviceAccount.annotations")
def the_clouds_know_the_account_by_its_annotations_also_before_it_is_installed() -> None:
    role = "arn:aws:iam::123456789012:role/workflow-manager"
    rendered = render(name="many")
    for hook in (False, True):
        account = rendered.one("ServiceAccount", hook=hook)["metadata"]
        assert account["name"] == f"{RELEASE}-workflow-manager"
        assert account["annotations"]["eks.amazonaws.com/role-arn"] == role


@option("check.enabled", "check.timeoutSeconds")
def a_check_of_all_instances_comes_before_each_install_and_upgrade() -> None:
    check = one(check={"timeoutSeconds": 33}).one("Job", hook=True)
    assert check["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert check["spec"]["activeDeadlineSeconds"] == 33
    assert container(check)["args"][0] == "check"
    without = one(check={"enabled": False})
    tests = [one["metadata"]["annotations"]["helm.sh/hook"] for one in without.find("Pod", hook=True)]
    assert without.find("Job", hook=True) == without.find("ServiceAccount", hook=True) == []
    assert tests == ["test"]


@option("networkPolicy.enabled", "networkPolicy.ingressFrom")
def nobody_may_connect_to_a_run_and_only_those_named_to_serve() -> None:
    assert one(networkPolicy={"enabled": False}).find("NetworkPolicy") == []
    run = one().one("NetworkPolicy")["spec"]
    assert run["ingress"] == []
    assert run["policyTypes"] == ["Ingress"]
    assert run["podSelector"]["matchLabels"].items() <= labels(one().pod()).items()
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    (rule,) = everything().one("NetworkPolicy")["spec"]["ingress"]
    assert rule["from"][0] == peer
    tested = everything().one("Pod", hook=True)
    assert rule["from"][1]["podSelector"]["matchLabels"].items() <= labels(tested).items()


@option("networkPolicy.egress")
def egress_is_restricted_to_what_is_named_and_dns() -> None:
    spec = everything().one("NetworkPolicy")["spec"]
    ports = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports == [53, 53, 8080, 443]


@option("resources.requests", "resources.limits")
def the_resources_are_those_of_every_container() -> None:
    assert one().container()["resources"] == {
        "requests": {"cpu": "100m", "memory": "96Mi"},
        "limits": {"memory": "256Mi"},
    }
    for pod in everything().pods():
        assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}


@option(
    "podSecurityContext.runAsNonRoot",
    "podSecurityContext.runAsUser",
    "podSecurityContext.runAsGroup",
    "podSecurityContext.fsGroup",
    "podSecurityContext.seccompProfile",
)
def pods_run_as_a_user_without_rights() -> None:
    context = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert all(pod["spec"]["securityContext"] == context for pod in one().pods())
    other = {**context, "runAsUser": 70000, "runAsGroup": 70000, "fsGroup": 70000}
    assert all(pod["spec"]["securityContext"] == other for pod in everything().pods())


@option(
    "securityContext.allowPrivilegeEscalation",
    "securityContext.readOnlyRootFilesystem",
    "securityContext.capabilities",
)
def containers_have_no_rights_and_write_only_to_tmp() -> None:
    context = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(pod["spec"]["containers"][0]["securityContext"] == context for pod in one().pods())
    assert everything().pods()[0]["spec"]["containers"][0]["securityContext"] == {
        **context,
        "runAsUser": 70000,
    }
    assert one().container()["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert one().pod()["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


@option("extraEnv", "extraEnvFrom")
def the_environment_is_that_of_all_pods() -> None:
    role = {"name": "ROLE", "value": "arn:aws:iam::123456789012:role/reader"}
    source = {"configMapRef": {"name": "environment", "optional": True}}
    for pod in everything().pods():
        assert role in pod["spec"]["containers"][0]["env"]
        assert pod["spec"]["containers"][0]["envFrom"] == [source]
    assert {"env", "envFrom"} & one().container().keys() == set()


@option("extraVolumes", "extraVolumeMounts")
def volumes_are_mounted_in_all_pods() -> None:
    for pod in everything().pods():
        assert {"name": "push-gateway", "secret": {"secretName": "push-gateway"}} in pod["spec"]["volumes"]
        mounts = pod["spec"]["containers"][0]["volumeMounts"]
        assert {"name": "push-gateway", "mountPath": "/etc/push-gateway", "readOnly": True} in mounts


@option("podLabels", "podAnnotations")
def pods_have_labels_and_annotations_of_the_operator_s() -> None:
    for pod in everything().pods():
        assert labels(pod)["team"] == "metrics"
        assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "true"
    assert "annotations" not in one().pod()["metadata"]


@option("nodeSelector", "tolerations", "affinity", "priorityClassName")
def pods_are_placed_as_the_operator_says() -> None:
    given = yaml.safe_load(values_file("everything").read_text())
    for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert all(pod["spec"][name] == given[name] for pod in everything().pods())
        assert name not in one().pod()["spec"]


@option("topologySpreadConstraints")
def pods_are_spread_among_those_of_the_release_unless_others_are_selected() -> None:
    assert "topologySpreadConstraints" not in one().pod()["spec"]
    given = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    other = {**given, "labelSelector": {"matchLabels": {"team": "metrics"}}}
    pod = one(topologySpreadConstraints=[given, other]).pod()
    own, others = pod["spec"]["topologySpreadConstraints"]
    assert own["labelSelector"]["matchLabels"].items() <= labels(pod).items()
    assert {**own, "labelSelector": None} == {**given, "labelSelector": None}
    assert others == other


@option("commonLabels")
def every_object_has_the_labels() -> None:
    assert all(labels(document)["cost-center"] == "telemetry" for document in everything().documents)


@option("prometheusRule.enabled", "prometheusRule.labels")
def the_alerts_are_those_of_this_repository() -> None:
    assert one().find("PrometheusRule") == []
    rule = one(prometheusRule={"enabled": True, "labels": {"release": "prometheus"}}).one("PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    assert labels(rule)["release"] == "prometheus"


@option("prometheusRule.runbookBase")
def alerts_link_to_where_the_operator_hosts_the_runbooks() -> None:
    groups = everything().one("PrometheusRule")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    links = [rule["annotations"]["runbook_url"] for rule in rules]
    assert links
    assert all(link.startswith("https://prio.example/docs/how-to/runbooks.md#") for link in links)


@option("grafanaDashboard.enabled", "grafanaDashboard.labels", "grafanaDashboard.annotations")
def the_dashboard_is_that_of_this_repository() -> None:
    assert one().find("ConfigMap") == []
    found = everything().one("ConfigMap", "prio-scheduler-dashboard")
    assert found["data"]["workflow-manager.json"] == (CHART / "files" / "workflow-manager.json").read_text()
    assert labels(found)["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"k8s-sidecar-target-directory": "prio"}


@option("serviceMonitor.enabled", "serviceMonitor.interval", "serviceMonitor.labels")
def serve_is_scraped_through_its_service() -> None:
    assert served().find("ServiceMonitor") == []
    monitor, service = everything().one("ServiceMonitor"), everything().one("Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels(service).items()
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]
    assert labels(monitor)["release"] == "prometheus"


@pytest.mark.parametrize("path", OPTIONS)
def test_option(path: str) -> None:
    OPTIONS[path]()


@pytest.mark.parametrize("mode", ["cronjob", "serve"])
def test_an_option_that_is_null_breaks_nothing(mode: str) -> None:
    nulls = [f"{path}=null" for path in OPTIONS if path not in ("instances", "mode", "image.repository")]
    rendered = render(with_instance(mode=mode), flags=["--set", ",".join(nulls)])
    assert "--ingestor-input=gs://na-ingestor-1" in flags(rendered) or mode == "serve"


def test_every_option_has_a_test() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert sorted(set(_paths(values))) == sorted(OPTIONS)


def test_no_flag_that_the_chart_sets_can_be_given_to_serve_a_second_time() -> None:
    own = {option.name for option in FLEET.options} | {"listen"}
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    offered = schema["properties"]["serve"]["properties"]["flags"]["properties"]
    names = {option.name for _, options in serve.FLAGS.groups for option in options}
    assert set(offered) == names - own | {"shard-by"}


def _paths(values: dict[str, Any], above: str = "") -> Iterator[str]:
    """The options, which are the leaves, or what is below a key of the first two levels."""
    for key, value in values.items():
        if isinstance(value, dict) and value and above.count(".") < 1 + above.startswith("serve."):
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
