"""The vectors hold on the stores of both clouds as well.

In this process, since they are many and the emulators slow. For the same reason, only the
small ones are run unless every emulator has to be there, as in CI.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servers.fixtures import KEYS, gcs_bucket, s3_bucket
from servers.process import REQUIRED
from support.command import NAMES, Outcome
from support.vectors import VECTORS, check
from workflow_manager.cli.main import main
from workflow_manager.storage.gcs import GcsStore
from workflow_manager.storage.s3 import S3Store

SMALL = 60  # objects
CLOUDS = {"moto": "moto_url", "seaweedfs": "seaweedfs_url", "fake-gcs-server": "fake_gcs_url"}


def size(vector: dict[str, Any]) -> int:
    return sum(len(keys) for keys in vector["buckets"].values())


CHOSEN = [vector for vector in VECTORS if os.environ.get(REQUIRED) or size(vector) <= SMALL]


class CloudDeployment:
    """Three buckets in a cloud, a queue that is a file, and the command, called in this process."""

    def __init__(
        self,
        buckets: Mapping[str, S3Store | GcsStore],
        database: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.buckets = buckets
        self.database = database
        self.capsys = capsys

    def put(self, bucket: str, *keys: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self.buckets[bucket].put(key, b""), keys))

    def call(self, *arguments: str) -> Outcome:
        self.capsys.readouterr()
        status = main(arguments)
        return Outcome(status, *self.capsys.readouterr())

    def run(self, *arguments: str) -> Outcome:
        return self.call(
            "run",
            *("--ingestor-input", self.buckets["ingestion"].url),
            *("--own-validation-input", self.buckets["own"].url),
            *("--peer-validation-input", self.buckets["peer"].url),
            *("--task-queue-kind", "sqlite", "--sqlite-path", str(self.database)),
            *("--intake-tasks-topic", "intake", "--aggregate-tasks-topic", "aggregate"),
            *arguments,
        )

    def tasks(self, topic: str) -> list[dict[str, Any]]:
        if not self.database.exists():
            return []
        listed = self.call("tasks", "list", "--sqlite-path", str(self.database), "--topic", topic, "--json")
        assert listed.status == 0, listed.stderr
        return [json.loads(line)["message"] for line in listed.stdout.splitlines()]

    def markers(self) -> set[str]:
        return {key for page in self.buckets["own"].list_keys("task-markers/") for key in page}


@pytest.fixture(params=CLOUDS)
def deployment(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CloudDeployment]:
    url = request.getfixturevalue(CLOUDS[request.param])
    opened: Callable[[str], S3Store | GcsStore] = gcs_bucket if "gcs" in request.param else s3_bucket
    for name, value in {"STORAGE_EMULATOR_HOST": url, "AWS_ENDPOINT_URL_S3": url, **KEYS}.items():
        monkeypatch.setenv(name, value)
    buckets = {name: opened(url) for name in NAMES}
    yield CloudDeployment(buckets, tmp_path / "tasks.db", capsys)
    for store in buckets.values():
        store.close()


@pytest.mark.timeout(300)  # the largest has 4,000 objects, and the slowest emulator takes 100 a second
@pytest.mark.parametrize("vector", CHOSEN, ids=[vector["name"] for vector in CHOSEN])
def test_vector(vector: dict[str, Any], deployment: CloudDeployment, tmp_path: Path) -> None:
    check(vector, deployment, tmp_path / "metrics.prom")
