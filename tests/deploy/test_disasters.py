"""The page on disasters: each is caused, and the commands of its section mend it."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.command import Deployment, Outcome, call

PAGE = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "recover-from-disasters.md").read_text()
HERE = Path(sys.executable).with_name("workflow-manager")
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NOW = MONDAY + timedelta(days=3, hours=16, minutes=30)
WINDOW = timedelta(hours=8)
TIMES = [MONDAY + timedelta(hours=1) + number * WINDOW for number in range(11)]  # a batch in each window
ENDED = [time for time in TIMES if time < MONDAY + timedelta(days=3, hours=8)]  # with the grace period over
RANGE = [time for time in TIMES if time < MONDAY + timedelta(days=3)]  # what the page's commands name

pytestmark = pytest.mark.timeout(300)


def name(time: datetime) -> str:
    return f"kittens-seen/{time:%Y/%m/%d/%H/%M}/{batch(time)}"


def batch(time: datetime) -> str:
    return f"a1b2c3d4-0000-4000-8000-0000{time:%m%d%H%M}"


@dataclass(frozen=True)
class Site:
    """A deployment on directories, and a reader of the page with its flags in the environment."""

    deployment: Deployment

    @property
    def directory(self) -> Path:
        return self.deployment.directory

    def environ(self, now: datetime = NOW) -> dict[str, str]:
        words = self.deployment.flags()
        flags = dict(zip(words[::2], words[1::2], strict=True))
        flags |= {"--aggregation-period": "8h", "--grace-period": "4h", "--intake-max-age": "24h"}
        flags["--now"] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        return {f"WORKFLOW_MANAGER_{key[2:].replace('-', '_').upper()}": text for key, text in flags.items()}

    def call(self, *words: str, now: datetime = NOW) -> Outcome:
        outcome = call(HERE, words, self.environ(now))
        assert outcome.status == 0, outcome.stdout + outcome.stderr
        return outcome

    def follow(self, section: str) -> str:
        """Type the commands of a section, in a shell that stops at the first that fails."""
        text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        script = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
        assert script
        environ = {**os.environ, **self.environ(), "PATH": f"{HERE.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.directory,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def upload(self, time: datetime) -> None:
        self.deployment.put_batch(name(time))
        self.deployment.put("peer", f"{name(time)}.validity_0.sig")

    def intake(self) -> Counter[str]:
        """How often the batches are in intake tasks."""
        return Counter(task["batch-id"] for task in self.deployment.tasks("intake"))

    def aggregated(self) -> Counter[str]:
        """How often the batches are in aggregation tasks."""
        return Counter(one["id"] for task in self.deployment.tasks("aggregate") for one in task["batches"])

    def forget_tasks(self) -> None:
        """Workers have done everything."""
        self.deployment.database.unlink()

    def nothing_is_left(self) -> None:
        """Nothing was missed, and a run has nothing to do."""
        self.call("status", "--since", "2026-11-16T00:00:00Z", "--fail-on", "missed,left-out,too-old")
        before = (self.intake(), self.aggregated())
        self.call("run")
        assert (self.intake(), self.aggregated()) == before


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Batches from Monday to Thursday, all of them uploaded, and nothing scheduled."""
    site = Site(Deployment(HERE, tmp_path))
    for time in TIMES:
        site.upload(time)
    return site


@pytest.fixture
def done(site: Site) -> Site:
    """The same with everything scheduled in time and done by the workers."""
    for time in [*TIMES, NOW]:
        site.call("run", now=min(time + timedelta(hours=12), NOW))
    assert site.intake() == Counter(map(batch, TIMES))
    assert site.aggregated() == Counter(map(batch, ENDED))
    site.forget_tasks()
    return site


def once(times: list[datetime]) -> Counter[str]:
    return Counter(map(batch, times))


def test_the_machine_was_lost(site: Site) -> None:
    site.follow("The machine or the cluster")
    assert site.intake() == once(TIMES)
    assert site.aggregated() == once(ENDED)
    site.nothing_is_left()


def test_the_queue_was_lost(done: Site) -> None:
    done.call("run")
    assert done.intake() == Counter(), "runs skip what has a marker"
    done.follow("The queue")
    wednesday = [time for time in TIMES if MONDAY + timedelta(days=2) <= time < MONDAY + timedelta(days=3)]
    assert done.intake() == done.aggregated() == once(wednesday)
    done.nothing_is_left()


def test_the_markers_were_lost(done: Site) -> None:
    shutil.rmtree(done.directory / "own" / "task-markers")
    done.follow("The markers")
    after = [time for time in TIMES if time not in RANGE]
    assert done.intake() == once(after), "only what is not in the range is published again"
    assert done.aggregated() == once([time for time in after if time in ENDED])
    done.nothing_is_left()


def test_without_the_page_lost_markers_repeat_sums(done: Site) -> None:
    shutil.rmtree(done.directory / "own" / "task-markers")
    done.call("run")
    assert done.aggregated() != Counter()


def test_the_own_validation_bucket_was_lost(done: Site) -> None:
    shutil.rmtree(done.directory / "own")
    (done.directory / "own").mkdir()
    done.follow("The own validation bucket")
    assert done.intake() == once(RANGE)
    assert done.aggregated() == Counter(), "no sum is made twice"


def test_the_ingestion_bucket_was_lost(done: Site) -> None:
    lost, late = done.directory / "ingestion", TIMES[3] + timedelta(hours=1)
    shutil.rmtree(lost)
    lost.mkdir()
    done.call("run")
    for time in [*TIMES, late]:
        done.upload(time)
    done.follow("The ingestion bucket")
    assert done.intake() == once([late]), "the only one that had not been taken in"


def test_uploads_that_come_back_late_are_aggregated(site: Site) -> None:
    site.follow("The ingestion bucket")
    assert site.intake() == once(TIMES)
    assert site.aggregated() == once(ENDED)
    site.nothing_is_left()


def test_the_workers_were_down(site: Site) -> None:
    site.call("run")
    given_up = len(site.deployment.tasks("intake"))
    assert given_up > 0
    flags = ("--sqlite-max-deliveries", "1", "--topic", "intake")
    for _ in range(2):
        call(HERE, ["tasks", "pull", "--max", "100", "--lease", "1ms", *flags], site.environ())
    assert len(site.deployment.tasks("intake.dead-letters")) == given_up
    site.follow("The workers")
    assert sum(site.intake().values()) == given_up
    assert site.deployment.tasks("intake.dead-letters") == []


def test_every_section_with_commands_is_played() -> None:
    sections = [part.partition("\n")[0] for part in PAGE.split("\n## ")[1:] if "```console" in part]
    played = set(re.findall(r'follow\("(.*?)"\)', Path(__file__).read_text()))
    assert played == set(sections)
