"""What a run that has to stop early leaves, and what it says of that; with a queue of someone else's."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support import odd_queue
from support.clouds import COMMAND
from support.command import Deployment, call, metrics
from support.running import Running

NOW = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=6h", "--batch-ids=any")
WAITING = 1000
LONG = 30.0  # seconds; what is waited for so long will not come


class Stopping:
    """A deployment with an odd queue, a thousand batches, and runs over it."""

    def __init__(self, directory: Path, batches: int) -> None:
        site = directory / "site"
        site.mkdir()
        self.environ: Mapping[str, str] = odd_queue.install(site)
        self.deployment = Deployment(COMMAND, directory)
        self.spool = directory / "spool"
        self.spool.mkdir()
        self.metrics_file = directory / "wm.prom"
        for number in range(batches):
            self.deployment.put_batch(f"agg/2026/11/23/03/{number % 60:02}/batch-{number}")

    def flags(self, *more: str) -> list[str]:
        queue = ("--task-queue-kind=odd", f"--odd-directory={self.spool}")
        return [*self.deployment.flags(), *NOW, *queue, f"--metrics-file={self.metrics_file}", *more]

    def published(self) -> list[bytes]:
        spool = self.spool / "intake"
        return spool.read_bytes().splitlines() if spool.exists() else []

    def gauges(self) -> dict[str, dict[str, float]]:
        return metrics(self.metrics_file.read_text())


@pytest.fixture
def thousand(tmp_path: Path) -> Stopping:
    return Stopping(tmp_path, WAITING)


@pytest.fixture
def started() -> Iterator[list[Running]]:
    runs: list[Running] = []
    yield runs
    for run in runs:
        run.end()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_what_was_not_tried_and_is_no_failure(
    number: signal.Signals, status: int, thousand: Stopping, started: list[Running]
) -> None:
    run = begun(thousand, started, "--shutdown-grace=5m")
    run.signal(number)
    assert run.until("run.stopping")["severity"] == "WARNING"
    (thousand.spool / "closed").unlink()
    assert run.status() == status
    assert not run.errors()
    assert "task.failed" not in run.names()
    taken = len(thousand.published())
    (left,) = [event for event in run.events if event["event"] == "tasks.left"]
    assert left["message"] == f"{WAITING - taken} intake tasks left for the next run: {number.name} received"
    finished = run.events[-1]
    assert finished["severity"] == "WARNING"
    assert f"; {WAITING - taken} intake tasks left for the next run; stopped early: " in finished["message"]
    assert "failure" not in finished["message"]
    gauges = thousand.gauges()
    assert gauges["workflow_manager_intake_tasks_left"] == {"agg": WAITING - taken}
    assert gauges["workflow_manager_intake_tasks_failed"] == {"agg": 0}
    assert "workflow_manager_last_failure_seconds" not in gauges
    assert "workflow_manager_last_success_seconds" not in gauges
    assert len(thousand.deployment.markers()) == taken < WAITING
    again = call(COMMAND, ["run", *thousand.flags()], thousand.environ)
    assert again.status == 0, again.stderr[-2000:]
    assert len(thousand.published()) == len(set(thousand.published())) == WAITING
    assert thousand.gauges()["workflow_manager_intake_tasks_left"] == {"agg": 0}


def test_a_run_that_takes_too_long_has_failed_once(thousand: Stopping, started: list[Running]) -> None:
    run = begun(thousand, started, "--run-timeout=1s", "--shutdown-grace=5m")
    assert run.until("run.stopping")["severity"] == "ERROR"
    (thousand.spool / "closed").unlink()
    assert run.status() == 1
    assert [event["event"] for event in run.errors()] == ["run.stopping", "run.finished"]
    assert "; 1 failure (1 timeout); " in run.events[-1]["message"]
    gauges = thousand.gauges()
    assert gauges["workflow_manager_intake_tasks_left"]["agg"] == WAITING - len(thousand.published())
    assert "workflow_manager_last_failure_seconds" in gauges


def begun(thousand: Stopping, started: list[Running], *flags: str) -> Running:
    """A run whose first request waits."""
    (thousand.spool / "closed").touch()
    run = Running(thousand.flags("--max-enqueue-workers=1", *flags), thousand.environ)
    started.append(run)
    while not (thousand.spool / "reached").exists():
        assert run.process.poll() is None
        signal.sigtimedwait([], 0.01)
    return run


@pytest.mark.parametrize("surplus", [-2, -1, 1, 2])
@pytest.mark.parametrize("workers", [1, 100])
def test_a_queue_that_answers_for_a_wrong_number_of_messages_fails_the_run_which_ends(
    surplus: int, workers: int, tmp_path: Path
) -> None:
    odd = Stopping(tmp_path, 60)
    flags = odd.flags(f"--max-enqueue-workers={workers}", f"--odd-surplus={surplus}")
    outcome = call(COMMAND, ["run", *flags], odd.environ, timeout=LONG)
    assert outcome.status == 1
    failed = [event for event in outcome.events if event["event"] == "task.failed"]
    assert f"the queue returned {3 + surplus} outcomes for 3 messages" in failed[0]["message"]
    assert "it is unknown which of them it accepted" in failed[0]["message"]
    gauges = odd.gauges()
    assert gauges["workflow_manager_intake_tasks_failed"]["agg"] == len(failed) >= 15
    assert gauges["workflow_manager_intake_tasks_left"]["agg"] == 60 - len(failed)
    assert odd.deployment.markers() == set()
    assert call(COMMAND, ["run", *odd.flags()], odd.environ).status == 0
    assert len(odd.deployment.markers()) == 60
