"""The installed program killed at random moments: nothing is lost. Ended in order: nothing is repeated.

`make soak` does it as often as it takes to believe it.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.deployments import Amazon, Deployment, Files
from workflow_manager.core.lease_names import SKEW
from workflow_manager.pipeline import mark

KILLS = int(os.environ.get("WORKFLOW_MANAGER_KILLS", "5"))
PAIRS = int(os.environ.get("WORKFLOW_MANAGER_PAIRS", "1"))
SOAK = KILLS >= 100
EARLY = 7  # of each eight interruptions, the one that comes before any task is scheduled
EACH = 5  # interruptions of one history, before a run may come to its end
REQUESTS, MARKERS = 2, 4
AT_ONCE = (f"--max-enqueue-workers={REQUESTS}", f"--max-marker-workers={MARKERS}")
DURATION = 2  # seconds of a lease

Tallied = Callable[[str], dict[str, int]]

pytestmark = pytest.mark.timeout(3600 if SOAK else 120)


@pytest.fixture(scope="module", params=[Files.name, Amazon.name])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    if request.param == Amazon.name:
        return Amazon(request.getfixturevalue("moto_url"), batches=150 if SOAK else 100)
    directory = tmp_path_factory.mktemp("deployment")
    return Files(request.getfixturevalue("installed"), directory, batches=600 if SOAK else 400)


def reach(process: "subprocess.Popen[str]", tasks: int) -> None:
    """Wait until a run has said of so many tasks that they are scheduled, or has ended."""
    assert process.stderr is not None
    while tasks > 0 and (line := process.stderr.readline()):
        tasks -= '"task.scheduled"' in line


def interrupted(
    process: "subprocess.Popen[str]", number: signal.Signals, chance: random.Random, due: int
) -> int:
    """The exit status of a run that gets a signal somewhere among the tasks that are due, or before any."""
    if not due:
        time.sleep(chance.uniform(0, 0.3))  # the moment is the point: no event would do
    else:
        reach(process, chance.randrange(1, due + 1))
        time.sleep(chance.uniform(0, 0.01))  # to hit any step between two lines as well
    process.send_signal(number)
    process.communicate()
    return process.returncode


def most_in_flight(deployment: Deployment) -> int:
    """The most tasks that may be published and not marked in a run with these many at once (`Marker`)."""
    return mark.most_ahead(MARKERS)


class History:
    """What has come of the batches of a deployment, from run to run."""

    def __init__(self, deployment: Deployment, tally: dict[str, int]) -> None:
        deployment.renew()
        self.deployment = deployment
        self.tally = tally
        self.published: Counter[str] = Counter()
        self.marked: set[str] = set()

    @property
    def due(self) -> int:
        return len(self.deployment.batches) - len(self.marked)

    def look(self) -> set[str]:
        """What the last run has published, after it was checked that it is not what was marked before."""
        before, self.marked = self.marked, self.deployment.marked()
        new = self.deployment.arrived()
        self.published.update(new)
        self.tally["unexplained"] += sum(batch in before for batch in new)
        assert self.marked <= set(self.published), "no marker without a message"
        assert self.tally["unexplained"] == 0, "what was marked is not published again"
        return set(new)

    def complete(self) -> int:
        """Have a run come to its end: everything is published then. How often something was, again."""
        outcome = self.deployment.run("--no-lease")
        assert outcome.status == 0, outcome.stderr[-2000:]
        self.look()
        repeats = self.published.total() - len(self.published)
        self.tally["repeats"] += repeats
        self.tally["losses"] += len(set(self.deployment.batches) - set(self.published))
        assert set(self.published) == self.marked == set(self.deployment.batches)
        again = self.deployment.run("--no-lease").event("run.finished")
        assert again["intake_tasks_scheduled"] == 0
        assert self.deployment.arrived() == []
        return repeats


def test_whenever_it_is_killed_nothing_is_lost_and_what_was_in_flight_is_repeated(
    deployment: Deployment, tallied: Tallied
) -> None:
    in_flight = most_in_flight(deployment)
    chance, tally = random.Random(7), tallied(f"{deployment.name}: SIGKILL")
    while tally["times"] < KILLS:
        history, most = History(deployment, tally), 0
        for _ in range(EACH):
            if not history.due:
                break
            run = deployment.start("--no-lease", *AT_ONCE)
            early = tally["times"] % 8 == EARLY
            killed = interrupted(run, signal.SIGKILL, chance, 0 if early else history.due) == -signal.SIGKILL
            published = history.look()
            assert len(published - history.marked) <= in_flight
            most += killed * in_flight
            tally["times"] += killed
            tally["in mid-run"] += killed and bool(published) and history.due > 0
        tally["explained"] += most
        assert history.complete() <= most
    assert tally["in mid-run"] > KILLS / 2, "the kills have met runs at work"


def test_ended_in_order_it_repeats_nothing(deployment: Deployment, tallied: Tallied) -> None:
    chance, tally = random.Random(8), tallied(f"{deployment.name}: SIGTERM")
    while tally["times"] < KILLS:
        history = History(deployment, tally)
        for _ in range(EACH):
            if not history.due:
                break
            # Slow markers, so that what was published waits for them when the signal comes.
            run = deployment.start("--no-lease", "--max-enqueue-workers=1", "--max-marker-workers=1")
            early = tally["times"] % 8 == EARLY
            # In the first half, as a good part of the rest may be in flight already.
            status = interrupted(run, signal.SIGTERM, chance, 0 if early else (history.due + 1) // 2)
            # One that comes before the program can take it ends the process the hard way.
            assert status in (0, 143, -signal.SIGTERM)
            published = history.look()
            assert published <= history.marked
            tally["times"] += 1
            tally["in mid-run"] += status == 143 and bool(published) and history.due > 0
        assert history.complete() == 0
    assert tally["in mid-run"] >= KILLS // 3, "the signals have met runs at work"


def test_pairs_of_runs_at_once_repeat_nothing(deployment: Deployment, tallied: Tallied) -> None:
    tally = tallied(f"{deployment.name}: pairs of runs")
    for _ in range(PAIRS):
        history = History(deployment, tally)
        with ThreadPoolExecutor(2) as both:
            pair = [both.submit(deployment.run, "--max-marker-workers=1") for _ in range(2)]
        outcomes = [run.result() for run in pair]
        for outcome in outcomes:
            assert outcome.status == 0, outcome.stderr[-2000:]
        begun, ended = (
            [outcome.event(name)["timestamp"] for outcome in outcomes]
            for name in ("run.started", "run.finished")
        )
        tally["times"] += 1
        tally["in mid-run"] += max(begun) < min(ended)
        assert history.look() == set(deployment.batches)
        assert history.complete() == 0
    assert tally["in mid-run"] == PAIRS, "each has begun before the other was done"


def test_what_a_killed_holder_of_the_lease_has_left_is_done_when_its_lease_has_ended(
    deployment: Deployment, tallied: Tallied
) -> None:
    tally = tallied(f"{deployment.name}: SIGKILL of a lease's holder")
    history = History(deployment, tally)
    run = deployment.start(f"--lease-duration={DURATION}s", *AT_ONCE)
    reach(run, 5)
    run.kill()
    run.communicate()
    history.look()
    assert history.due
    tally["times"] += 1
    tally["in mid-run"] += 1
    tally["explained"] += most_in_flight(deployment)
    assert deployment.leases(), "it could not give it back"
    if SOAK:
        time.sleep(DURATION + SKEW + 1)  # only the clock ends a lease
    else:
        deployment.age_leases(DURATION + int(SKEW) + 1)
    outcome = deployment.run(f"--lease-duration={DURATION}s")
    assert outcome.status == 0
    # A marker may have come to be after we looked, if a server was at work on it.
    assert 0 < outcome.event("run.finished")["intake_tasks_scheduled"] <= history.due
    assert set(deployment.batches) == deployment.marked()
    assert history.complete() <= most_in_flight(deployment)
