"""A queue as another package brings it, which does what a test wants, in the process of the command."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from workflow_manager.errors import QueueError
from workflow_manager.ports import Limits, Message, Option, Settings

ENTRY_POINT = "[workflow_manager.queues]\nodd = odd_queue:OddQueue\n"
METADATA = "Metadata-Version: 2.1\nName: odd-queue\nVersion: 1.0\n"


def install(directory: Path) -> dict[str, str]:
    """Make the queue known to commands that are run with this environment."""
    (directory / "odd_queue.py").write_text(Path(__file__).read_text())
    about = directory / "odd_queue-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA)
    (about / "entry_points.txt").write_text(ENTRY_POINT)
    return {"PYTHONPATH": str(directory)}


class OddQueue:
    """Appends each message to the file `{topic}`, and gives a wrong number of outcomes if told to.

    While there is a file `closed`, requests wait; the first that does makes a file `reached`.
    """

    kind: ClassVar[str] = "odd"
    options: ClassVar[tuple[Option, ...]] = (
        Option("odd-directory", "directory of the files", required=True),
        Option("odd-surplus", "how many outcomes too many there are", "0", int),
    )
    limits: ClassVar[Limits] = Limits(messages=3, request_bytes=1_000_000, message_bytes=1_000_000)

    def __init__(self, directory: Path, surplus: int) -> None:
        self._directory = directory
        self._surplus = surplus

    @classmethod
    def open(cls, settings: Settings) -> Self:
        surplus = settings.options["odd-surplus"]
        assert isinstance(surplus, int)
        return cls(Path(str(settings.options["odd-directory"])), surplus)

    def prepare(self, topics: Sequence[str]) -> None:
        pass

    def publish(self, topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
        while (self._directory / "closed").exists():
            (self._directory / "reached").touch()
            time.sleep(0.01)
        with (self._directory / topic).open("ab") as file:
            file.write(b"".join(message.body + b"\n" for message in messages))
        outcomes: list[QueueError | None] = [None] * (len(messages) + max(0, self._surplus))
        return outcomes[: len(messages) + self._surplus]

    def check(self, topic: str) -> str:
        return topic

    def close(self) -> None:
        pass
