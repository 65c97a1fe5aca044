"""A run of the installed command that is under way, whose log lines are read as they come."""

import json
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from servers.fixtures import KEYS
from support.clouds import COMMAND


class Running:
    """A run that is under way."""

    def __init__(self, flags: list[str], environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "run", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**KEYS, **environ},
        )
        self.events: list[dict[str, Any]] = []

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def until(self, name: str) -> dict[str, Any]:
        """Read on to an event, which has to come."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == name:
                return self.events[-1]
        raise AssertionError(f"no {name} in {self.events}")

    def status(self) -> int:
        """The exit status, when everything is read."""
        assert self.process.stderr is not None
        self.events += map(json.loads, self.process.stderr)
        return self.process.wait()

    def printed(self) -> str:
        """What a run that has ended has printed."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def names(self) -> list[str]:
        return [str(event["event"]) for event in self.events]

    def errors(self) -> list[dict[str, Any]]:
        """The lines of severity ERROR."""
        return [event for event in self.events if event["severity"] == "ERROR"]

    def end(self) -> None:
        """Have nothing of it outlive a test."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
