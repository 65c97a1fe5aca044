"""What the Go program did on real listings, and whether a deployment of ours does the same."""

import json
from pathlib import Path
from typing import Any, Protocol

from support.command import Outcome, metrics

VECTORS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "conformance" / "vectors.jsonl").read_text().splitlines()
]


class Runnable(Protocol):
    """Three buckets and a queue, on whatever they are."""

    def put(self, bucket: str, *keys: str) -> None:
        """Write objects into a bucket."""

    def run(self, *arguments: str) -> Outcome:
        """One pass."""
        ...

    def tasks(self, topic: str) -> list[dict[str, Any]]:
        """The message bodies on a topic."""
        ...

    def markers(self) -> set[str]:
        """The keys of all markers."""
        ...


def check(vector: dict[str, Any], deployment: Runnable, textfile: Path) -> None:
    """Lay out a vector's objects, run once, and compare everything that can be seen."""
    for bucket, objects in zip(("ingestion", "own", "peer"), ("ingest", "own", "peer"), strict=True):
        deployment.put(bucket, *vector["buckets"][objects])

    outcome = deployment.run(*vector["args"], "--now", vector["now"], "--metrics-file", str(textfile))

    expected = vector["expect"]
    assert outcome.status == expected["exit"], outcome.stderr
    assert comparable(deployment.tasks("intake")) == comparable(expected["intake_tasks"])
    assert comparable(deployment.tasks("aggregate")) == comparable(expected["aggregation_tasks"])
    assert deployment.markers() == set(expected["new_markers"]) | set(vector["buckets"]["own"])
    found = metrics(textfile.read_text())
    for name, figures in expected["metrics"].items():
        for aggregation, figure in figures.items():
            assert found[name].get(aggregation, 0) == figure, (name, aggregation)
    for name in {name for other in VECTORS for name in other["expect"]["metrics"]}:
        for aggregation, figure in found.get(name, {}).items():
            assert figure == expected["metrics"].get(name, {}).get(aggregation, 0), (name, aggregation)


def comparable(tasks: list[dict[str, Any]]) -> list[str]:
    """Tasks without their trace IDs, in an order of our own; batches by time, then ID."""
    plain = []
    for task in tasks:
        rest = {key: value for key, value in task.items() if key != "trace-id"}
        if "batches" in rest:
            rest["batches"] = sorted(rest["batches"], key=lambda batch: (batch["time"], batch["id"]))
        plain.append(json.dumps(rest, sort_keys=True))
    return sorted(plain)
