"""How many tasks a second each queue takes, and what it adds to a run that publishes three.

    python benchmarks/queues.py [tasks]

The buckets are directories, the queues the servers that the tests use, except that SNS is the
benchmarks' own server; all of them run in processes of their own. A second run over the same
buckets finds everything marked; so the time of the first without that of the second is from the
plan to the marker of an acknowledged task. What a queue adds is what a run takes that publishes
three tasks to it, without what the same run takes with a queue in memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median

from measuring import Ended, installed, spawn

FEW = 3
PAIRS = 7
SLOW = {"aws-sqs": 1000}  # moto looks at all messages it holds whenever another comes

Setting = tuple[list[str], dict[str, str]]  # flags, environment
MEMORY: Setting = (["--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate"], {})


class Buckets:
    """Directories with batches that are ready to be taken in. Each run has its own place for markers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def filled(self, batches: int) -> Path:
        """An ingestion bucket with this many batches, in hours of at most a thousand."""
        bucket = self._folder / f"ingestion-{batches}"
        if bucket.is_dir():
            return bucket
        for number in range(batches):
            hour = bucket / f"notifications/2026/11/22/{number // 1000:02}/00"
            if not number % 1000:
                hour.mkdir(parents=True)
            for suffix in ("", ".avro", ".sig"):
                (hour / f"{number:08x}-a0b1-c2d3-e4f5-0123456789ab.batch{suffix}").touch()
        return bucket

    def new(self) -> Path:
        """An empty bucket."""
        bucket = self._folder / f"own-{next(self._numbers)}"
        bucket.mkdir()
        return bucket


def main() -> None:
    """Measure every queue that there is a server for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tasks", type=int, nargs="?", default=5000, help="how many to publish (%(default)s)")
    tasks: int = parser.parse_args().tasks
    with tempfile.TemporaryDirectory(prefix="queues-") as folder, servers() as kinds:
        buckets = Buckets(Path(folder))
        sqlite = ["--sqlite-path", f"{folder}/tasks.db", *MEMORY[0]]
        print(f"{'queue':<12}{'tasks':>8}{'tasks/s':>9}{'ratio':>7}{'CPU added':>12}{'MB added':>10}")
        first_speed = 0.0
        for kind, setting in {"sqlite": (sqlite, {}), **kinds}.items():
            if isinstance(setting, str):
                print(f"{kind:<12}not measured: {setting}")
                continue
            number = min(tasks, SLOW.get(kind, tasks))
            speed = tasks_a_second(kind, setting, buckets, number)
            first_speed = first_speed or speed
            cpu, memory = added(kind, setting, buckets)
            figures = f"{number:>8,}{speed:>9,.0f}{speed / first_speed:>7.2f}{cpu:>10.3f} s{memory:>10.0f}"
            print(f"{kind:<12}{figures}", flush=True)


def tasks_a_second(kind: str, setting: Setting, buckets: Buckets, tasks: int) -> float:
    """Tasks a second, from the plan to the marker."""
    ingestion, own, peer = buckets.filled(tasks), buckets.new(), buckets.new()
    first, second = (run(kind, setting, ingestion, own, peer).wall for _ in range(2))
    return tasks / (first - second)


def added(kind: str, setting: Setting, buckets: Buckets) -> tuple[float, float]:
    """CPU time in seconds and peak memory in MB that a queue adds to a short run; medians of pairs."""
    ingestion, peer = buckets.filled(FEW), buckets.new()
    pairs = [
        (
            run("memory", MEMORY, ingestion, buckets.new(), peer),
            run(kind, setting, ingestion, buckets.new(), peer),
        )
        for _ in range(PAIRS)
    ]
    cpu = median(sum(more.usage[:2]) - sum(bare.usage[:2]) for bare, more in pairs)
    return cpu, median(more.usage[2] - bare.usage[2] for bare, more in pairs)


@contextmanager
def servers() -> Iterator[Mapping[str, Setting | str]]:
    """The settings of each kind of queue for which a server runs, or why none does."""
    script = Path(__file__).with_name("queue_servers.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.communicate()


def run(kind: str, setting: Setting, ingestion: Path, own: Path, peer: Path) -> Ended:
    """One run. Raises RuntimeError if it did not do all it had to."""
    flags, environ = setting
    buckets = (("ingestor", ingestion), ("own-validation", own), ("peer-validation", peer))
    program = [
        installed(),
        *(f"--{role}-input=file://{path}" for role, path in buckets),
        f"--task-queue-kind={kind}",
        *flags,
        "--now=2026-11-23T00:00:00Z",
        "--intake-max-age=48h",
    ]
    ended = spawn(program, {**os.environ, **environ})
    if ended.status:
        raise RuntimeError(f"{' '.join(program)}\nexit status {ended.status}\n{ended.errors[-3000:]}")
    return ended


if __name__ == "__main__":
    main()
