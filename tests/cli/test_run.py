"""The installed command as an operator meets it: good input, bad input, and what it leaves behind."""

import json
import os
import pstats
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from servers.pushgateway import pushed, pushgateway
from support.command import Deployment, call, metrics
from workflow_manager.assembly import every_flag
from workflow_manager.cli import check, demo, run_output, sample, tasks
from workflow_manager.cli.main import COMMANDS
from workflow_manager.config.flags import environment_twin
from workflow_manager.config.run_flags import GROUPS, Group
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.report.run_document import schema

NOW = (
    "--now",
    "2026-11-23T04:20:00Z",
    "--intake-max-age",
    "24h",
    "--aggregation-period",
    "8h",
    "--grace-period",
    "4h",
    "--batch-ids",
    "any",
)
IN_BOTH = "agg/2026/11/22/17/05"


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    deployment = Deployment(installed, tmp_path)
    deployment.put_batch(f"{IN_BOTH}/b")
    deployment.put("peer", f"{IN_BOTH}/b.validity_0.sig")
    return deployment


def changed(flags: list[str], **values: str) -> list[str]:
    """The flags with other values for some."""
    changed = list(flags)
    for name, value in values.items():
        changed[changed.index(f"--{name.replace('_', '-')}") + 1] = value
    return changed


class TestGoodInput:
    def test_one_pass_publishes_marks_and_says_so(self, deployment: Deployment) -> None:
        outcome = deployment.run(*NOW)
        assert outcome.status == 0
        assert len(deployment.tasks("intake")) == len(deployment.tasks("aggregate")) == 1
        assert len(deployment.markers()) == 2
        finished = outcome.event("run.finished")
        assert finished["succeeded"] is True
        assert finished["intake_tasks_scheduled"] == finished["aggregation_tasks_scheduled"] == 1

    def test_run_need_not_be_said_and_every_flag_has_a_twin_in_the_environment(
        self, deployment: Deployment
    ) -> None:
        flags = [*deployment.flags(), *NOW]
        pairs = zip(flags[::2], flags[1::2], strict=True)
        environ = {f"WORKFLOW_MANAGER_{flag[2:].replace('-', '_').upper()}": value for flag, value in pairs}
        assert call(deployment.command, [], environ).status == 0
        assert len(deployment.markers()) == 2

    def test_a_dry_run_tells_each_task_and_has_no_side_effect(
        self, deployment: Deployment, tmp_path: Path
    ) -> None:
        before = sorted(tmp_path.rglob("*"))
        outcome = deployment.run(
            *NOW, "--dry-run", "--metrics-file", str(tmp_path / "m.prom"), "--push-gateway", "127.0.0.1:1"
        )
        assert outcome.status == 0
        assert sorted(tmp_path.rglob("*")) == before
        told = [event for event in outcome.events if event["event"] == "task.would_be_scheduled"]
        assert [event["marker"] for event in told] == [
            "task-markers/intake-agg-2026-11-22-17-05-b",
            "task-markers/aggregate-agg-2026-11-22-16-00-2026-11-23-00-00",
        ]

    def test_flags_of_other_kinds_of_queue_may_be_given_too(self, deployment: Deployment) -> None:
        outcome = deployment.run(*NOW, "--gcp-project-id", "", "--aws-sns-region=", "-aws-sns-identity", "")
        assert outcome.status == 0, outcome.stderr

    def test_debug_logs_say_what_was_skipped_and_why(self, deployment: Deployment) -> None:
        deployment.run(*NOW)
        outcome = deployment.run(*NOW, "--log-level", "debug")
        assert outcome.event("intake.skipped")["reason"] == "marker"
        assert outcome.event("aggregation.skipped")["reason"] == "marker"

    def test_logs_can_be_text_and_colourless(self, deployment: Deployment) -> None:
        outcome = deployment.run(*NOW, "--log-format", "text")
        assert "INFO    scheduled the intake of batch 'b' of 'agg' at 2026/11/22/17/05" in outcome.stderr
        assert "\x1b" not in outcome.stderr

    def test_profiles_are_written(self, deployment: Deployment, tmp_path: Path) -> None:
        cpu, memory = tmp_path / "cpu.prof", tmp_path / "memory.txt"
        assert deployment.run(*NOW, "--cpuprofile", str(cpu), "--memprofile", str(memory)).status == 0
        functions = {name.rpartition(".")[2] for _, _, name in pstats.Stats(str(cpu)).stats}  # type: ignore[attr-defined] # undocumented, but what tools read
        assert {"fold_parts", "publish", "put"} <= functions
        stacks = memory.read_text().splitlines()
        assert all(line.rpartition(" ")[2].isdigit() for line in stacks)
        assert any("scheduler.py" in line for line in stacks)


