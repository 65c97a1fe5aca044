"""`serve` for long: memory, threads and files do not grow, whatever fails in between.

CI has a thousand passes; WORKFLOW_MANAGER_PASSES=10000 has ten times as many.
"""

import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from support.serving import Fleet, Served

PASSES = int(os.environ.get("WORKFLOW_MANAGER_PASSES", "1000"))
INSTANCES = 50
WATCHED = 5
SEED = 14
# Few threads, so that all that there may be are there soon, however busy the machine is.
FLAGS = (
    *("--max-passes=8", "--max-list-requests=8"),
    *("--max-publish-requests=8", "--max-marker-requests=8"),
)
SECONDS_PER_PASS = 0.25  # seconds a pass may take on a busy machine, all in all
MOST_GROWTH = 12.0  # MB; fragmentation takes a few, and a leak of a kilobyte a pass shows at 10,000


class Use(NamedTuple):
    """What a process has at a moment: memory in MB, threads, and open files."""

    memory: float
    threads: int
    files: int


def use(served: Served) -> Use:
    process = Path(f"/proc/{served.process.pid}")
    (line,) = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS")]
    return Use(
        int(line.split()[1]) / 1024,
        len(list((process / "task").iterdir())),
        len(list((process / "fd").iterdir())),
    )


def passes(served: Served) -> int:
    return sum(sum(one["passes"].values()) for one in served.status().values())


class Mischief:
    """Takes directories of instances away, and puts them back."""

    def __init__(self, fleet: Fleet, names: list[str]) -> None:
        self._fleet = fleet
        self._names = names
        self._random = random.Random(SEED)
        self._gone: list[Path] = []

    def make(self) -> None:
        self.mend()
        for name in self._random.sample(self._names, 6):
            bucket = self._fleet.directory / name / self._random.choice(("in", "own", "peer"))
            bucket.rename(bucket.with_suffix(".gone"))
            self._gone.append(bucket)

    def mend(self) -> None:
        while self._gone:
            bucket = self._gone.pop()
            bucket.with_suffix(".gone").rename(bucket)


@pytest.mark.timeout(120 + PASSES)
def test_nothing_grows_and_nothing_is_lost(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.text = fleet.text.replace("interval: 1h", "interval: 1s\n  lease-duration: 5s")
    names = [f"i{number}" for number in range(INSTANCES)]
    for number, name in enumerate(names):
        fleet.add(name, *(["ingestor-notifications: watch"] if number < WATCHED else []))
    mischief = Mischief(fleet, names[WATCHED:])
    uploaded = {name: [fleet.upload(name)] for name in names}
    with fleet.serve(*FLAGS) as served:
        uses: list[Use] = []
        deadline = time.monotonic() + 60 + PASSES * SECONDS_PER_PASS
        while (done := passes(served)) < PASSES:
            assert time.monotonic() < deadline, done
            mischief.make()
            for name in random.Random(done).sample(names[:WATCHED], 2):
                uploaded[name].append(fleet.upload(name))
            served.get("/metrics")
            if done > PASSES / 3:
                uses.append(use(served))
            served.events.clear()
            time.sleep(0.5)
        mischief.mend()
        deadline = time.monotonic() + 90  # leases that could not be given back end by themselves
        while bad := [one for one in served.status().values() if one["state"] != "ok"]:
            assert time.monotonic() < deadline, f"{len(bad)} do not recover, such as {bad[0]}"
            time.sleep(0.5)
        assert served.end() == 143
    (tmp_path / "use").write_text(f"{done} passes\nfirst {uses[0]}\nlast {uses[-1]}\n")
    assert uses[-1].memory - uses[0].memory < MOST_GROWTH, uses
    assert max(one.threads for one in uses) <= uses[0].threads + 20, uses
    assert uses[-1].files <= uses[0].files + 40, uses  # those of requests that were under way
    for name, batches in uploaded.items():
        with closing(sqlite3.connect(tmp_path / name / "tasks.db")) as database:
            bodies = [body for (body,) in database.execute("SELECT body FROM messages")]
        assert all(any(batch.encode() in body for body in bodies) for batch in batches), name
