"""Half-open windows of UTC time at minute precision.

The rules are those of the Go program, measured on its Google Cloud Storage
listings, and hold here for every kind of storage.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# Go counts the multiples of a duration from this instant (time.Time.Truncate).
EPOCH = datetime(1, 1, 1, tzinfo=UTC)
# Uploads may carry times ahead of our clock: a day's worth is taken in.
FUTURE = DAY


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The times from `begin` up to, but without, `end`; both UTC, on whole minutes."""

    begin: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end < self.begin:
            raise ValueError(f"a window cannot end ({self.end}) before it begins ({self.begin})")

    def __contains__(self, time: datetime) -> bool:
        return self.begin <= time < self.end

    @property
    def empty(self) -> bool:
        """Whether no time at all lies in the window."""
        return self.begin == self.end

    def overlap(self, other: "Window") -> "Window | None":
        """The times that lie in both windows, or None if there are none."""
        begin, end = max(self.begin, other.begin), min(self.end, other.end)
        return Window(begin, end) if begin < end else None


def floor(time: datetime, length: timedelta) -> datetime:
    """The last multiple of `length`, counted from 0001-01-01T00:00Z, that is not after `time`."""
    return time - (time - EPOCH) % length


def intake_window(now: datetime, max_age: timedelta) -> Window:
    """From `max_age` before `now` to a day after it, both cut down to the whole minute."""
    return Window(floor(now - max_age, MINUTE), floor(now + FUTURE, MINUTE))


def aggregation_window(time: datetime, period: timedelta) -> Window:
    """The aligned window of length `period` that holds `time`.

    The one to aggregate now is that which holds `now - grace - period`: the last that
    ended at least `grace` ago.
    """
    begin = floor(time, period)
    return Window(begin, begin + period)


def union(windows: Iterable[Window]) -> list[Window]:
    """The same times as `windows`, as disjoint windows in ascending order.

    Windows that overlap or touch become one, so that what serves two windows is
    listed once. Windows that are apart stay apart: the gap is not listed.
    """
    merged: list[Window] = []
    for window in sorted(window for window in windows if not window.empty):
        if merged and window.begin <= merged[-1].end:
            merged[-1] = Window(merged[-1].begin, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged


def cut(window: Window, times: Iterable[datetime]) -> list[Window]:
    """The pieces of a window between `times`, which ascend; times outside it cut nothing."""
    pieces: list[Window] = []
    begin = window.begin
    for time in times:
        if begin < time < window.end:
            pieces.append(Window(begin, time))
            begin = time
    return [*pieces, Window(begin, window.end)]
