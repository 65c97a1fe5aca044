"""A `serve` of the installed command over directories, and what it tells."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("workflow-manager")
WAIT = 45.0
DEFAULTS = """\
defaults:
  task-queue-kind: sqlite
  intake-tasks-topic: intake
  aggregate-tasks-topic: aggregate
  interval: {interval}
  aggregation-period: 1h
  intake-max-age: 24h
instances:
"""


class Served:
    """A running process, and what it has written."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = f"http://{self.wait('service.started')['listen']}"

    def wait(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """The log line of an event, once there have been so many of them."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.events if one["event"] == event and one.items() >= fields.items()]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, WAIT), self.events
            return found()[count - 1]

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=WAIT) as answer:
            return str(answer.read().decode())

    def status(self) -> dict[str, dict[str, Any]]:
        """What the process says of its instances, by name."""
        return {one["name"]: one for one in json.loads(self.get("/status.json"))["instances"]}

    def until(self, true: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        """What it says of them, once it is as it should be."""
        deadline = time.monotonic() + WAIT
        while not true(status := self.status()):
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        return status

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(WAIT)
        self._reader.join(WAIT)
        return status

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()


class Fleet:
    """Directories and a file of instances."""

    def __init__(self, directory: Path, interval: str = "1h") -> None:
        self.directory = directory
        self.path = directory / "fleet.yaml"
        self.text = DEFAULTS.format(interval=interval)

    def add(self, name: str, *lines: str) -> None:
        for bucket in ("in", "own", "peer"):
            (self.directory / name / bucket).mkdir(parents=True)
        at = self.directory / name
        given = (
            f"ingestor-input: file://{at}/in",
            f"own-validation-input: file://{at}/own",
            f"peer-validation-input: file://{at}/peer",
            f"sqlite-path: {at}/tasks.db",
            *(
                ()
                if any(line.startswith("k8s-namespace:") for line in lines)
                else (f"k8s-namespace: {name}",)
            ),
            *lines,
        )
        self.text += f"  {name}:\n" + "".join(f"    {line}\n" for line in given)
        self.path.write_text(self.text)

    def upload(self, name: str, aggregation: str = "kittens-seen") -> str:
        """A batch of this minute, object by object; its ID."""
        batch = str(uuid.uuid4())
        directory = self.directory / name / "in" / aggregation / f"{datetime.now(UTC):%Y/%m/%d/%H/%M}"
        directory.mkdir(parents=True, exist_ok=True)
        for suffix in ("batch", "batch.avro", "batch.sig"):
            (directory / f"{batch}.{suffix}").write_bytes(b"")
        return batch

    @contextmanager
    def serve(self, *flags: str) -> Iterator[Served]:
        command = [str(COMMAND), "serve", "--config", str(self.path), "--listen=127.0.0.1:0", *flags]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
            try:
                yield Served(process)
            finally:
                process.kill()
