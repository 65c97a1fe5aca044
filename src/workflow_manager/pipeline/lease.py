"""Keeps two runs at once from scheduling the same tasks: a lease in the bucket of the markers.

A lease is an object whose name says until when it holds. To take one, a run writes its own,
then lists the leases; if another holds, it removes its own and lets the other work. Stores list
what has been written, so that of two runs at least one sees the other, whatever the order. No
object is ever replaced or taken over, and one that a killed run has left behind ends by itself.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from workflow_manager.core.names import MARKER_PREFIX
from workflow_manager.errors import StorageError
from workflow_manager.ports import Bucket

SKEW = 30.0  # seconds that the clocks of two machines may be apart
RENEWALS = 4  # times in a lease's duration that it is renewed
TRIES = 6  # of runs that began at the same moment, before one leaves the work to the other
FIRST_PAUSE = 0.2  # seconds; doubled each time, and a random part of it taken
SETTLED = 10.0  # seconds after which another's lease is not one that was begun at the same moment


class Permission(Protocol):
    """Whether this run may schedule."""

    def granted(self) -> bool:
        """Whether no other run is at work; waits until that is known. Raises if it cannot be."""
        ...

    def lasting(self) -> bool:
        """Whether it is certain that no other run has begun in the meantime."""
        ...


class NoLease:
    """For dry runs, and for those who want no lease."""

    def granted(self) -> bool:
        """See Permission."""
        return True

    def lasting(self) -> bool:
        """See Permission."""
        return True


class Lease:
    """The lease of one run. `scope` says which runs exclude each other, `duration` is in seconds.

    It is taken on a thread of its own while the run lists the ingestion bucket. Markers are
    read only once it is granted: what another run has marked before is seen, then.
    """

    def __init__(
        self,
        store: Bucket,
        scope: str,
        duration: float,
        *,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._prefix = f"{MARKER_PREFIX}workflow-manager-lease-{scope}-"
        self._duration = duration
        self._wall = wall
        self._sleep = sleep
        self._owner = f"{int(wall()):012}-{uuid.uuid4().hex}"
        self._keys: list[str] = []
        self._expires = 0.0
        self._known = threading.Event()
        self._ending = threading.Event()
        self._granted = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)

    def begin(self) -> None:
        """Try to take the lease, in the background."""
        self._thread.start()

    def granted(self) -> bool:
        """See Permission."""
        self._known.wait()
        if self._error is not None:
            raise self._error
        return self._granted

    def lasting(self) -> bool:
        """See Permission."""
        return time.monotonic() < self._expires

    def end(self) -> None:
        """Give the lease back. If that fails, it ends by itself."""
        self._ending.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._granted = self._take()
        except Exception as error:  # noqa: BLE001 (raised again where permission is asked for)
            self._error = error
        finally:
            self._known.set()
        while self._granted and not self._ending.wait(self._duration / RENEWALS):
            with suppress(Exception):  # the next renewal may succeed; until then it lasts as it did
                self._write()
        self._remove(self._keys)

    def _take(self) -> bool:
        for attempt in range(TRIES):
            self._write()
            others = self._others()
            if not others:
                return True
            self._remove(self._keys)
            if any(self._wall() - begun > SETTLED for begun in others):
                return False
            self._sleep(FIRST_PAUSE * 2**attempt * random.random())  # noqa: S311 (no secret)
        return False

    def _write(self) -> None:
        """Write a lease that holds from now, and remove those that are older than the one before it.

        That one stays until the next renewal: a listing by another that is under way may neither
        show what is written now nor what is removed now, but it shows what stays all the while.
        """
        begun = time.monotonic()
        key = f"{self._prefix}{int(self._wall() + self._duration):012}-{self._owner}"
        self._store.put(key, b"a run of workflow-manager is at work until the time in this name\n")
        self._expires = begun + self._duration
        if key not in self._keys:
            self._keys.append(key)
        self._remove(self._keys[:-2])

    def _others(self) -> list[float]:
        """When the other runs began whose leases hold; in seconds since 1970."""
        after = f"{self._prefix}{int(self._wall() - SKEW):012}"
        keys = (key for page in self._store.list_keys(self._prefix, after) for key in page)
        owners = (key.removeprefix(self._prefix).partition("-")[2] for key in keys)
        return [float(owner.partition("-")[0]) for owner in owners if owner and owner != self._owner]

    def _remove(self, keys: Sequence[str]) -> None:
        with suppress(StorageError):  # what is left ends by itself; the next may take as long to fail
            for key in keys:
                self._store.delete(key)
        self._keys = [key for key in self._keys if key not in keys]
