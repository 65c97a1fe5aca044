"""A file of many instances: one grammar with the command line, and all mistakes at once, with their lines."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from workflow_manager.config.fleet_flags import wants_many
from workflow_manager.core.shards import Shard
from workflow_manager.errors import ConfigError
from workflow_manager.fleet import Fleet, open_instance, read_fleet
from workflow_manager.queues.kubernetes import KubernetesJobs

HEAD = """\
defaults:
  task-queue-kind: memory
  intake-tasks-topic: intake
  aggregate-tasks-topic: aggregate
  grace-period: 2h
"""
BUCKETS = (
    "ingestor-input: memory://{0}-i, own-validation-input: memory://{0}-o, peer-validation-input: memory://p"
)


def instance(name: str, *more: str) -> str:
    return f"  {name}: {{{', '.join([BUCKETS.format(name), *more])}}}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fleet.yaml"


def read(path: Path, text: str, *arguments: str, **environ: str) -> Fleet:
    path.write_text(text)
    return read_fleet("run", "", ["--config", str(path), *arguments], environ)


def problems(path: Path, text: str, *arguments: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(path, text, *arguments, **environ)
    return [str(mistake).replace(f"{path}:", "L") for mistake in raised.value.mistakes]


def values(fleet: Fleet) -> dict[str, Mapping[str, object]]:
    return {one.name: one.values for one in fleet.instances}


def test_an_instance_has_the_files_defaults_and_its_own_values(path: Path) -> None:
    found = values(
        read(path, f"{HEAD}instances:\n{instance('a')}{instance('b', 'grace-period: 30m', 'is-first: true')}")
    )
    assert list(found) == ["a", "b"]
    assert (found["a"]["grace-period"], found["a"]["is-first"]) == (timedelta(hours=2), False)
    assert (found["b"]["grace-period"], found["b"]["is-first"]) == (timedelta(minutes=30), True)
    assert found["b"]["ingestor-input"] == "memory://b-i"


def test_the_command_line_goes_before_the_file_and_the_file_before_the_environment(path: Path) -> None:
    text = f"{HEAD}instances:\n{instance('a')}"
    variables = {"WORKFLOW_MANAGER_GRACE_PERIOD": "9h", "WORKFLOW_MANAGER_INTAKE_MAX_AGE": "7h"}
    found = values(read(path, text, "--aggregation-period=1h", "--dry-run", **variables))["a"]
    assert found["grace-period"] == timedelta(hours=2)
    assert found["intake-max-age"] == timedelta(hours=7)
    assert (found["aggregation-period"], found["dry-run"]) == (timedelta(hours=1), True)
    assert values(read(path, text, "--grace-period=3h"))["a"]["grace-period"] == timedelta(hours=3)


def test_values_are_the_text_in_the_file_whatever_yaml_would_make_of_them(path: Path) -> None:
    more = ("aggregation-override-timestamp: 202011010000", "gcp-project-id: 012", "max-list-workers: 7")
    found = values(read(path, f"{HEAD}instances:\n{instance('a', *more, 'k8s-namespace: null')}"))["a"]
    assert found["aggregation-override-timestamp"] == datetime(2020, 11, 1, tzinfo=UTC)
    assert (found["gcp-project-id"], found["max-list-workers"]) == ("012", 7)
    assert "k8s-namespace" not in found
    assert "L7: a: is-first='no': not a boolean (true or false)" in problems(
        path, f"{HEAD}instances:\n{instance('a', 'is-first: no')}"
    )


def test_every_mistake_is_found_at_once_with_its_line(path: Path) -> None:
    text = """\
default: {}
defaults:
  task-queue-kind: memory
  grace-perod: 1h
  log-level: debug
