"""A package of somebody else's that uses the public API passes a strict type checker."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parent.parent
API = ROOT / "docs" / "reference" / "api"
OUTSIDE = """
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import pytest

from workflow_manager.errors import QueueError, StorageError
from workflow_manager.notices import Notice, NotificationSource
from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.events import RunFinished, TaskScheduled
from workflow_manager.ports import Limits, Message, ObjectStore, Observer, Option, Settings, TaskQueue
from workflow_manager.queue_ports import Inspectable, TopicStats
from workflow_manager.testing.inspect_contract import InspectContract
from workflow_manager.testing.queue_contract import QueueContract
from workflow_manager.testing.store_contract import StoreContract


class Queue:
    kind: ClassVar[str] = "outside"
    options: ClassVar[tuple[Option, ...]] = (Option("outside-directory", "a directory", required=True),)
    limits: ClassVar[Limits] = Limits(messages=10, request_bytes=1000, message_bytes=100)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls()

    def prepare(self, topics: Sequence[str]) -> None:
        raise QueueError("prepare", f"topic {topics[0]}", "full", "delete something")

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        return [None for message in messages if message.body]

    def check(self, topic: str) -> str:
        return f"{topic} is there"

    def close(self) -> None:
        pass

    def stats(self, topic: str) -> TopicStats:
        return TopicStats(waiting=len(topic), leased=0, oldest_seconds=None, dead=None)


class Listener:
    def notify(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, TaskScheduled) and event.severity is Severity.INFO:
                reveal_type(event.fields)
            elif isinstance(event, RunFinished):
                reveal_type(event.message)


class TestQueue(QueueContract):
    @pytest.fixture
    def queue(self, tmp_path: Path) -> TaskQueue:
        return Queue.open(Settings(options={"outside-directory": str(tmp_path)}))

    def received(self, queue: TaskQueue, topic: str, count: int) -> list[bytes]:
        return []


def uses(store: ObjectStore, source: NotificationSource) -> Iterator[str]:
    for page in store.list_keys("prefix/"):
        yield from page


queue: TaskQueue = Queue()
inspectable: Inspectable = Queue()
observer: Observer = Listener()
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "adapter.py"
    path.parent.mkdir()
    path.write_text(OUTSIDE)
    return path


def check(path: Path) -> "subprocess.CompletedProcess[str]":
    """mypy as somebody else runs it: strict, without this project's configuration, from another directory."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", str(path)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)


def test_a_strict_type_checker_accepts_it_and_knows_the_types(package: Path) -> None:
    done = check(package)
    assert done.returncode == 0, done.stdout
    revealed = re.findall(r'Revealed type is "(.*?)"', done.stdout.replace("builtins.", ""))
    assert revealed == ["typing.Mapping[str, object]", "str"]


def test_it_finds_what_breaks_a_contract(package: Path) -> None:
    package.write_text(
        OUTSIDE.replace("def check(self, topic: str) -> str:", "def check(self, topic: int) -> str:")
    )
    done = check(package)
    assert done.returncode == 1
    assert "TaskQueue" in done.stdout


def test_each_public_name_is_documented() -> None:
    for page in API.glob("*.md"):
        for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE):
            module = import_module(name)
            assert module.__doc__, name
            for attribute, value in vars(module).items():
                if isinstance(value, type) and value.__module__ == name and not attribute.startswith("_"):
                    assert value.__doc__, f"{name}.{attribute}"
