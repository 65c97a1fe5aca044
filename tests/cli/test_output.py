"""Where the output of a command goes, and what a run does when it can go nowhere."""

import subprocess
from pathlib import Path

import pytest

from support.command import Deployment

NOW = ("--now", "2026-11-23T04:20:00Z", "--batch-ids=any")
WHEN = "2026/11/23/04/05"


def in_a_shell(command: Path, arguments: list[str], redirection: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with its output redirected as a shell does it."""
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {redirection}', "bash", str(command), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    return Deployment(installed, tmp_path)


@pytest.fixture
def batches(deployment: Deployment) -> Deployment:
    """A deployment with more batches than a pipe holds log lines of."""
    for number in range(300):
        deployment.put_batch(f"agg/{WHEN}/{number}")
    return deployment


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&1 | head -1", ">&-", ">&- 2>&-"])
def test_a_run_that_can_log_nothing_schedules_and_marks_all_the_same(
    batches: Deployment, redirection: str, tmp_path: Path
) -> None:
    metrics = tmp_path / "wm.prom"
    flags = ["run", *batches.flags(), *NOW, "--metrics-file", str(metrics)]
    done = in_a_shell(batches.command, flags, redirection)
    assert done.returncode == 0, done.stderr
    assert len(batches.tasks("intake")) == len(batches.markers()) == 300
    assert "last_success" in metrics.read_text()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["check"]])
def test_output_that_cannot_be_written_is_an_error_without_a_traceback(
    deployment: Deployment, arguments: list[str]
) -> None:
    flags = deployment.flags() if arguments == ["check"] else []
    done = in_a_shell(deployment.command, [*arguments, *flags], ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "workflow-manager: could not write the output: [Errno 28] No space left on device\n"


def test_a_report_that_cannot_be_written_has_the_status_of_one_that_is_not_delivered(
    batches: Deployment,
) -> None:
    done = in_a_shell(batches.command, ["run", *batches.flags(), *NOW, "--json"], ">/dev/full")
    assert done.returncode == 3
    assert "could not write the output" in done.stderr
    assert len(batches.markers()) == 300


@pytest.mark.parametrize("flag", ["--cpuprofile", "--memprofile"])
def test_a_profile_that_cannot_be_written_is_a_mistake_before_any_work(
    batches: Deployment, flag: str
) -> None:
    outcome = batches.run(*NOW, flag, "/nonexistent/profile")
    assert outcome.status == 2
    assert f"{flag}='/nonexistent/profile': cannot be written: No such file or directory" in outcome.stderr
    assert not batches.markers()


def test_a_push_gateways_password_is_not_shown(deployment: Deployment) -> None:
    for url in ("http://u:hunter2@127.0.0.1:1", "http://u:hunter2@127.0.0.1:99999", "ftp://u:hunter2@host"):
        outcome = deployment.run(*NOW, "--push-gateway", url)
        assert outcome.status
        assert "hunter2" not in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("path", [":memory:", "file:queue?mode=memory"])
def test_a_queue_that_ends_with_the_process_is_a_mistake(batches: Deployment, path: str) -> None:
    outcome = batches.run(*NOW, "--sqlite-path", path)
    assert outcome.status == 2
    assert not batches.markers()
