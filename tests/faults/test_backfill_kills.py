"""A backfill killed at random and started again: nothing is lost, and what was in flight repeats."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import pytest

from support.deployments import Amazon, Deployment, Files
from workflow_manager.pipeline import mark

KILLS = int(os.environ.get("WORKFLOW_MANAGER_KILLS", "5"))
SOAK = KILLS >= 100
MARKERS = 4
BATCHES = 200
FLAGS = (
    *("--from=2026-11-23T02:00:00Z", "--to=2026-11-23T04:00:00Z", "--aggregation-period=5m"),
    *("--grace-period=0s", "--yes", "--no-lease"),
    *("--max-enqueue-workers=2", f"--max-marker-workers={MARKERS}"),
)

pytestmark = pytest.mark.timeout(3600 if SOAK else 180)


@pytest.fixture(scope="module", params=[Files.name, Amazon.name])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    if request.param == Amazon.name:
        return Amazon(request.getfixturevalue("moto_url"), batches=100)
    directory = tmp_path_factory.mktemp("deployment")
    return Files(request.getfixturevalue("installed"), directory, batches=BATCHES)


def start(deployment: Deployment) -> "subprocess.Popen[str]":
    """A backfill in steps of five minutes, so that a kill also comes between two steps."""
    _, *arguments = deployment.arguments(*FLAGS)
    return subprocess.Popen(
        [deployment.command, "backfill", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **deployment.environ},
    )


def killed(process: "subprocess.Popen[str]", chance: random.Random, due: int) -> bool:
    """Kill a backfill after some of the tasks that are due; whether that met it at work."""
    assert process.stderr is not None
    left = chance.randrange(1, due + 1)
    while left > 0 and (line := process.stderr.readline()):
        left -= '"task.scheduled"' in line
    time.sleep(chance.uniform(0, 0.01))  # to hit any step between two lines as well
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_killed_and_started_again_it_goes_on(
    deployment: Deployment, tallied: Callable[[str], dict[str, int]]
) -> None:
    chance, tally = random.Random(13), tallied(f"{deployment.name}: SIGKILL of a backfill")
    in_flight = mark.most_ahead(MARKERS)
    while tally["times"] < KILLS:
        deployment.renew()
        published: Counter[str] = Counter()
        marked: set[str] = set()
        explained = 0
        for _ in range(5):
            if marked == set(deployment.batches):
                break
            hit = killed(start(deployment), chance, len(deployment.batches) - len(marked))
            before, marked = marked, deployment.marked()
            new = deployment.arrived()
            published.update(new)
            assert not set(new) & before, "what was marked is not published again"
            assert marked <= set(published), "no marker without a message"
            explained += hit * in_flight
            tally["times"] += hit
            tally["in mid-run"] += hit and bool(new)
        last = start(deployment)
        last.communicate()
        assert last.returncode == 0
        published.update(deployment.arrived())
        repeats = published.total() - len(published)
        tally["repeats"] += repeats
        tally["explained"] += explained
        tally["losses"] += len(set(deployment.batches) - set(published))
        assert set(published) == deployment.marked() == set(deployment.batches)
        assert repeats <= explained
    assert tally["in mid-run"] > KILLS / 2, "the kills have met backfills at work"
