"""This release and an earlier one work in turn on the same buckets: nothing is lost or repeated.

The earlier release comes from the history of this repository, and runs with this environment's libraries.
"""

import io
import json
import re
import shlex
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from servers.process import absent
from support.command import NAMES, Outcome, call

ROOT = Path(__file__).parent.parent
EARLIER = {"without records in markers": "7e2343042df6247e04e365d98becb56c41061fba"}
MANY = 600  # batches, for a run that takes long enough to be stopped at work
WINDOW = timedelta(hours=8)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
FLAGS = ("--aggregation-period=8h", "--grace-period=1h", "--intake-max-age=24h")


@dataclass(frozen=True)
class Release:
    """A release of the program on the shared buckets, with a queue of its own."""

    name: str
    command: Path
    shared: Path

    @property
    def database(self) -> Path:
        return self.shared / f"{self.name}.db"

    def arguments(self, now: datetime) -> list[str]:
        buckets = zip(("ingestor", "own-validation", "peer-validation"), NAMES, strict=True)
        return [
            "run",
            *(f"--{flag}-input=file://{self.shared}/{bucket}" for flag, bucket in buckets),
            *("--task-queue-kind=sqlite", f"--sqlite-path={self.database}"),
            *("--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate"),
            *(*FLAGS, f"--now={now:%Y-%m-%dT%H:%M:%SZ}"),
        ]

    def run(self, now: datetime) -> Outcome:
        """One pass, which has to succeed."""
        outcome = call(self.command, self.arguments(now))
        assert outcome.status == 0, outcome.stderr
        return outcome

    def intake(self) -> list[str]:
        """The batches whose intake this release has scheduled."""
        return sorted(message["batch-id"] for message in self.messages("intake"))

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """What this release has published."""
        if not self.database.exists():
            return []
        flags = ["--sqlite-path", str(self.database), "--topic", topic, "--json"]
        listed = call(self.command, ["tasks", "list", *flags])
        lines = [json.loads(line) for line in listed.stdout.splitlines()]
        return [line.get("message", line) for line in lines]