instances:
  "-a":
    ingestor-input: nonsense
    own-validation-input: memory://o
    own-validation-input: memory://o2
    peer-validation-input: [memory://p]
    intake-tasks-topic: intake
    aggregate-tasks-topic: {environment: X}
  b:
    task-queue-kind: memry
  c: 7
  c:
"""
    assert problems(path, text, "--wrkers=3") == [
        "--wrkers: unknown flag",
        "L1: unknown key 'default'; did you mean defaults?",
        "L17: instances: c: is given twice; the first is in line 16",
        (
            "L7: '-a' is not a valid name of an instance: up to 63 letters, digits, '-', '_' and '.', "
            "the first and the last a letter or digit"
        ),
        "L10: -a: own-validation-input: is given twice; the first is in line 9",
        "L11: -a: peer-validation-input: takes one value, or a reference: {env: NAME} or {file: PATH}",
        "L13: -a: aggregate-tasks-topic: is not a reference; write {env: NAME} or {file: PATH}",
        "L16: c: must have keys with values",
        "L4: defaults: grace-perod: unknown key; did you mean grace-period?",
        ("L5: defaults: log-level: belongs to the process, not to an instance; set it on the command line"),
        (
            "L8: -a: ingestor-input='nonsense': not a valid bucket URL: use "
            "s3://{region}/{name}, gs://{name} or file:///{directory}"
        ),
        "L7: -a: peer-validation-input: is required (or set WORKFLOW_MANAGER_PEER_VALIDATION_INPUT)",
        "L7: -a: aggregate-tasks-topic: is required (or set WORKFLOW_MANAGER_AGGREGATE_TASKS_TOPIC)",
        (
            "L15: b: task-queue-kind='memry': unknown kind of queue; use one of: aws-sns, aws-sqs, "
            "gcp-pubsub, kubernetes-jobs, memory, nats, rabbitmq, redis, sqlite; did you mean memory?"
        ),
        *(
            f"L16: c: {flag}: is required (or set WORKFLOW_MANAGER_{flag.replace('-', '_').upper()})"
            for flag in (
                *("ingestor-input", "own-validation-input", "peer-validation-input"),
                *("intake-tasks-topic", "aggregate-tasks-topic"),
            )
        ),
    ]


def test_a_mistake_that_only_opening_finds_names_its_line_too(path: Path) -> None:
    fleet = read(path, f"{HEAD}instances:\n{instance('a', 'peer-validation-identity: me')}")
    (broken,) = read(path, f"{HEAD}  aggregation-period: 90s\ninstances:\n{instance('a')}").instances
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with pytest.raises(ConfigError) as raised, ExitStack() as opened:
        open_instance(broken, {}, now, opened)
    assert str(raised.value).startswith(f"{path}:6: defaults: aggregation-period='1m30s': ")
    assert fleet.instances


def test_what_is_no_yaml_is_said_with_the_line(path: Path) -> None:
    assert problems(path, "defaults:\n  a: [\n") == [
        "L3: is not valid YAML: did not find expected node content"
    ]
    assert problems(path, "- a\n") == ["L1: must have keys with values"]
    assert problems(path, "") == ["L1: names no instances; list them under 'instances:'"]
    assert problems(path, "instances:\n  a: !!python/object:os.system {x: 1}\n")[0].startswith(
        "L2: a: x: unknown key"
    )
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_fleet("run", "", ["--config", str(path)], {})
    with pytest.raises(ConfigError, match="No such file"):
        read_fleet("run", "", ["--config", f"{path}x"], {})


def test_secrets_come_from_the_environment_or_a_file_and_are_never_shown(path: Path) -> None:
    (path.parent / "secret").write_text("http://user:hush@gateway\n")
    more = ("push-gateway: {file: secret}", "k8s-namespace: {env: NAMESPACE}")
    found = values(read(path, f"{HEAD}instances:\n{instance('a', *more)}", NAMESPACE="na"))["a"]
    assert (found["push-gateway"], found["k8s-namespace"]) == ("http://user:hush@gateway", "na")
    bad = ("grace-period: {env: HUSH}", "push-gateway: {file: none}", "ingestor-label: {env: NONE}")
    assert problems(path, f"{HEAD}instances:\n{instance('a', *bad)}", HUSH="secret") == [
        "L7: a: push-gateway: cannot read the file 'none': No such file or directory",
        "L7: a: ingestor-label: the environment variable NONE is not set",
        "L7: a: grace-period: not a duration: numbers with units, such as 8h, 1h30m, 90s or 500ms",
    ]


def test_instances_are_chosen_by_name(path: Path) -> None:
    text = f"{HEAD}instances:\n{''.join(map(instance, ('na-1', 'na-2', 'eu-1', 'eu.1')))}"
    assert list(values(read(path, text, "--instance", "na-*", "--instance=eu.1"))) == ["na-1", "na-2", "eu.1"]
    assert list(values(read(path, text, "--instance=na-1,eu-*"))) == ["na-1", "eu-1"]
    assert problems(path, text, "--instance=na1") == [
        "--instance='na1': no instance has this name; did you mean na-1?"
    ]


def test_two_instances_may_not_keep_their_markers_in_one_bucket(path: Path) -> None:
    text = f"{HEAD}instances:\n{instance('a')}{instance('b').replace('b-o', 'a-o')}"
    assert problems(path, text) == [
        "L8: b: own-validation-input='memory://a-o': is the bucket of a too; give each instance its own"
    ]


def test_shards_share_out_the_instances(path: Path) -> None:
    names = [f"i{number}" for number in range(40)]
    text = f"{HEAD}instances:\n{''.join(map(instance, names))}"
    shares = [list(values(read(path, text, f"--shard={index}/3"))) for index in range(3)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert all(shares)
    by_aggregation = read(path, text, "--shard=1/3", "--shard-by=aggregation")
    assert (len(by_aggregation.instances), by_aggregation.shard) == (40, Shard(1, 3))
    assert by_aggregation.by_aggregation


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"JOB_COMPLETION_INDEX": "2", "HOSTNAME": "job-2-x7k2p"}, Shard(2, 4)),
        ({"HOSTNAME": "workflow-manager-3"}, Shard(3, 4)),
        ({"HOSTNAME": "elsewhere", "POD_NAME": "workflow-manager-0"}, Shard(0, 4)),
    ],
)
def test_a_pod_finds_its_shard(path: Path, environ: dict[str, str], expected: Shard) -> None:
    text = f"{HEAD}instances:\n{instance('a')}"
    assert read(path, text, "--shard=auto", "--shard-count=4", **environ).shard == expected


@pytest.mark.parametrize(
    "environ", [{}, {"HOSTNAME": "pod"}, {"HOSTNAME": "pod-4"}, {"JOB_COMPLETION_INDEX": "9"}]
)
def test_a_pod_that_cannot_find_its_shard_does_nothing(path: Path, environ: dict[str, str]) -> None:
    (problem,) = problems(
        path, f"{HEAD}instances:\n{instance('a')}", "--shard=auto", "--shard-count=4", **environ
    )
    assert "set --shard=I/4" in problem
    (problem,) = problems(path, f"{HEAD}instances:\n{instance('a')}", "--shard=auto", **environ)
    assert problem == "--shard='auto': requires --shard-count"


def test_a_mistake_on_the_command_line_is_told_once(path: Path) -> None:
    (problem,) = problems(path, f"{HEAD}instances:\n{instance('a')}{instance('b')}", "--shard=4/4")
    assert problem.startswith("--shard='4/4': not a shard")


def test_a_command_without_a_queue_requires_only_buckets(path: Path) -> None:
    path.write_text(f"instances:\n{instance('a')}  b: {{ingestor-input: memory://b, redis-url: x}}\n")
    with pytest.raises(ConfigError) as raised:
        read_fleet("status", "", ["--config", str(path)], {}, queue=False)
    assert [str(mistake).rpartition(": ")[0].rpartition(": ")[2] for mistake in raised.value.mistakes] == [
        "own-validation-input",
        "peer-validation-input",
    ]


@pytest.mark.parametrize("words", [False, True])
def test_words_are_mistakes_unless_a_command_takes_them(path: Path, words: bool) -> None:  # noqa: FBT001 (the table's)
    path.write_text(f"{HEAD}instances:\n{instance('a')}")
    line = ["agg", "--config", str(path), "2026-11-22T09:00Z"]
    if words:
        fleet = read_fleet("explain", "", line, {}, words=words)
        assert fleet.process.words == ["agg", "2026-11-22T09:00Z"]
        return
    with pytest.raises(ConfigError) as raised:
        read_fleet("run", "", line, {}, words=words)
    assert "unexpected word 'agg'" in str(raised.value.mistakes[0])


@pytest.mark.parametrize("text", ["4/4", "1", "-1/3", "a/b", "0/0", "1/99999"])
def test_what_is_no_shard(path: Path, text: str) -> None:
    assert "not a shard" in problems(path, f"{HEAD}instances:\n{instance('a')}", f"--shard={text}")[0]


def test_the_file_is_named_on_the_command_line_or_in_the_environment() -> None:
    assert wants_many(["--dry-run", "--config=x"], {})
    assert wants_many(["-config", "x"], {})
    assert wants_many([], {"WORKFLOW_MANAGER_CONFIG": "x"})
    assert not wants_many(["--ingestor-input", "config"], {})


def test_an_instance_whose_tasks_are_jobs_needs_no_topics_and_its_jobs_are_labelled(
    path: Path, tmp_path: Path
) -> None:
    job = '{"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}'
    (tmp_path / "job.json").write_text(job)
    config = '{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}], '
    config += '"clusters": [{"name": "c", "cluster": {"server": "https://localhost:1"}}]}'
    (tmp_path / "config").write_text(config)
    jobs = (
        "task-queue-kind: kubernetes-jobs",
        f"kubernetes-job-template-intake: {tmp_path}/job.json",
        f"kubernetes-job-template-aggregate: {tmp_path}/job.json",
        f"kubernetes-kubeconfig: {tmp_path}/config",
        "k8s-namespace: na",
    )
    (found,) = read(path, f"instances:\n{instance('a', *jobs)}").instances
    assert found.values["intake-tasks-topic"] == "intake"
    assert found.values["aggregate-tasks-topic"] == "aggregate"
    with ExitStack() as opened:
        queue = open_instance(found, {}, datetime.now(UTC), opened).queue
        assert isinstance(queue, KubernetesJobs)
        assert queue._labels == {"locality": "na"}
        assert queue._marker_bucket == "memory://a-o"
