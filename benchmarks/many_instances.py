"""One pass over many instances in one process, beside a process for each of them.

    python benchmarks/many_instances.py --instances 300 --separate 10

Each instance has 3 aggregations with 24 batches. They share an ingestion and a peer bucket, and
each has its own bucket of markers. The separate processes run one after the other, as many as
are asked for, and their CPU time is given for all instances.
"""

import argparse
import tempfile
from pathlib import Path

from filling import GRACE, INGESTION_BUCKET, MAX_AGE, NOW, PEER_BUCKET, PERIOD, Filling
from measuring import Ended, environ_for, installed, spawn
from serving import RunningServer, add_protocols, served

_FLAGS = (
    *("--task-queue-kind=gcp-pubsub", "--gcp-project-id=benchmark"),
    *("--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate"),
)


def main() -> None:
    """Measure, and print a line for each of new batches and of marked ones."""
    parser = argparse.ArgumentParser(description="One pass over many instances")
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--separate", type=int, default=10, help="separate processes to measure")
    parser.add_argument("--latency", type=float, default=20, help="milliseconds a request takes (20)")
    add_protocols(parser)
    parser.set_defaults(storage="gcs")
    arguments = parser.parse_args()
    print("| batches | one process: wall s | CPU s | MB | separate: wall s each | CPU s for all | MB each |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with served(arguments) as server, tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "fleet.yaml"
        path.write_text(_file(arguments.instances))
        for about, marked in (("marked", 1), ("new", 0)):
            server.fill(Filling(3, 24, 1, marked=marked, aggregated=bool(marked)))
            one = _run(server, path, arguments, [])
            alone = [
                _run(server, path, arguments, [f"--instance=i{number}"])
                for number in range(arguments.separate)
            ]
            wall = sum(ended.wall for ended in alone) / len(alone)
            cpu = sum(sum(ended.usage[:2]) for ended in alone) / len(alone) * arguments.instances
            memory = max(ended.usage[2] for ended in alone)
            print(
                f"| {about} | {one.wall:.1f} | {sum(one.usage[:2]):.1f} | {one.usage[2]:.0f} "
                f"| {wall:.2f} | {cpu:.0f} | {memory:.0f} |",
                flush=True,
            )


def _file(instances: int) -> str:
    lines = ["instances:"]
    for number in range(instances):
        lines += [
            f"  i{number}:",
            f"    ingestor-input: gs://{INGESTION_BUCKET}",
            f"    own-validation-input: gs://own-{number}",
            f"    peer-validation-input: gs://{PEER_BUCKET}",
        ]
    return "\n".join(lines) + "\n"


def _run(server: RunningServer, path: Path, arguments: argparse.Namespace, more: list[str]) -> Ended:
    server.reset(arguments.latency / 1000)
    server.own_buckets(arguments.instances)
    windows = {"intake-max-age": MAX_AGE, "aggregation-period": PERIOD, "grace-period": GRACE}
    lengths = [f"--{flag}={length.total_seconds():.0f}s" for flag, length in windows.items()]
    flags = ["run", "--config", str(path), *_FLAGS, f"--now={NOW.isoformat()}", *lengths, "--log-level=error"]
    ended = spawn([installed(), *flags, *more], environ_for(server))
    if ended.status:
        raise RuntimeError(f"exit status {ended.status}\n{ended.errors[-3000:]}")
    return ended


if __name__ == "__main__":
    main()
