"""The aggregation windows of a range: which have markers, and what the markers record."""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from workflow_manager.core.marker_record import MarkerRecord
from workflow_manager.core.names import aggregate_marker, overlapping_range, parse_aggregate_marker
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import Window, aggregation_window
from workflow_manager.pipeline.listing import in_order
from workflow_manager.pipeline.recorded import MarkerReader
from workflow_manager.ports import Bucket
from workflow_manager.survey.findings import WindowFindings

# A window may be read in several pieces in a row, so this many records are cached.
KEPT_RECORDS = 4


class WindowMarkers:
    """The aligned windows of one aggregation in a range. The constructor lists the markers."""

    def __init__(
        self, own: Bucket, reader: MarkerReader, aggregation: str, windows: Window, period: timedelta
    ) -> None:
        self._reader = reader
        self._id = aggregation
        self.range = windows
        self._period = period
        self._lock = threading.Lock()
        self._records: OrderedDict[Window, MarkerRecord | None] = OrderedDict()
        self._marked: set[Window] = set()
        self._others: list[Window] = []
        if windows.empty:
            return
        for page in in_order(own, overlapping_range(aggregation, windows)):
            for key in page:
                marked = parse_aggregate_marker(key, aggregation)
                if marked is not None and not marked.empty and marked.overlap(windows):
                    aligned = self.window_of(marked.begin) == marked
                    (self._marked.add if aligned else self._others.append)(marked)

    def window_of(self, time: datetime) -> Window:
        """The window that contains a time."""
        return aggregation_window(time, self._period)

    def windows_in(self, times: Window) -> Iterable[Window]:
        """The windows of the range that overlap these times, in order."""
        both = times.overlap(self.range)
        if both is None:
            return
        window = self.window_of(both.begin)
        while window.begin < both.end:
            yield window
            window = Window(window.end, window.end + self._period)

    def record(self, window: Window) -> MarkerRecord | None:
        """The record in a window's marker; None if it has no marker."""
        if window not in self._marked:
            return None
        with self._lock:
            if window in self._records:
                self._records.move_to_end(window)
                return self._records[window]
        record = self._reader.read(aggregate_marker(self._id, window))
        with self._lock:
            self._records[window] = record
            if len(self._records) > KEPT_RECORDS:
                self._records.popitem(last=False)
        return record

    def findings(self, rules: Rules) -> list[WindowFindings]:
        """The windows that have begun or have a marker, without batch counts."""
        others = () if rules.allow_overlapping_windows else self._others
        found = []
        for window in self.windows_in(self.range):
            marked = window in self._marked
            if marked or window.begin <= rules.now:
                overlaps = next((other for other in others if other.overlap(window)), None)
                found.append(WindowFindings(window, marked=marked, overlaps=overlaps))
        return found

    def merge(self, findings: list[WindowFindings], found: Sequence[WindowFindings]) -> None:
        """Add the findings of a piece of the range to its windows."""
        for one in found:
            at = bisect_left(findings, one.window, key=lambda known: known.window)
            if at == len(findings) or findings[at].window != one.window:
                findings.insert(at, WindowFindings(one.window))
            findings[at].add(one)
