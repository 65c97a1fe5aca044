"""Receives notifications from one source, for as long as the process lives, and passes hints on."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from workflow_manager.core.names import MARKERS, aggregation_problem
from workflow_manager.errors import NotificationError, explain
from workflow_manager.notices import ANY_KEY, Notice, NotificationSource, Upload
from workflow_manager.observe.service_events import SourceFailed, SourceRecovered
from workflow_manager.ports import Observer
from workflow_manager.service.hints import Held

MOST_OUTSTANDING = 2000  # notices that are received and not settled yet
FIRST_PAUSE = 1.0  # seconds after a failure; doubled each time
LONGEST_PAUSE = 60.0

# Gets the name of an instance, an aggregation of it, the time of the upload, and what to settle.
Hint = Callable[[str, str, float, Held], None]


@dataclass(slots=True, eq=False)
class _Received:
    """A notice, and how many passes are to look at what it names."""

    settles: Callable[[Sequence[Held], bool], None]
    receipt: str
    waiting: int
    good: bool = True


class Listener:
    """One source, whose notices are about the buckets of one or several instances.

    `routes` has the instances by the name that the source has for their bucket. What is about no
    bucket of theirs, or names no aggregation, is acknowledged and left.
    """

    def __init__(
        self,
        url: str,
        source: NotificationSource,
        routes: Mapping[str, Sequence[str]],
        hint: Hint,
        observer: Observer,
    ) -> None:
        self.url = url
        self.routes = routes
        self._source = source
        self._hint = hint
        self._observer = observer
        self._room = threading.Condition()
        self._outstanding = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def end(self) -> None:
        """Receive no more. The thread ends with the request that it waits for, which may take long."""
        self._ended.set()
        with self._room:
            self._room.notify_all()

    def _listen(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                notices = self._source.receive()
            except Exception as error:  # noqa: BLE001 (whatever a source raises, the next try may be better)
                failures += 1
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 30))
                if failures == 1 or pause == LONGEST_PAUSE:
                    self._observer.notify(SourceFailed(self.url, explain(error)))
                self._ended.wait(pause * random.uniform(0.5, 1))  # noqa: S311 (no secret)
                continue
            if failures:
                failures = 0
                self._observer.notify(SourceRecovered(self.url))
            self._take(notices)
        self._source.close()

    def _take(self, notices: Sequence[Notice]) -> None:
        if self._ended.is_set():
            return  # they come again, to whoever listens then
        useless: list[Held] = []
        with self._room:
            self._outstanding += len(notices)
        for notice in notices:
            wanted = {
                (name, aggregation): upload.time
                for upload in sorted(notice.uploads, key=lambda upload: upload.time)
                if (aggregation := named_aggregation(upload)) is not None
                for name in self.routes.get(upload.bucket, ())
            }
            received = _Received(self._settle, notice.receipt, len(wanted))
            if not wanted:
                useless.append(received)
            for (name, aggregation), time in wanted.items():
                self._hint(name, aggregation, time, received)
        if useless:
            self._settle(useless, True)  # noqa: FBT003 (the protocol's)
        with self._room:
            self._room.wait_for(lambda: self._outstanding < MOST_OUTSTANDING or self._ended.is_set())

    def _settle(self, held: Sequence[Held], done: bool) -> None:  # noqa: FBT001 (as above)
        receipts = []
        with self._room:
            for received in cast("Sequence[_Received]", held):
                received.waiting -= 1
                received.good = received.good and done
                if received.waiting <= 0:
                    self._outstanding -= 1
                    if received.good and received.receipt:
                        receipts.append(received.receipt)
            self._room.notify_all()
        if not receipts or self._ended.is_set():
            return
        try:
            self._source.acknowledge(receipts)
        except NotificationError as error:  # they come again, and cost a pass
            self._observer.notify(SourceFailed(self.url, explain(error)))


def named_aggregation(upload: Upload) -> str | None:
    """The aggregation that an upload's key names, or ANY_KEY; None if it names none. It may be anything."""
    if upload.key == ANY_KEY:
        return ANY_KEY
    aggregation, slash, _ = upload.key.partition("/")
    if not slash or aggregation == MARKERS or aggregation_problem(aggregation):
        return None
    return aggregation
