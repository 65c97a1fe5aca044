"""The vectors that have aggregation tasks hold for a subscriber of Pub/Sub as well."""

import json
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from servers import pubsub
from support.command import Deployment, Outcome
from support.vectors import VECTORS, check

# The command of this environment, which has the extras: the wheel's own has none.
COMMAND = Path(sys.executable).with_name("workflow-manager")
CHOSEN = [vector for vector in VECTORS if vector["expect"]["aggregation_tasks"]]
MOST = 1000  # tasks that any vector has on a topic


@dataclass(frozen=True)
class PubSubDeployment(Deployment):
    """Buckets that are directories, and topics on the emulator."""

    emulator: str
    project: str = field(default_factory=lambda: f"p-{uuid.uuid4()}")

    def run(self, *arguments: str) -> Outcome:  # type: ignore[override] # the environment is its own
        queue = (
            "--task-queue-kind=gcp-pubsub",
            f"--gcp-project-id={self.project}",
            "--gcp-pubsub-create-topics",
        )
        return super().run(*arguments, *queue, environ={"PUBSUB_EMULATOR_HOST": self.emulator})

    def tasks(self, topic: str) -> list[dict[str, Any]]:
        subscription = f"projects/{self.project}/subscriptions/{topic}"
        return [json.loads(body) for body in pubsub.pull(self.emulator, subscription, MOST)]


@pytest.mark.parametrize("vector", CHOSEN, ids=[vector["name"] for vector in CHOSEN])
def test_vector(vector: dict[str, Any], tmp_path: Path, pubsub_url: str) -> None:
    check(vector, PubSubDeployment(COMMAND, tmp_path, pubsub_url), tmp_path / "metrics.prom")
