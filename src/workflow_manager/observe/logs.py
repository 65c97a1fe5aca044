"""Events as log lines: JSON for machines, or a readable form for a terminal."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from typing import Self, TextIO

from workflow_manager.core.fast_json import json_encoder
from workflow_manager.observe.event import Event, Severity

_json = json_encoder(compact=False)
_ORDER = {severity: rank for rank, severity in enumerate(Severity)}
_COLOURS = {Severity.DEBUG: "2", Severity.INFO: "36", Severity.WARNING: "33", Severity.ERROR: "1;31"}


class Logs:
    """Writes each event that is severe enough as one line, from whichever thread it comes.

    The JSON form is what Google Cloud Logging reads: `severity`, `timestamp` (RFC 3339)
    and `message`, then `event` with the event's stable name, `labels` and the event's fields.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], datetime],
        least: Severity,
        *,
        json_lines: bool,
        colour: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._least = _ORDER[least]
        self._json_lines = json_lines
        self._colour = colour
        self._labels = dict(labels or {})
        self._lock = threading.Lock()
        self._lost = False

    def labelled(self, labels: Mapping[str, str]) -> Self:
        """The same place to write to, with more labels on each line."""
        one = copy(self)
        one._labels = self._labels | dict(labels)  # noqa: SLF001 (a copy of ourselves)
        return one

    def notify(self, *events: Event) -> None:
        """Write down those events that are severe enough."""
        now = self._clock().astimezone(UTC)
        if self._json_lines:
            write, time = self._json, now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        else:
            write, time = self._text, f"{now:%H:%M:%S}"
        lines = [f"{write(event, time)}\n" for event in events if _ORDER[event.severity] >= self._least]
        if lines:
            with self._lock:
                self._write("".join(lines))

    def _write(self, text: str) -> None:
        """Write to the stream, until that fails: a run must not lose its markers to a full disk of logs."""
        if self._lost:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._lost = True
            with suppress(OSError, ValueError):  # or Python tries once more at its end, and fails then
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def _json(self, event: Event, time: str) -> str:
        line = {
            "severity": event.severity.value,
            "timestamp": time,
            "message": event.message,
            "event": event.name,
            **self._labels,
            **event.fields,
        }
        return _json(line)

    def _text(self, event: Event, time: str) -> str:
        severity = f"{event.severity.value:7}"
        if self._colour:
            severity = f"\x1b[{_COLOURS[event.severity]}m{severity}\x1b[0m"
        instance = f"{self._labels['instance']}: " if "instance" in self._labels else ""
        return f"{time} {severity} {instance}{printable(event.message)}"


def printable(text: str) -> str:
    """The text with everything escaped that could move the cursor, colour a line or begin a new one."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
