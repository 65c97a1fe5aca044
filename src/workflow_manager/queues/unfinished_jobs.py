"""How many Jobs of a deployment have not finished, and how many more there may be."""

import threading
from collections.abc import Mapping
from typing import Any

from workflow_manager.clouds.kubernetes_api import JOBS, Cluster


class UnfinishedLimit:
    """How many more Jobs may be created. They are counted once in a run, before the first is created.

    Jobs that finish during a run make room for the next one. Safe for use by many threads.
    """

    def __init__(self, cluster: Cluster, most: int, selector: str) -> None:
        self.most = most
        self._cluster = cluster
        self._selector = selector
        self._lock = threading.Lock()
        self._there: set[str] | None = None
        self._taken: set[str] = set()
        self._left = 0

    def forget(self) -> None:
        """Count anew when it is needed."""
        with self._lock:
            self._there = None

    def take(self, name: str) -> bool:
        """Whether the Job of this name may be created, or is there already; raises CloudError."""
        with self._lock:
            if self._there is None:
                self._there, self._taken = self._counted(), set()
            if name in self._there or name in self._taken:
                return True
            if self._left <= 0:
                return False
            self._left -= 1
            self._taken.add(name)
            return True

    def give_back(self, name: str) -> None:
        """The Job of this name was not created."""
        with self._lock:
            if name in self._taken:
                self._taken.remove(name)
                self._left += 1

    def _counted(self) -> set[str]:
        """The names of all Jobs of this deployment."""
        names = set()
        left = self.most
        for page in self._cluster.pages(JOBS, labelSelector=self._selector):
            for job in page:
                names.add(job["metadata"]["name"])
                left -= not is_finished(job)
        self._left = left
        return names


def is_finished(job: Mapping[str, Any]) -> bool:
    """Whether a Job is complete or has failed for good."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)
