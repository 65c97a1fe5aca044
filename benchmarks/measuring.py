"""Runs the command as a process and measures it: time, memory, requests."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from filling import GRACE, INGESTION_BUCKET, MAX_AGE, NOW, OWN_BUCKET, PEER_BUCKET, PERIOD, Filling
from serving import RunningServer

_IN_MEMORY = Path(__file__).with_name("in_memory.py")
_URLS = {"s3": "s3://us-east-1/{}", "gcs": "gs://{}", "memory": "memory://{}"}
_TOPICS = {
    "sns": "arn:aws:sns:us-east-1:000000000000:benchmark-{}",
    "pubsub": "benchmark-{}",
    "memory": "benchmark-{}",
}
_QUEUE_FLAGS = {
    "sns": ("--task-queue-kind=aws-sns", "--aws-sns-region=us-east-1"),
    "pubsub": ("--task-queue-kind=gcp-pubsub", "--gcp-project-id=benchmark"),
    "memory": ("--task-queue-kind=memory",),
}
_MOST_READ = 1 << 20  # bytes of what a process has written
# What is set in the environment of whoever measures must not reach the command.
_CLOUD_VARIABLES = ("AWS_", "GOOGLE_", "WORKFLOW_MANAGER_", "STORAGE_", "PUBSUB_")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: wall time, CPU time (user and system) in seconds, peak memory in MB, requests by kind.

    `most_in_flight` is how many requests the server had at once.
    """

    wall: float
    cpu: float
    memory: float
    requests: Mapping[str, int]
    messages: int
    most_in_flight: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended: its status, what it wrote last, and what it took."""

    status: int
    output: str
    errors: str
    wall: float
    usage: tuple[float, float, float]  # user and system seconds, peak memory in MB


class Command:
    """The installed command, over buckets and a queue of one kind."""

    def __init__(self, path: str, storage: str, queue: str, server: RunningServer) -> None:
        self._path = path or installed()
        self._storage = storage
        self._queue = queue
        self._server = server

    def run(self, filling: Filling, more_flags: Sequence[str], command: str = "run") -> Run:
        """Measure one run. Raises RuntimeError if it did not do all it had to."""
        flags = [command, *self._flags(), *more_flags]
        if self._storage == "memory":
            program = [sys.executable, str(_IN_MEMORY), json.dumps(asdict(filling)), *flags]
        else:
            program = [self._path, *flags]
        ended = spawn(program, environ_for(self._server))
        if ended.status:
            raise RuntimeError(f"{' '.join(program)}\nexit status {ended.status}\n{ended.errors[-3000:]}")
        user, system, memory = ended.usage
        wall, cpu = ended.wall, user + system
        if self._storage == "memory":
            alone = json.loads(ended.output.splitlines()[-1])
            wall, cpu = alone["wall"], alone["cpu"]
        counters = self._server.counters()
        if self._queue != "memory":
            expected = filling.new + (0 if filling.aggregated else filling.aggregations)
            if counters["messages"] != expected:
                raise RuntimeError(f"{expected} messages were to be published, not {counters['messages']}")
        return Run(wall, cpu, memory, counters["requests"], counters["messages"], counters["most_in_flight"])

    def _flags(self) -> list[str]:
        buckets = zip(
            ("ingestor", "own-validation", "peer-validation"),
            (INGESTION_BUCKET, OWN_BUCKET, PEER_BUCKET),
            strict=True,
        )
        return [
            *(f"--{role}-input={_URLS[self._storage].format(name)}" for role, name in buckets),
            *_QUEUE_FLAGS[self._queue],
            f"--intake-tasks-topic={_TOPICS[self._queue].format('intake')}",
            f"--aggregate-tasks-topic={_TOPICS[self._queue].format('aggregate')}",
            f"--now={NOW.isoformat()}",
            f"--intake-max-age={MAX_AGE.total_seconds():.0f}s",
            f"--aggregation-period={PERIOD.total_seconds():.0f}s",
            f"--grace-period={GRACE.total_seconds():.0f}s",
        ]


def environ_for(server: RunningServer) -> dict[str, str]:
    """The environment of a command that uses the server for each kind of cloud."""
    # An installed program is compiled; so is one in a checkout, with its first run.
    left_out = (*_CLOUD_VARIABLES, "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_ENDPOINT_URL": server.url,
        "STORAGE_EMULATOR_HOST": server.url,
        "PUBSUB_EMULATOR_HOST": server.url,
        "REQUESTS_CA_BUNDLE": server.certificate,
        "NO_PROXY": "127.0.0.1",
    }


def median(runs: Sequence[Run]) -> Run:
    """The run in the middle by its wall time, as it was: figures of different runs are not mixed."""
    return sorted(runs, key=lambda run: run.wall)[(len(runs) - 1) // 2]


def installed() -> str:
    """The command beside this Python; raises RuntimeError if there is none."""
    path = shutil.which("workflow-manager", path=str(Path(sys.executable).parent))
    if path is None:
        raise RuntimeError("workflow-manager is not installed beside this Python: name it with --command")
    return path


def spawn(program: Sequence[str], environ: Mapping[str, str]) -> Ended:
    """Run a program to its end.

    The kernel counts the memory of whoever starts a process as the process's own until the
    program is loaded, so this script must stay smaller than what it measures.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        process = os.posix_spawn(
            program[0],
            list(program),
            environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
            ],
        )
        _, status, usage = os.wait4(process, 0)
        wall = time.perf_counter() - begin
        return Ended(
            os.waitstatus_to_exitcode(status),
            _end_of(output),
            _end_of(errors),
            wall,
            (usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024),
        )


def _end_of(file: IO[bytes]) -> str:
    """What it says last: all of 48,000 log lines would make this script larger than what it measures."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_READ))
    return file.read().decode(errors="replace")
