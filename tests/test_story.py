"""The page on a peer that was down: its story, played through the command line on each kind of store."""

import html
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servers.fixtures import KEYS, gcs_bucket, s3_bucket
from support.command import installed_with
from workflow_manager.ports import ObjectStore, Settings
from workflow_manager.storage.local import LocalStore

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "the-peer-was-down.md"
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = 8 * HOUR
NOW = MONDAY + 3 * 24 * HOUR + timedelta(hours=16, minutes=30)
DOWN, UP = MONDAY + 24 * HOUR, MONDAY + 84 * HOUR
UPLOADED = {"": "", ".avro": "", ".sig": ""}
# What differs from one time that the story is played to another.
VARYING = re.compile(r"(?<=written at )\S+ by '[^']*'|(?<=trace ID )[0-9a-f-]{36}")

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]


def batch(time: datetime) -> str:
    return f"kittens-seen/{time:%Y/%m/%d/%H/%M}/a1b2c3d4-0000-4000-8000-0000{time:%m%d%H%M}"


@dataclass
class Story:
    """A deployment, and the command in the environment that the page speaks of."""

    command: Path
    stores: tuple[ObjectStore, ObjectStore, ObjectStore]
    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def call(self, line: str, now: datetime = NOW) -> "subprocess.CompletedProcess[str]":
        ingestion, own, peer = self.stores
        words = shlex.split(line)
        assert words.pop(0) == "workflow-manager"
        flags = {
            "INGESTOR_INPUT": ingestion.url,
            "OWN_VALIDATION_INPUT": own.url,
            "PEER_VALIDATION_INPUT": peer.url,
            "AGGREGATION_PERIOD": "8h",
            "GRACE_PERIOD": "4h",
            "INTAKE_MAX_AGE": "24h",
            "TASK_QUEUE_KIND": "sqlite",
            "SQLITE_PATH": str(self.directory / "tasks.db"),
            "INTAKE_TASKS_TOPIC": "intake",
            "AGGREGATE_TASKS_TOPIC": "aggregate",
            "NOW": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        }
        twins = {f"WORKFLOW_MANAGER_{name}": value for name, value in flags.items()}
        return subprocess.run(
            [str(self.command), *words],
            env={**os.environ, **self.environ, **twins},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def upload(self, time: datetime) -> None:
        for ending in UPLOADED:
            self.stores[0].put(f"{batch(time)}.batch{ending}", b"")

    def validate(self, time: datetime) -> None:
        self.stores[2].put(f"{batch(time)}.validity_0.sig", b"")

    def messages(self, topic: str) -> list[dict[str, object]]:
        line = f"workflow-manager tasks list --topic {topic} --json"
        return [json.loads(one)["message"] for one in self.call(line).stdout.splitlines()]


@pytest.fixture(params=["file", "s3", "gs"])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    """Uploads, validations and runs from Monday to Thursday; from Tuesday on the peer was down."""
    environ: dict[str, str] = {}
    stores: list[ObjectStore] = []
    if request.param == "file":
        command = request.getfixturevalue("installed")
        for name in ("ingestion", "own", "peer"):
            (tmp_path / name).mkdir()
            stores.append(LocalStore.open(f"file://{tmp_path}/{name}", Settings()))
    elif request.param == "s3":
        command = installed_with("aws")
        url = request.getfixturevalue("moto_url")
        environ = {"AWS_ENDPOINT_URL": url, **KEYS}
        stores.extend(s3_bucket(url) for _ in range(3))
    else:
        command = installed_with("gcp")
        url = request.getfixturevalue("fake_gcs_url")
        environ = {"STORAGE_EMULATOR_HOST": url}
        stores.extend(gcs_bucket(url) for _ in range(3))
    told = Story(command, (stores[0], stores[1], stores[2]), tmp_path, environ)
    _until_thursday(told)
    yield told
    for store in stores:
        store.close()


def _until_thursday(told: Story) -> None:
    late = MONDAY + timedelta(hours=17, minutes=30)
    uploads = [MONDAY + HOUR + number * WINDOW for number in range(11)]
    for time in uploads:
        told.upload(time)
        if time == MONDAY + 17 * HOUR:
            told.upload(late)  # which the peer validates when it is up again
        if time < DOWN:
            told.validate(time)
        run = told.call("workflow-manager run", now=time + 11 * HOUR)
        assert run.returncode == 0, run.stderr
        if time + 11 * HOUR >= UP:
            break
    very_late = MONDAY + 50 * HOUR
    told.upload(very_late)
    for time in [late, very_late, *(time for time in uploads if time >= DOWN)]:
        told.validate(time)


def commands() -> list[tuple[str, str]]:
    """The commands of the page, and what it says that they print."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append((line, output))
    return found


def test_the_commands_of_the_page_do_what_it_says(story: Story) -> None:
    for line, expected in commands():
        done = story.call(line)
        assert done.returncode == 0, done.stdout + done.stderr
        assert VARYING.sub("…", done.stdout) == VARYING.sub("…", expected), line
    uploaded = {
        key.split("/")[-1].partition(".")[0]
        for page in story.stores[0].list_keys("")
        for key in page
        if key < batch(MONDAY + 80 * HOUR)
    }
    summed = {
        one["id"]
        for message in story.messages("aggregate")
        for one in message["batches"]  # type: ignore[attr-defined] # JSON
    }
    assert summed == uploaded, "every batch is summed whose window is over"
    assert uploaded <= {message["batch-id"] for message in story.messages("intake")}


def test_the_status_page_says_what_the_page_says_that_it_does(story: Story) -> None:
    line = "workflow-manager status --since 2026-11-16T00:00:00Z --html status.html"
    assert story.call(line).returncode == 0
    (expected,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert (
        "".join(f"{line}\n" for line in attention((story.directory / "status.html").read_text())) == expected
    )
    for command in re.findall(r"^workflow-manager backfill .* --only .*", expected, re.MULTILINE):
        done = story.call(f"{command} --yes")
        assert done.returncode == 0, done.stdout + done.stderr
    story.call(line)
    left = attention((story.directory / "status.html").read_text())
    assert [text for text in left if " were missed" in text or "too old" in text] == []


def attention(page: str) -> list[str]:
    """What the page says that needs attention: sentences and commands."""
    top = page.partition('<ol class="todo">')[2].partition("</ol>")[0]
    texts = re.split(r"</?(?:li|p|div|code)\b[^>]*>", top)
    return [" ".join(html.unescape(text).split()) for text in texts if text.strip()]


def test_before_the_peer_is_mended_scripts_see_what_is_wrong(story: Story) -> None:
    line = "workflow-manager status --since 2026-11-16T00:00:00Z --fail-on {}"
    for what in ("missed", "left-out", "too-old"):
        assert story.call(line.format(what)).returncode == 4, what
