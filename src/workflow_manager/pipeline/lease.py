"""Keeps two runs at once from scheduling the same tasks: a lease in the bucket of the markers.

A lease is an object whose name says until when it holds. To take one, a run writes its own,
then lists the leases; if another holds, it removes its own and lets the other work. Stores list
what has been written, so that of two runs at least one sees the other, whatever the order. No
object is ever replaced or taken over, and one that a killed run has left behind ends by itself.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from workflow_manager.core.lease_names import LONGEST, SKEW, LeaseHolder, LeaseName, lease_prefix
from workflow_manager.errors import StorageError
from workflow_manager.observe.stop_events import LeaseIgnored
from workflow_manager.ports import Bucket, Observer
from workflow_manager.random_ids import random_between, random_hex

RENEWALS = 4  # times in a lease's duration that it is renewed
TRIES = 6  # of runs that began at the same moment, before one leaves the work to the other
FIRST_PAUSE = 0.2  # seconds; doubled each time, and a random part of it taken
SETTLED = 10.0  # seconds after which another's lease is not one that was begun at the same moment
KEPT = 86400.0  # seconds that a lease is kept after its end, for people to look at
# Old leases that one run removes: a killed run leaves no more than three, and renewals come first.
MOST_REMOVED = 20


class LeaseExpiry:
    """When a lease runs out, on the monotonic clock; never, while there is none.

    The lease moves it with each renewal, and whoever may do something only under the lease asks it.
    """

    def __init__(self) -> None:
        self._time = math.inf

    def __call__(self) -> float:
        """The time as of now."""
        return self._time

    def move(self, time: float) -> None:
        """From now on it is this time."""
        self._time = time


class Permission(Protocol):
    """Whether this run may schedule."""

    def holder(self) -> LeaseHolder | None:
        """Which other run holds the lease, if one does; waits until that is known. Raises if it cannot be."""
        ...

    def lasting(self) -> bool:
        """Whether it is certain that no other run has begun in the meantime."""
        ...


class NoLease:
    """For dry runs, and for those who want no lease."""

    def holder(self) -> LeaseHolder | None:
        """See Permission."""
        return None

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
        observer: Observer,
        *,
        expiry: LeaseExpiry | None = None,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 < duration <= LONGEST:
            raise ValueError(f"a lease holds for up to {LONGEST:g} s, not for {duration:g} s")
        self._store = store
        self._scope = scope
        self._duration = duration
        self._observer = observer
        self._expiry = expiry or LeaseExpiry()
        self._wall = wall
        self._sleep = sleep
        self._begun = int(wall())
        self._run = random_hex()
        self._keys: list[str] = []
        self._ignored: set[str] = set()
        self._known = threading.Event()
        self._ending = threading.Event()
        self._holder: LeaseHolder | None = None
        self._granted = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)

    def begin(self) -> None:
        """Try to take the lease, in the background."""
        self._thread.start()

    def holder(self) -> LeaseHolder | None:
        """See Permission."""
        self._known.wait()
        if self._error is not None:
            raise self._error
        return self._holder

    def lasting(self) -> bool:
        """See Permission."""
        return self._granted and time.monotonic() < self._expiry()

    def end(self) -> None:
        """Give the lease back. If that fails, it ends by itself."""
        self._ending.set()
        self._thread.join()
        self._expiry.move(math.inf)

    def _work(self) -> None:
        try:
            self._holder = self._take()
            self._granted = self._holder is None
        except Exception as error:  # noqa: BLE001 (raised again where permission is asked for)
            self._error = error
        finally:
            self._known.set()
        if self._granted:
            self._remove_old()
        while self._granted and not self._ending.wait(self._duration / RENEWALS):
            with suppress(Exception):  # the next renewal may succeed; until then it lasts as it did
                self._write()
        self._remove(self._keys)

    def _take(self) -> LeaseHolder | None:
        """None if the lease is ours now, or else whose it is."""
        for attempt in range(TRIES):
            self._write()
            others = list(self._others())
            if not others:
                return None
            self._remove(self._keys)
            if attempt == TRIES - 1 or any(self._wall() - other.begun > SETTLED for other in others):
                break
            self._sleep(FIRST_PAUSE * 2**attempt * random_between(0, 1))
        return max(others).holder()

    def _write(self) -> None:
        """Write a lease that holds from now, and remove those that are older than the one before it.

        That one stays until the next renewal: a listing by another that is under way may neither
        show what is written now nor what is removed now, but it shows what stays all the while.
        """
        begun = time.monotonic()
        until = int(self._wall() + self._duration)
        name = LeaseName(until, self._begun, self._run, os.getpid(), os.uname().nodename)
        key = name.key(self._scope)
        if key not in self._keys:  # now, as one that could not be written may be there nevertheless
            self._keys.append(key)
        self._store.put(key, b"a run of workflow-manager holds the lease until the time in this name\n")
        self._expiry.move(begun + self._duration)
        self._remove(self._keys[:-2])

    def _others(self) -> Iterator[LeaseName]:
        """The leases of other runs that hold."""
        now = self._wall()
        prefix = lease_prefix(self._scope)
        for page in self._store.list_keys(prefix, f"{prefix}{int(now - SKEW):012}"):
            for key in page:
                name = LeaseName.parse(key, self._scope)
                if name is None or name.holds_too_long(now):
                    self._ignore(key, "its name is not a valid lease name" if name is None else "")
                elif name.run != self._run:
                    yield name

    def _ignore(self, key: str, problem: str) -> None:
        """Say that an object is no lease that could be honoured: once, however often it is seen."""
        problem = problem or (
            "it expires more than 1 h from now, which no valid lease does; check the clocks of the machines"
        )
        if key not in self._ignored:
            self._ignored.add(key)
            self._observer.notify(LeaseIgnored(self._store.url, key, problem))

    def _remove_old(self) -> None:
        """Remove what killed runs have left behind, if their leases ended long ago."""
        prefix = lease_prefix(self._scope)
        begun = time.monotonic()
        with suppress(StorageError):  # the next run may be able to
            old = self._store.list_keys(prefix, "", f"{prefix}{int(self._wall() - KEPT):012}")
            for key in next(iter(old), ())[:MOST_REMOVED]:
                if time.monotonic() - begun > self._duration / RENEWALS:
                    return  # a renewal is due
                self._store.delete(key)

    def _remove(self, keys: Sequence[str]) -> None:
        with suppress(StorageError):  # what is left ends by itself; the next may take as long to fail
            for key in keys:
                self._store.delete(key)
        self._keys = [key for key in self._keys if key not in keys]