@pytest.fixture(scope="module", params=EARLIER)
def earlier_command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the earlier release."""
    commit = EARLIER[request.param]
    archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        absent(
            f"the history of the repository is not here: git fetch --unshallow ({archive.stderr.decode()})"
        )
    directory = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    command = directory / "workflow-manager"
    program = "import sys; from workflow_manager.cli.main import main; sys.exit(main())"
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(directory / 'src'))} "
        f'exec {shlex.quote(sys.executable)} -P -c "{program}" "$@"\n'
    )
    command.chmod(0o755)
    return command


@pytest.fixture(params=["upgrade", "rollback"])
def releases(
    request: pytest.FixtureRequest, earlier_command: Path, installed: Path, tmp_path: Path
) -> tuple[Release, Release]:
    """The release that works first, and the one after it."""
    for name in NAMES:
        (tmp_path / name).mkdir()
    earlier = Release("earlier", earlier_command, tmp_path)
    this = Release("this", installed, tmp_path)
    return (earlier, this) if request.param == "upgrade" else (this, earlier)


def upload(shared: Path, time: datetime, count: int = 3) -> list[str]:
    """Batches that the peer has validated; returns their IDs."""
    folder = f"kittens-seen/{time:%Y/%m/%d/%H/%M}"
    identifiers = [f"{time:%Y%m%d}-{time:%H%M}-4000-8000-{number:012}" for number in range(count)]
    for bucket in ("ingestion", "peer"):
        (shared / bucket / folder).mkdir(parents=True)
    for identifier in identifiers:
        for ending in ("", ".avro", ".sig"):
            (shared / "ingestion" / folder / f"{identifier}.batch{ending}").touch()
        (shared / "peer" / folder / f"{identifier}.validity_0.sig").touch()
    return identifiers


def objects(shared: Path, bucket: str) -> set[str]:
    return {str(path.relative_to(shared / bucket)) for path in (shared / bucket).rglob("*") if path.is_file()}


def test_in_turn_they_schedule_each_task_once(releases: tuple[Release, Release], tmp_path: Path) -> None:
    uploaded: list[str] = []
    for turn in range(8):
        now = MONDAY + turn * WINDOW + timedelta(hours=2)
        uploaded += upload(tmp_path, now - timedelta(minutes=30))
        releases[turn % 2].run(now)
    for release in releases:  # in this order, which is that of the next two turns
        release.run(MONDAY + 8 * WINDOW + timedelta(hours=2))

    intake = Counter(message["batch-id"] for release in releases for message in release.messages("intake"))
    summed = Counter(
        batch["id"]
        for release in releases
        for message in release.messages("aggregate")
        for batch in message["batches"]
    )
    assert intake == Counter(uploaded)
    assert summed == Counter(uploaded)
    assert all(release.messages("intake") and release.messages("aggregate") for release in releases)


@contextmanager
def stopped_at_work(release: Release, now: datetime) -> Iterator["subprocess.Popen[bytes]"]:
    """A run that has written its lease, and is stopped before it has scheduled everything."""
    command = [str(release.command), *release.arguments(now)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not leases(release.shared) and process.poll() is None:
            sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        assert process.poll() is None, "there was too little to do"
        yield process
        process.send_signal(signal.SIGCONT)


def leases(shared: Path) -> set[str]:
    return {f"task-markers/{path.name}" for path in (shared / "own").glob("task-markers/*-lease-*[!p]")}


def test_a_run_of_one_excludes_a_run_of_the_other(releases: tuple[Release, Release], tmp_path: Path) -> None:
    now = MONDAY + timedelta(hours=2)
    uploaded = upload(tmp_path, now - timedelta(minutes=30), MANY)
    first, second = releases
    with stopped_at_work(first, now) as process:
        outcome = second.run(now)
        assert "run.superseded" in outcome.stderr
        assert second.intake() == []
    assert process.returncode == 0
    second.run(now)
    assert second.intake() == []
    assert first.intake() == uploaded


def test_what_a_killed_run_of_one_leaves_is_done_by_the_other(
    releases: tuple[Release, Release], tmp_path: Path
) -> None:
    now = MONDAY + timedelta(hours=2)
    uploaded = upload(tmp_path, now - timedelta(minutes=30), MANY)
    first, second = releases
    with stopped_at_work(first, now) as process:
        process.kill()
    (lease,) = leases(tmp_path)
    scheduled = first.intake()
    assert "run.superseded" in second.run(now).stderr
    # The time comes when the lease has expired: the same lease, of a run two hours ago.
    begun = re.sub(r"\d{12}", lambda time: f"{int(time[0]) - 7200:012}", lease)
    (tmp_path / "own" / lease).rename(tmp_path / "own" / begun)
    second.run(now)
    assert set(scheduled) | set(second.intake()) == set(uploaded)


def test_the_commands_of_this_release_read_markers_of_the_earlier(
    releases: tuple[Release, Release], tmp_path: Path
) -> None:
    now = MONDAY + timedelta(hours=2)
    (batch, *_) = upload(tmp_path, now - timedelta(minutes=30))
    first, second = releases
    first.run(now)
    this = first if first.name == "this" else second
    flags = [flag for flag in this.arguments(now)[1:] if "sqlite" not in flag]
    explained = call(this.command, ["explain", batch, "--since", "1d", *flags])
    assert explained.status == 0, explained.stderr
    assert "Its intake is scheduled: its marker exists." in explained.stdout
    status = call(this.command, ["status", "--since", "1d", "--json", *flags])
    assert status.status == 0, status.stderr
    kept = call(this.command, ["markers", "list", *flags])
    assert kept.stdout.count("intake-kittens-seen-") == 3


def test_all_that_a_run_writes_is_markers_and_leases_under_names_that_no_batch_has(
    installed: Path, tmp_path: Path
) -> None:
    """The Go program takes nothing under `task-markers/` for a batch, and compares names of markers alone."""
    for name in NAMES:
        (tmp_path / name).mkdir()
    now = MONDAY + timedelta(hours=10)
    upload(tmp_path, now - timedelta(hours=4), MANY)
    this = Release("this", installed, tmp_path)
    with stopped_at_work(this, now) as process:
        before = {bucket: objects(tmp_path, bucket) for bucket in ("ingestion", "peer")}
        at_first = objects(tmp_path, "own")
    assert process.returncode == 0
    written = at_first | objects(tmp_path, "own")
    assert {bucket: objects(tmp_path, bucket) for bucket in ("ingestion", "peer")} == before
    intake = re.compile(r"task-markers/intake-kittens-seen-\d{4}(-\d\d){4}-[0-9a-f-]{36}")
    aggregation = re.compile(r"task-markers/aggregate-kittens-seen(-\d{4}(-\d\d){4}){2}")
    others = {name for name in written if not (intake.fullmatch(name) or aggregation.fullmatch(name))}
    assert len(written) - len(others) == MANY + 1, "the batches and their window"
    assert others
    assert all(re.fullmatch(r"task-markers/workflow-manager-[^/]+", name) for name in others)


def test_the_queue_file_of_an_earlier_release_is_migrated_and_loses_nothing(
    earlier_command: Path, installed: Path, tmp_path: Path
) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
    now = MONDAY + timedelta(hours=2)
    uploaded = upload(tmp_path, now - timedelta(minutes=30))
    earlier = Release("queue", earlier_command, tmp_path)
    this = Release("queue", installed, tmp_path)
    earlier.run(now)
    uploaded += upload(tmp_path, now)
    this.run(now + timedelta(minutes=5))
    assert this.intake() == sorted(uploaded)


def test_an_earlier_release_that_cannot_use_the_queue_file_of_this_one_changes_nothing(
    earlier_command: Path, installed: Path, tmp_path: Path
) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
    now = MONDAY + timedelta(hours=2)
    uploaded = upload(tmp_path, now - timedelta(minutes=30))
    earlier = Release("queue", earlier_command, tmp_path)
    this = Release("queue", installed, tmp_path)
    this.run(now)
    later = upload(tmp_path, now)
    outcome = call(earlier.command, earlier.arguments(now + timedelta(minutes=5)))
    if outcome.status == 0:
        assert this.intake() == sorted([*uploaded, *later]), "it has the same schema"
    else:
        assert outcome.status == 1
        assert "not a task queue of this version" in outcome.stderr
        assert this.intake() == uploaded
        this.run(now + timedelta(minutes=10))
        assert this.intake() == sorted([*uploaded, *later]), "what it could not schedule is still due"
