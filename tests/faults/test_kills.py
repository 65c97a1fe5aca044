"""The installed program killed at random moments: nothing is lost. Ended in order: nothing is repeated.

`WORKFLOW_MANAGER_KILLS=200 make test` kills it as often as that.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from support.command import Deployment

KILLS = int(os.environ.get("WORKFLOW_MANAGER_KILLS", "12"))
BATCHES = 1500
WINDOW = ("--now", "2026-11-23T04:20:00Z", "--intake-max-age", "6h")
NOW = (*WINDOW, "--no-lease")
LONGEST = 0.6  # seconds until a kill: from start-up to about the end


@pytest.fixture
def deployment(installed: Path, tmp_path: Path) -> Deployment:
    deployment = Deployment(installed, tmp_path)
    for number in range(BATCHES):
        deployment.put_batch(f"agg-{number % 3}/2026/11/23/03/{number % 60:02}/{number}")
    return deployment


def interrupted(deployment: Deployment, after: float, number: signal.Signals) -> int:
    """The exit status of a run that gets a signal after a time."""
    process = subprocess.Popen(
        [deployment.command, "run", *deployment.flags(), *NOW, "--max-marker-workers", "4"],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after)  # the moment is the point: no event would do
    process.send_signal(number)
    return process.wait()


def published(deployment: Deployment) -> Counter[str]:
    return Counter(task["batch-id"] for task in deployment.tasks("intake"))


@pytest.mark.timeout(600)
def test_whenever_it_is_killed_nothing_is_lost_and_little_is_repeated(deployment: Deployment) -> None:
    chance = random.Random(7)
    killed = sum(
        interrupted(deployment, chance.uniform(0.1, LONGEST), signal.SIGKILL) == -signal.SIGKILL
        for _ in range(KILLS)
    )
    before = published(deployment)
    marked = {marker.rpartition("-")[2] for marker in deployment.markers()}
    assert marked <= set(before), "no marker without a message"
    assert deployment.run(*NOW).status == 0
    counts = published(deployment)
    assert set(counts) == {str(number) for number in range(BATCHES)}
    repeats = sum(counts.values()) - BATCHES
    # Three aggregations have at most five requests of a hundred messages each in flight.
    assert repeats <= killed * BATCHES / 3
    assert deployment.run(*NOW).event("run.finished")["intake tasks scheduled"] == 0


@pytest.mark.timeout(600)
def test_ended_in_order_it_repeats_nothing(deployment: Deployment) -> None:
    chance = random.Random(8)
    rounds = max(4, KILLS // 4)
    statuses = [interrupted(deployment, chance.uniform(0.2, LONGEST), signal.SIGTERM) for _ in range(rounds)]
    # One that came before the program could take it ends the process the hard way; else in order.
    assert set(statuses) <= {0, 143, -signal.SIGTERM}
    assert deployment.run(*NOW).status == 0
    assert published(deployment) == Counter(str(number) for number in range(BATCHES))


def test_pairs_of_runs_at_once_repeat_nothing(deployment: Deployment) -> None:
    command = [str(deployment.command), "run", *deployment.flags(), *WINDOW]
    pair = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert deployment.run(*WINDOW).status == 0
    assert published(deployment) == Counter(str(number) for number in range(BATCHES))
