"""Counts the requests to the buckets of an instance; see ports.RequestObserver."""

import threading
from collections.abc import Mapping

from workflow_manager.core.report import Transfers

# The three buckets of an instance, as values of the label `bucket`.
BUCKET_NAMES = ("ingestion", "own", "peer")


class RequestCounts:
    """Counts the requests to one bucket, by operation. Safe for use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_operation: dict[str, list[int]] = {}

    def requested(self, operation: str, sent: int, received: int, *, retry: bool = False) -> None:
        """See ports.RequestObserver."""
        with self._lock:
            counts = self._by_operation.setdefault(operation, [0, 0, 0, 0])
            counts[0] += 1
            counts[1] += retry
            counts[2] += sent
            counts[3] += received

    def transfers(self) -> dict[str, Transfers]:
        """The counts so far."""
        with self._lock:
            return {name: Transfers(*counts) for name, counts in sorted(self._by_operation.items())}


class BucketCounts:
    """The counts of all three buckets."""

    def __init__(self) -> None:
        self._counts = {bucket: RequestCounts() for bucket in BUCKET_NAMES}

    def of(self, bucket: str) -> RequestCounts:
        """Those of one bucket."""
        return self._counts[bucket]

    def transfers(
        self, since: Mapping[str, Mapping[str, Transfers]] | None = None
    ) -> dict[str, dict[str, Transfers]]:
        """The counts so far by bucket and operation, or what was added since an earlier call."""
        before = since or {}
        return {
            bucket: {
                name: count.minus(before.get(bucket, {}).get(name, Transfers()))
                for name, count in counts.transfers().items()
            }
            for bucket, counts in self._counts.items()
        }