class TestOnATerminal:
    def test_there_is_a_table_and_colour_unless_no_color_is_set(self, deployment: Deployment) -> None:
        coloured = on_a_terminal(deployment, {"NO_COLOR": ""})
        assert "aggregation task" in coloured
        assert "1 batch scheduled" in coloured
        assert "\x1b[36mINFO" in coloured
        assert "\x1b[" not in on_a_terminal(deployment, {"NO_COLOR": "1"})


def on_a_terminal(deployment: Deployment, environ: dict[str, str]) -> str:
    """What a run shows on a terminal of its own."""
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        [deployment.command, "run", *deployment.flags(), *NOW],
        stdout=terminal,
        stderr=terminal,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environ},
    )
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 4096):
            shown += chunk
    except OSError:
        pass  # the terminal is gone when the process is
    os.close(controller)
    assert process.wait() == 0
    return shown.decode()


class TestBadInput:
    def test_all_mistakes_are_told_at_once_each_with_its_flag(self, deployment: Deployment) -> None:
        arguments = [
            *changed(deployment.flags(), ingestor_input="ftp://x/y", task_queue_kind="carrier-pigeon"),
            *(
                "--intake-max-age",
                "90",
                "--aggregation-override-timestamp",
                "2026-11-20",
                "--max-enqueue-workers=0",
            ),
            *(
                "--now",
                "yesterday",
                "--is-first=maybe",
                "--aggregation-perod",
                "8h",
                "--push-gateway",
                "ftp://x",
            ),
        ]
        misspelt = {"WORKFLOW_MANAGER_INTAKE_MAX_AGGE": "24h"}
        outcome = call(deployment.command, ["run", *arguments], misspelt)
        assert outcome.status == 2
        assert "Traceback" not in outcome.stderr
        for told in (
            "--aggregation-perod: unknown flag; did you mean --aggregation-period?",
            "--intake-max-age='90': not a duration",
            "--aggregation-override-timestamp='2026-11-20': not a time",
            "--max-enqueue-workers='0': not a positive whole number",
            "--now='yesterday': not an RFC 3339 time",
            "--is-first='maybe': not a boolean (true or false)",
            "--push-gateway: not a valid Pushgateway URL",
            "--task-queue-kind='carrier-pigeon': unknown kind of queue; use one of: ",
            "--ingestor-input='ftp://x/y': 'ftp' is not a known scheme of a bucket URL",
            "_INTAKE_MAX_AGGE: unknown variable; did you mean WORKFLOW_MANAGER_INTAKE_MAX_AGE?",
        ):
            assert told in outcome.stderr, outcome.stderr

    def test_what_is_missing_is_named(self, installed: Path) -> None:
        outcome = call(installed, ["run"])
        assert outcome.status == 2
        for flag in ("ingestor-input", "own-validation-input", "peer-validation-input", "task-queue-kind"):
            assert f"--{flag}: is required" in outcome.stderr

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            (["--is-first", "true", "--intake-max-age", "24h"], "--is-first true: a boolean takes its value"),
            (["--intake-max-age=-1m"], "--intake-max-age='-1m': must not be negative"),
            (["--grace-period=-1m"], "--grace-period='-1m': must not be negative"),
            (["--aggregate-tasks-topic=intake"], "is also the topic for intake tasks"),
            (
                ["--now=2026-11-23T04:20:00Z", "--aggregation-override-timestamp=202611230320"],
                "--aggregation-override-timestamp='202611230320': its window ends at 2026-11-23T06:00Z",
            ),
        ],
    )
    def test_what_would_mislead_is_refused_before_any_work(
        self, deployment: Deployment, flags: list[str], told: str
    ) -> None:
        outcome = deployment.run(*flags)
        assert outcome.status == 2
        assert told in outcome.stderr
        assert deployment.markers() == set()
        assert not deployment.database.exists()

    @pytest.mark.parametrize("slash", ["", "/", "/.", "/../own"])
    @pytest.mark.parametrize("bucket", ["ingestor_input", "peer_validation_input"])
    def test_one_bucket_for_two_purposes_is_refused(
        self, deployment: Deployment, tmp_path: Path, bucket: str, slash: str
    ) -> None:
        flags = changed(deployment.flags(), **{bucket: f"file://{tmp_path}/own{slash}"})
        for command in ("run", "check"):
            outcome = call(deployment.command, [command, *flags])
            assert outcome.status == 2
            assert f"file://{tmp_path}/own': is also the bucket of --" in outcome.stderr

    def test_variables_that_kubernetes_makes_for_a_service_are_left_alone(
        self, deployment: Deployment
    ) -> None:
        made = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "METRICS_PORT"]
        made += [f"PORT_9090_TCP{ending}" for ending in ("", "_PROTO", "_PORT", "_ADDR")]
        ours = ["REQUIRE_EMULATORS", "KILLS", "PAIRS", "EXAMPLES", "ALLOW_SKIP"]
        environ = {f"WORKFLOW_MANAGER_{name}": "x" for name in [*made, *ours]}
        assert deployment.run(*NOW, environ=environ).status == 0

    def test_variables_of_other_commands_and_kinds_of_queue_are_left_alone(
        self, deployment: Deployment
    ) -> None:
        others = [tasks.COMMAND.every_flag(), sample.FLAGS, demo.FLAGS, every_flag("check", "", check.OUTPUT)]
        own = [*GROUPS, run_output.OUTPUT, Group("", SqliteQueue.options)]
        ours = {environment_twin(option.name) for group in own for option in group.options}
        environ = {name: "x" for command in others for name in command.twins().values() if name not in ours}
        assert "WORKFLOW_MANAGER_SEED" in environ
        assert "WORKFLOW_MANAGER_AWS_SNS_REGION" in environ
        assert deployment.run(*NOW, environ=environ).status == 0

    def test_a_window_without_minutes_is_refused(self, deployment: Deployment) -> None:
        outcome = deployment.run("--aggregation-period", "90s")
        assert outcome.status == 2
        assert "--aggregation-period='1m30s': must be one or more whole minutes" in outcome.stderr

    def test_a_lease_that_others_would_ignore_is_refused(self, deployment: Deployment) -> None:
        outcome = deployment.run("--lease-duration", "61m")
        assert outcome.status == 2
        assert "--lease-duration='61m': must not exceed 1h: other runs ignore longer leases" in outcome.stderr
        assert deployment.run("--lease-duration", "1h").status == 0

    @pytest.mark.parametrize(
        "arguments", [["rnu"], ["run", "extra"], ["tasks"], ["tasks", "pull"], ["demo", "x"]]
    )
    def test_words_that_mean_nothing_are_refused(self, installed: Path, arguments: list[str]) -> None:
        outcome = call(installed, arguments)
        assert outcome.status == 2
        assert "Traceback" not in outcome.stderr

    @pytest.mark.parametrize("bucket", ["ingestor_input", "own_validation_input"])
    def test_a_bucket_that_does_not_exist_fails_the_run(self, deployment: Deployment, bucket: str) -> None:
        flags = changed(deployment.flags(), **{bucket: "file:///no/such/directory"})
        outcome = call(deployment.command, ["run", *flags, *NOW])
        assert outcome.status == 1
        assert "file:///no/such/directory" in outcome.stderr
        assert "create the directory, or correct the bucket's URL" in outcome.stderr

    def test_without_the_peers_bucket_batches_are_taken_in_and_the_run_fails(
        self, deployment: Deployment
    ) -> None:
        flags = changed(deployment.flags(), peer_validation_input="file:///no/such/directory")
        outcome = call(deployment.command, ["run", *flags, *NOW, "--log-level=error"])
        assert outcome.status == 1
        assert [event["event"] for event in outcome.events] == ["part.failed", "run.finished"]
        assert "1 failure (1 listing)" in outcome.events[-1]["message"]
        assert len(deployment.tasks("intake")) == 1
        assert deployment.tasks("aggregate") == []

    def test_a_bucket_that_is_a_file_fails_the_run(self, deployment: Deployment, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        outcome = call(
            deployment.command,
            ["run", *changed(deployment.flags(), ingestor_input=f"file://{tmp_path}/file")],
        )
        assert outcome.status == 1
        assert "Not a directory" in outcome.stderr

    def test_a_queue_that_cannot_be_written_leaves_all_tasks_due(self, deployment: Deployment) -> None:
        flags = changed(deployment.flags(), sqlite_path="/no/such/directory/tasks.db")
        outcome = call(deployment.command, ["run", *flags, *NOW])
        assert outcome.status == 1
        assert "check that the directory exists" in outcome.stderr
        assert deployment.markers() == set()

    def test_a_full_disk_for_the_queue_loses_nothing(self, deployment: Deployment, full_disk: Path) -> None:
        for number in range(400):
            deployment.put_batch(f"{IN_BOTH}/batch-{number}")
        outcome = call(
            deployment.command,
            ["run", *changed(deployment.flags(), sqlite_path=str(full_disk / "t.db")), *NOW],
        )
        assert outcome.status == 1
        assert "free space on the disk" in outcome.stderr
        assert deployment.run(*NOW).status == 0
        assert len(deployment.tasks("intake")) + _published(outcome.stderr) == 401

    @pytest.mark.parametrize(
        "name",
        [
            "sp ace",
            "ünï💶",
            "per%cent",
            "bi\u202edi",
            "line\u2028separator",
            "-dash",
            "x" * 200,
            "quote'\"",
            "back\\slash",
        ],
    )
    def test_batches_and_aggregations_with_odd_names_are_scheduled(
        self, installed: Path, tmp_path: Path, name: str
    ) -> None:
        deployment = Deployment(installed, tmp_path)
        short = name[:60]
        deployment.put_batch(f"{short}/2026/11/22/17/05/{short}")
        outcome = deployment.run(*NOW)
        assert outcome.status == 0, outcome.stderr
        (task,) = deployment.tasks("intake")
        assert (task["aggregation-id"], task["batch-id"]) == (short, short)
        assert deployment.run(*NOW).event("run.finished")["intake_tasks_skipped_due_to_marker"] == 1

    def test_a_batch_whose_marker_would_have_too_long_a_name_is_counted_and_not_repeated(
        self, deployment: Deployment
    ) -> None:
        deployment.put_batch(f"{IN_BOTH}/{'x' * 240}")
        outcome = deployment.run(*NOW)
        assert outcome.status == 0
        assert len(deployment.tasks("intake")) == 1
        assert outcome.event("objects.malformed")["count"] == 1

    def test_names_that_are_not_utf_8_are_counted_and_all_else_goes_on(
        self, deployment: Deployment, tmp_path: Path
    ) -> None:
        hour = tmp_path / "ingestion" / "agg" / "2026" / "11" / "22" / "17" / "05"
        (hour / os.fsdecode(b"\xff.batch")).write_bytes(b"")
        (tmp_path / "ingestion" / os.fsdecode(b"\xfe") / "2026").mkdir(parents=True)
        (tmp_path / "ingestion" / os.fsdecode(b"\xfe") / "2026" / "x").write_bytes(b"")
        outcome = deployment.run(*NOW)
        assert outcome.status == 0, outcome.stderr
        assert len(deployment.tasks("intake")) == 1
        assert outcome.event("run.finished")["malformed_objects_found"] == 2

    @pytest.mark.parametrize(("url", "extra"), [("s3://us-west-1/bucket", "aws"), ("gs://bucket", "gcp")])
    def test_a_cloud_bucket_without_its_extra_names_the_extra(
        self, deployment: Deployment, url: str, extra: str
    ) -> None:
        outcome = call(deployment.command, ["run", *changed(deployment.flags(), ingestor_input=url)])
        assert outcome.status == 2
        assert f"pip install 'prio-workflow-manager[{extra}]'" in outcome.stderr
        assert "Traceback" not in outcome.stderr


def _published(log: str) -> int:
    return sum('"event": "task.scheduled"' in line and '"batch_id"' in line for line in log.splitlines())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pushgateway(tmp_path_factory.mktemp("pushgateway")) as url:
        yield url


class TestMetrics:
    def test_a_run_pushes_and_a_failed_one_keeps_the_last_success(
        self, deployment: Deployment, gateway: str
    ) -> None:
        to_gateway = ("--push-gateway", gateway, "--k8s-namespace", "na", "--ingestor-label", "i")
        assert deployment.run(*NOW, *to_gateway).status == 0
        succeeded = metrics(pushed(gateway))
        assert succeeded["workflow_manager_intake_tasks_scheduled"]["agg"] == 1
        flags = changed(deployment.flags(), sqlite_path="/no/such/directory/tasks.db")
        deployment.put_batch(f"{IN_BOTH}/another")
        assert call(deployment.command, ["run", *flags, *NOW, *to_gateway]).status == 1
        failed = metrics(pushed(gateway))
        assert (
            failed["workflow_manager_last_success_seconds"]
            == succeeded["workflow_manager_last_success_seconds"]
        )
        assert failed["workflow_manager_last_failure_seconds"][""] > 0

    @pytest.mark.parametrize(
        "flags", [("--push-gateway", "http://127.0.0.1:1"), ("--metrics-file", "/no/such/directory/m.prom")]
    )
    def test_metrics_that_cannot_be_delivered_have_a_status_of_their_own(
        self, deployment: Deployment, flags: tuple[str, str]
    ) -> None:
        outcome = deployment.run(*NOW, *flags)
        assert outcome.status == 3
        assert "tasks are not affected" in outcome.event("metrics.failed")["error"]
        assert outcome.event("run.finished")["succeeded"] is True
        assert len(deployment.markers()) == 2

    def test_a_failure_goes_before_metrics_that_cannot_be_delivered(self, deployment: Deployment) -> None:
        flags = changed(deployment.flags(), sqlite_path="/no/such/directory/tasks.db")
        arguments = ["run", *flags, *NOW, "--push-gateway", "http://127.0.0.1:1"]
        assert call(deployment.command, arguments).status == 1

    def test_an_outage_is_told_with_what_to_check(self, deployment: Deployment) -> None:
        outcome = deployment.run(*NOW, "--push-gateway", "http://127.0.0.1:1")
        assert "is the Pushgateway up" in outcome.event("metrics.failed")["error"]


class TestInterruption:
    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
    )
    def test_a_signal_ends_the_run_in_order(self, deployment: Deployment, number: int, status: int) -> None:
        for batch in range(3000):
            deployment.put_batch(f"{IN_BOTH}/{batch}")
        process = subprocess.Popen(
            ["env", "--default-signal=HUP", deployment.command, "run", *deployment.flags(), *NOW],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        while '"task.scheduled"' not in process.stderr.readline():
            pass
        process.send_signal(number)
        process.stderr.read()
        process.stderr.close()
        assert process.wait() == status
        published = len(deployment.tasks("intake")) + len(deployment.tasks("aggregate"))
        assert published == len(deployment.markers())


class TestHelp:
    def test_version(self, installed: Path) -> None:
        outcome = call(installed, ["--version"])
        assert outcome.status == 0
        assert outcome.stdout.startswith("workflow-manager 0.")

    def test_version_of_everything(self) -> None:
        shown = call(Path(sys.executable).with_name("workflow-manager"), ["--version", "--verbose"]).stdout
        names = {line.split()[0] for line in shown.splitlines()}
        assert {
            "workflow-manager",
            "Python",
            "PycURL",
            "libcurl",
            "OpenSSL",
            "botocore",
            "google-auth",
        } <= names

    def test_version_without_any_extra(self, installed: Path) -> None:
        shown = call(installed, ["--version", "--verbose"]).stdout
        assert re.search(r"^pycurl +not installed$", shown, re.MULTILINE)

    def test_nothing_else_follows_version(self, installed: Path) -> None:
        assert call(installed, ["--version", "--quiet"]).status == 2

    def test_help_lists_the_commands(self, installed: Path) -> None:
        shown = call(installed, ["--help"]).stdout
        assert all(f"  {name}" in shown for name in COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_help(self, installed: Path, command: str) -> None:
        outcome = call(installed, [command, "--help"])
        assert outcome.status == 0
        assert f"usage: workflow-manager {command}" in outcome.stdout


def test_log_lines_are_json(deployment: Deployment) -> None:
    for line in deployment.run(*NOW).stderr.splitlines():
        assert {"severity", "timestamp", "message", "event"} <= set(json.loads(line))


def test_every_log_line_has_the_labels_of_the_deployment(deployment: Deployment) -> None:
    outcome = deployment.run(*NOW, "--k8s-namespace=na", "--ingestor-label=ingestor-1", "--log-level=debug")
    assert len(outcome.events) > 3
    assert {(event["locality"], event["ingestor"]) for event in outcome.events} == {("na", "ingestor-1")}


class TestJson:
    def test_the_report_is_one_document_on_standard_output(self, deployment: Deployment) -> None:
        outcome = deployment.run(*NOW, "--json", "--k8s-namespace=na")
        assert outcome.status == 0
        report = json.loads(outcome.stdout)
        jsonschema.validate(report, schema())
        assert (report["exit_status"], report["succeeded"], report["locality"]) == (0, True, "na")
        assert report["aggregations"]["agg"]["intake_tasks_scheduled"] == 1
        assert report["aggregation_window"] == {
            "begin": "2026-11-22T16:00:00Z",
            "end": "2026-11-23T00:00:00Z",
        }

    def test_a_failed_run_and_its_metrics_are_told(self, deployment: Deployment) -> None:
        flags = changed(deployment.flags(), peer_validation_input="file:///no/such/directory")
        outcome = call(deployment.command, ["run", *flags, *NOW, "--json"])
        report = json.loads(outcome.stdout)
        jsonschema.validate(report, schema())
        assert outcome.status == report["exit_status"] == 1
        assert report["failures_by_kind"]["listing"] == len(report["failures"]) == 1
        undelivered = deployment.run(*NOW, "--json", "--push-gateway=http://127.0.0.1:1")
        assert undelivered.status == json.loads(undelivered.stdout)["exit_status"] == 3

    def test_mistakes_are_no_report(self, deployment: Deployment) -> None:
        outcome = deployment.run("--json", "--grace-period=x")
        assert (outcome.status, outcome.stdout) == (2, "")
