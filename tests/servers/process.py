"""Starts a server for as long as a test session needs it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

REQUIRED = "WORKFLOW_MANAGER_REQUIRE_EMULATORS"
START_TIMEOUT = 60.0  # seconds for a server to answer


def find(program: str, how_to_get: str) -> str:
    """The path of a program. One that is absent skips the test for a user, and fails it in CI."""
    beside = Path(sys.executable).parent  # where packages put what they install
    path = shutil.which(program, path=str(beside)) or shutil.which(program)
    if path is None:
        absent(f"{program} is not installed: {how_to_get}")
    return str(path)


def absent(reason: str) -> None:
    """Skip, or fail where every server has to be there."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], health: str, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server, in a process group of its own, from when it answers until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environ or {})},
        )
    try:
        _wait(process, health, log)
        yield
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition: Callable[[], bool], complaint: str, timeout: float = START_TIMEOUT) -> None:
    """Ask again and again whether something has come to be."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint)
        time.sleep(0.05)


def _wait(process: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not answer:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    """Whether a server gives any answer over HTTP, or, for `tcp://host:port`, takes a connection."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "tcp":
            socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=1).close()
            return True
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True  # any answer is one
    except OSError:
        return False
