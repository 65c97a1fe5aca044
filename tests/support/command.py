"""Runs the installed command as a user would, and reads what it leaves behind."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

# A folder with one environment for each extra, and one named `none`, in which a release's wheel is installed.
RELEASE = os.environ.get("WORKFLOW_MANAGER_INSTALLED")
NAMES = ("ingestion", "own", "peer")


def installed_with(extra: str) -> Path:
    """The command with one extra: of the release, or else of this environment, which has all extras."""
    if RELEASE:
        return Path(RELEASE) / extra / "bin" / "workflow-manager"
    return Path(sys.executable).with_name("workflow-manager")


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON log lines."""
        return [json.loads(line) for line in self.stderr.splitlines()]

    def event(self, name: str) -> dict[str, Any]:
        """The one log line with this event."""
        (found,) = [event for event in self.events if event["event"] == name]
        return found


def call(
    command: Path, arguments: Sequence[str], environ: Mapping[str, str] | None = None, timeout: float = 60
) -> Outcome:
    """Run the command to its end."""
    done = subprocess.run(
        [str(command), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Deployment:
    """Three buckets that are directories, a queue that is a file, and the command to run over them."""

    command: Path
    directory: Path

    def __post_init__(self) -> None:
        for name in NAMES:
            (self.directory / name).mkdir()

    @property
    def database(self) -> Path:
        """The queue's file."""
        return self.directory / "tasks.db"

    def put(self, bucket: str, *keys: str) -> None:
        """Write objects into a bucket."""
        for key in keys:
            path = self.directory / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

    def put_batch(self, key: str) -> None:
        """Write the three objects of an ingestion batch."""
        self.put("ingestion", f"{key}.batch", f"{key}.batch.avro", f"{key}.batch.sig")

    def flags(self) -> list[str]:
        """The flags that every run needs."""
        return [
            *("--ingestor-input", f"file://{self.directory}/ingestion"),
            *("--own-validation-input", f"file://{self.directory}/own"),
            *("--peer-validation-input", f"file://{self.directory}/peer"),
            *("--task-queue-kind", "sqlite", "--sqlite-path", str(self.database)),
            *("--intake-tasks-topic", "intake", "--aggregate-tasks-topic", "aggregate"),
        ]

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        """One pass."""
        return call(self.command, ["run", *self.flags(), *arguments], environ)

    def tasks(self, topic: str) -> list[dict[str, Any]]:
        """The message bodies on a topic."""
        if not self.database.exists():
            return []
        flags = ["--sqlite-path", str(self.database), "--topic", topic, "--json"]
        listed = call(self.command, ["tasks", "list", *flags])
        if "it does not exist" in listed.stderr:
            return []
        assert listed.status == 0, listed.stderr
        return [json.loads(line)["message"] for line in listed.stdout.splitlines()]

    def markers(self) -> set[str]:
        """The keys of all markers."""
        directory = self.directory / "own" / "task-markers"
        names = [path.name for path in directory.iterdir()] if directory.exists() else []
        # What a killed run was about to write is no object, and its lease no marker.
        return {f"task-markers/{name}" for name in names if "workflow-manager-" not in name}


def metrics(text: str) -> dict[str, dict[str, float]]:
    """Gauges by name and aggregation; the ones of the run have an empty aggregation."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[sample.labels.get("aggregation_id", "")] = sample.value
    return found
