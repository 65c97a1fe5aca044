"""What became of the passes of each instance: the one place that metrics and pages are made from."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from workflow_manager.core.report import RunReport
from workflow_manager.core.windows import Window
from workflow_manager.observe.request_counts import BucketCounts
from workflow_manager.service.timing import Outcome

# Upper bounds, in seconds, of what is counted together of the lag from upload to publication.
LAG_BOUNDS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(slots=True)
class Lag:
    """How long it took from uploads to the acknowledgement of their tasks, in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LAG_BOUNDS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one. The time of an upload is not ours: a strange one counts as the least or the most."""
        self.counts[bisect_left(LAG_BOUNDS, seconds)] += 1
        self.sum += min(max(seconds, 0.0), LAG_BOUNDS[-1])


@dataclass(slots=True)
class Record:
    """One instance. Times are in seconds since 1970, and 0 for what has not been yet.

    `report` is that of the last pass over all aggregations that did not leave them to another process, and
    `held_since` is when the pass began that the last one left them to. `counts` are live.
    """

    name: str
    labels: Mapping[str, str]
    interval: float
    began: float = 0.0
    ended: float = 0.0
    succeeded: float = 0.0
    failed: float = 0.0
    running: bool = False
    passes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    hinted: int = 0
    last: Outcome | None = None
    failures: tuple[str, ...] = ()
    report: RunReport | None = None
    windows: tuple[Window, Window] | None = None
    lag: Lag = field(default_factory=Lag)
    intake_tasks: int = 0
    aggregation_tasks: int = 0
    held_since: float = 0.0
    counts: BucketCounts = field(default_factory=BucketCounts)

    def finished(
        self, report: RunReport | None, outcome: Outcome, now: float, *, whole: bool, error: str = ""
    ) -> None:
        """A pass has ended; `report` is None if it ended by an `error`."""
        self.running, self.ended, self.last = False, now, outcome
        self.passes[outcome] += 1
        self.hinted += not whole
        shown = [failure.message for failure in report.failures] if report else [error]
        self.failures = tuple(shown) if outcome is Outcome.FAILED else ()
        if outcome is Outcome.DONE:
            self.succeeded = now
        elif outcome is Outcome.FAILED:
            self.failed = now
        if report is not None:
            total = report.total()
            self.intake_tasks += total.intake_tasks_scheduled
            self.aggregation_tasks += total.aggregation_tasks_scheduled
            if whole and not report.superseded:
                self.report = report
            if report.superseded_by is not None:
                self.held_since = report.superseded_by.begun.timestamp()

    def backlog(self) -> int:
        """Tasks that were due in the last whole pass and are not scheduled."""
        if self.report is None:
            return 0
        total = self.report.total()
        intake = total.intake_tasks_failed + total.intake_tasks_left
        return intake + total.aggregation_tasks_failed + total.aggregation_tasks_left


class Records:
    """All instances of the process. Safe for use by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}

    def use(self, records: Mapping[str, Record]) -> None:
        """Keep these instances; what is known already of those of the same name stays."""
        with self._lock:
            kept: dict[str, Record] = {}
            for name, record in records.items():
                before = self._records.get(name)
                kept[name] = (
                    replace(before, labels=record.labels, interval=record.interval, counts=record.counts)
                    if before
                    else record
                )
            self._records = kept

    def change(self, name: str, change: Callable[[Record], None]) -> None:
        """Change the record of an instance, if there still is one."""
        with self._lock:
            if (record := self._records.get(name)) is not None:
                change(record)

    def all(self) -> list[Record]:
        """A copy of each, in the order of the file."""
        with self._lock:
            return [
                replace(record, passes=dict(record.passes), lag=Lag(list(record.lag.counts), record.lag.sum))
                for record in self._records.values()
            ]
