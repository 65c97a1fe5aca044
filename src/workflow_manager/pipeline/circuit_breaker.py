"""How long a run puts up with a bucket that does nothing but fail.

A request that gets no answer takes its whole time limit. One such request after the other, for
thousands of listings, would take days, and each run would be overtaken by the next.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from workflow_manager.errors import CircuitOpenError, StorageError, explain, location
from workflow_manager.ports import BatchWriter, Bucket

T = TypeVar("T")

MOST_FAILURES = 3  # in a row, before a bucket may be given up; a marker is tried as often


class BreakerPolicy(NamedTuple):
    """A bucket that has done nothing but fail for so many `seconds` is given up.

    `give_up` is told its URL and the last failure, once.
    """

    seconds: float
    give_up: Callable[[str, str], None]
    clock: Callable[[], float] = time.monotonic


class CircuitBreaker:
    """A bucket, until it is given up: from then on every request fails at once, without being sent.

    A single success starts the count anew, and failures that come at once hold nobody up:
    so one aggregation that cannot be listed never takes a bucket away from the others.
    """

    def __init__(self, bucket: Bucket, policy: BreakerPolicy) -> None:
        self.url = bucket.url
        self.unstorable = bucket.unstorable
        self._bucket = bucket
        self._policy = policy
        self._lock = threading.Lock()
        self._failures = 0
        self._failing_since = 0.0
        self._last_success = float("-inf")
        self._given_up = ""

    def give_up(self, reason: str) -> None:
        """Send no more requests; `reason` completes "the bucket was given up, as"."""
        self._given_up = self._given_up or reason

    def list_keys(self, prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
        """See Bucket. Each page is a request of its own."""
        return self._pages(prefix, self._bucket.list_keys, after, before)

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        """See Bucket. Each page is a request of its own."""
        return self._pages(prefix, self._bucket.list_directories)

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See Bucket."""
        return self._tried("read", key, lambda: self._bucket.get(key, limit))

    def put(self, key: str, body: bytes) -> None:
        """See Bucket."""
        self._tried("write", key, lambda: self._bucket.put(key, body))

    def delete(self, key: str) -> None:
        """See Bucket."""
        self._tried("delete", key, lambda: self._bucket.delete(key))

    def _pages(
        self, prefix: str, listed: Callable[..., Iterator[Sequence[str]]], *bounds: str
    ) -> Iterator[Sequence[str]]:
        pages = self._tried("list", prefix, lambda: listed(prefix, *bounds), sends=False)
        first = True
        while True:
            # The end of a listing is known with its last page, so that nothing is sent to find it.
            page = self._tried("list", prefix, lambda: next(pages, None), sends=first)
            if page is None:
                return
            if not first:
                self._succeeded()
            first = False
            yield page
            del page  # not held while the next one is on its way

    def _tried(self, operation: str, name: str, call: Callable[[], T], *, sends: bool = True) -> T:
        begun = self._policy.clock()
        if self._given_up:
            where = location(self.url, name)
            raise CircuitOpenError(
                operation, where, f"the circuit breaker of the bucket is open: {self._given_up}"
            )
        try:
            result = call()
        except Exception as error:
            self._failed(begun, explain(error))
            raise
        if sends:
            self._succeeded()
        return result

    def _succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._last_success = self._policy.clock()

    def _failed(self, begun: float, cause: str) -> None:
        now = self._policy.clock()
        with self._lock:
            since = max(begun, self._last_success)
            self._failing_since = min(self._failing_since, since) if self._failures else since
            self._failures += 1
            lasting = now - self._failing_since
            if self._failures < MOST_FAILURES or lasting < self._policy.seconds or self._given_up:
                return
            self._given_up = f"{self._failures} requests in a row failed within {lasting:.0f} s"
        self._policy.give_up(self.url, f"{self._given_up}, the last with: {cause}")


class BatchCircuitBreaker(CircuitBreaker):
    """A bucket that can write several objects at once, until it is given up."""

    def __init__(self, bucket: Bucket, writer: BatchWriter, policy: BreakerPolicy) -> None:
        super().__init__(bucket, policy)
        self._writer = writer

    def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[StorageError | None]:
        """See BatchWriter."""
        begun = self._policy.clock()
        outcomes = self._tried("write", objects[0][0], lambda: self._writer.put_many(objects), sends=False)
        errors = [error for error in outcomes if error is not None]
        if len(errors) < len(outcomes):
            self._succeeded()
        else:
            for error in errors:
                self._failed(begun, str(error))
        return outcomes


def guarded(bucket: Bucket, policy: BreakerPolicy) -> CircuitBreaker:
    """A bucket with a circuit breaker, and with all that it can do."""
    if isinstance(bucket, BatchWriter):
        return BatchCircuitBreaker(bucket, bucket, policy)
    return CircuitBreaker(bucket, policy)
