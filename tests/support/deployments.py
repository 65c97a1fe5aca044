"""The program where it is deployed: over directories with a file as its queue, and on S3 with SNS.

Both answer the same questions, so that the same tests hold for both.
"""

import json
import os
import subprocess
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from servers import moto
from servers.fixtures import KEYS, s3_bucket
from support.command import Outcome, call
from workflow_manager.ports import Limits, ObjectStore, Settings
from workflow_manager.queues.sns import SnsQueue
from workflow_manager.queues.sqlite import SqliteQueue
from workflow_manager.storage.local import LocalStore

AGGREGATIONS = 3
WINDOW = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=6h", "--batch-ids=any")
LEASE = "task-markers/workflow-manager-lease-"
MARKER = "task-markers/intake-"


class Deployment(ABC):
    """Batches with the IDs 0, 1, 2… and the command to schedule them, in one history after another.

    Each history has its own bucket for markers and its own queue; the batches are the same.
    """

    name: ClassVar[str]
    limits: ClassVar[Limits]
    command: Path
    environ: Mapping[str, str] = {}
    ingestion: ObjectStore
    peer: ObjectStore
    own: ObjectStore

    def __init__(self, batches: int) -> None:
        self.batches = [str(number) for number in range(batches)]
        for number in range(batches):
            name = f"agg-{number % AGGREGATIONS}/2026/11/23/03/{number % 60:02}/{number}"
            for ending in (".batch", ".batch.avro", ".batch.sig"):
                self.ingestion.put(name + ending, b"")

    @abstractmethod
    def renew(self) -> None:
        """Begin a new history: nothing is published or marked."""

    @abstractmethod
    def arrived(self) -> list[str]:
        """The batches in the messages that have come since this was last asked."""

    @abstractmethod
    def queue_flags(self) -> list[str]:
        """The flags that name the queue."""

    def arguments(self, *flags: str) -> list[str]:
        """The arguments of a run."""
        return [
            *("run", f"--ingestor-input={self.ingestion.url}"),
            *(f"--own-validation-input={self.own.url}", f"--peer-validation-input={self.peer.url}"),
            *self.queue_flags(),
            *WINDOW,
            *flags,
        ]

    def start(self, *flags: str) -> "subprocess.Popen[str]":
        """Start a run, whose log lines are read by the one who called."""
        return subprocess.Popen(
            [self.command, *self.arguments(*flags)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environ},
        )

    def run(self, *flags: str) -> Outcome:
        """A whole run."""
        return call(self.command, self.arguments(*flags), self.environ, timeout=300)

    def marked(self) -> set[str]:
        """The batches that have a marker."""
        return {key.rpartition("-")[2] for key in self._keys(MARKER)}

    def leases(self) -> list[str]:
        """The names of the leases."""
        return list(self._keys(LEASE))

    def age_leases(self, seconds: int) -> None:
        """Have time go by for those who read the leases: they began, and end, so much earlier."""
        for key in self.leases():
            scope, expires, begun, owner = key.removeprefix(LEASE).split("-", 3)
            times = f"{int(expires) - seconds:012}-{int(begun) - seconds:012}"
            self.own.put(f"{LEASE}{scope}-{times}-{owner}", b"")
            self.own.delete(key)

    def _keys(self, prefix: str) -> Iterator[str]:
        return (key for page in self.own.list_keys(prefix) for key in page)


class Files(Deployment):
    """Directories, and SQLite; the command of the built wheel."""

    name = "file and SQLite"
    limits = SqliteQueue.limits

    def __init__(self, installed: Path, directory: Path, batches: int) -> None:
        self.command = installed
        self._directory = directory
        self._count = 0
        self.ingestion, self.peer = self._bucket("ingestion"), self._bucket("peer")
        super().__init__(batches)

    def renew(self) -> None:
        self._count += 1
        self.own = self._bucket(f"own-{self._count}")
        self._database = self._directory / f"tasks-{self._count}.db"
        self._seen = 0

    def queue_flags(self) -> list[str]:
        flags = ["--task-queue-kind=sqlite", f"--sqlite-path={self._database}"]
        return [*flags, "--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate"]

    def arrived(self) -> list[str]:
        if not self._database.exists():
            return []
        flags = ["--sqlite-path", str(self._database), "--topic", "intake", "--json"]
        listed = call(self.command, ["tasks", "list", *flags])
        if "it does not exist" in listed.stderr:  # a run was killed before it made them
            return []
        assert listed.status == 0, listed.stderr
        lines = listed.stdout.splitlines()
        new, self._seen = lines[self._seen :], len(lines)
        return [json.loads(line)["message"]["batch-id"] for line in new]

    def _bucket(self, name: str) -> LocalStore:
        (self._directory / name).mkdir()
        return LocalStore.open(f"file://{self._directory}/{name}", Settings())


class Amazon(Deployment):
    """S3, and SNS with a queue of SQS subscribed to it; the command of this environment, with the extra."""

    command = Path(sys.executable).with_name("workflow-manager")
    name = "S3 and SNS"
    limits = SnsQueue.limits

    def __init__(self, moto_url: str, batches: int) -> None:
        self._moto = moto_url
        self.environ = {"AWS_ENDPOINT_URL": moto_url, **KEYS}
        self.ingestion, self.peer = s3_bucket(moto_url), s3_bucket(moto_url)
        super().__init__(batches)

    def renew(self) -> None:
        self.own = s3_bucket(self._moto)
        self._queue = uuid.uuid4().hex
        self._topics = [moto.make_topic(self._moto, name) for name in (self._queue, f"{self._queue}-a")]

    def queue_flags(self) -> list[str]:
        flags = ["--task-queue-kind=aws-sns", f"--aws-sns-region={moto.REGION}"]
        intake, aggregate = self._topics
        return [*flags, f"--intake-tasks-topic={intake}", f"--aggregate-tasks-topic={aggregate}"]

    def arrived(self) -> list[str]:
        bodies = moto.receive(self._moto, self._queue, 100_000)
        return [json.loads(body)["batch-id"] for body in bodies]
