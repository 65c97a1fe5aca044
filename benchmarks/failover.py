"""How long another replica of `serve` takes to go on with an instance when one is killed in a pass over it.

    python benchmarks/failover.py --kills 20

Each kill has two replicas and an instance of its own, over directories. The one whose lease is seen is
killed with SIGKILL, so that its lease stays, and the seconds are counted until the other has scheduled
a batch that comes in then. All kills are made side by side.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from measuring import installed
from support.serving import Fleet

LEASE_SECONDS = 5


def main() -> None:
    """Measure, and print the least, the median and the most."""
    parser = argparse.ArgumentParser(description="Failover time")
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    found: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        threads = [
            threading.Thread(target=_measure, args=(Path(directory) / str(number), found))
            for number in range(kills)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found.sort()
    print(f"{len(found)} kills: {found[0]:.1f} s, median {found[len(found) // 2]:.1f} s, {found[-1]:.1f} s")


def _measure(directory: Path, found: list[float]) -> None:
    attempt = 0
    while (seconds := _fail_over(directory / str(attempt))) is None:
        attempt += 1
    found.append(seconds)


def _fail_over(directory: Path) -> float | None:
    """How long it took; None if the kill came too late to leave a lease."""
    directory.mkdir(parents=True)
    fleet = Fleet(directory)
    fleet.text = fleet.text.replace("interval: 1h", f"interval: 1s\n  lease-duration: {LEASE_SECONDS}s")
    fleet.add("one")
    command = [installed(), "serve", "--config", str(fleet.path), "--listen=none"]
    replicas = {
        process.pid: process
        for process in (subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2))
    }
    markers = directory / "one" / "own" / "task-markers"
    try:
        if not _leaves_a_lease(fleet, markers, list(replicas)):
            return None
        begun = time.monotonic()
        batch = fleet.upload("one")
        while not any(batch in path.name for path in markers.iterdir()):
            time.sleep(0.05)
        return time.monotonic() - begun
    finally:
        for process in replicas.values():
            process.kill()
            process.wait()


def _leaves_a_lease(fleet: Fleet, markers: Path, pids: list[int]) -> bool:
    """Kill the first whose lease is seen; whether that stays. Batches that come in make passes longer."""
    while True:
        fleet.upload("one")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            names = [path.name for path in markers.iterdir()] if markers.exists() else []
            for pid in pids:
                leases = [name for name in names if "lease" in name and f"-{pid}-" in name]
                if leases and (markers / leases[0]).exists():
                    os.kill(pid, signal.SIGKILL)
                    time.sleep(0.1)
                    return (markers / leases[0]).exists()


if __name__ == "__main__":
    main()
