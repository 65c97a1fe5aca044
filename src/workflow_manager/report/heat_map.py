"""The heat map of the status page: a row for each instance or aggregation, a column for each window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from workflow_manager.core.windows import HOUR, Window
from workflow_manager.report.display_states import DisplayState

# Columns of one map; of more windows, those of the last.
MOST_COLUMNS = 200


@dataclass(frozen=True, slots=True)
class HeatRow:
    """What a row is about, where on the page that is, and the state of each of its windows."""

    label: str
    anchor: str
    states: Mapping[Window, DisplayState]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The rows whose windows have the same length.

    `days` are headings, with how many columns each spans. A row has runs of windows in the same state: the
    letter of that, or nothing for windows that the row does not have, and their number. Browsers take much
    longer for a cell for each window.
    """

    length: str
    days: list[tuple[str, int]]
    times: list[str]
    rows: list[tuple[HeatRow, list[tuple[str, int]]]]


def heat_maps(rows: Sequence[HeatRow]) -> list[HeatMap]:
    """A map for each length of windows, in the order of the rows."""
    by_length: dict[timedelta, list[HeatRow]] = {}
    for row in rows:
        window = next(iter(row.states), None)
        if window is not None:
            by_length.setdefault(window.end - window.begin, []).append(row)
    return [_heat_map(length, alike) for length, alike in by_length.items()]


def _heat_map(length: timedelta, rows: Sequence[HeatRow]) -> HeatMap:
    windows = sorted({window for row in rows for window in row.states})[-MOST_COLUMNS:]
    days = [
        (f"{day:%a %m-%d}", sum(1 for _ in found))
        for day, found in groupby(windows, lambda window: window.begin.date())
    ]
    times = [f"{window.begin:{'%H' if length >= HOUR else '%H:%M'}}" for window in windows]
    return HeatMap(_length(length), days, times, [(row, _runs(row, windows)) for row in rows])


def _runs(row: HeatRow, windows: Sequence[Window]) -> list[tuple[str, int]]:
    states = row.states
    codes = (states[window].code if window in states else "" for window in windows)
    return [(code, sum(1 for _ in run)) for code, run in groupby(codes)]


def _length(length: timedelta) -> str:
    hours, rest = divmod(length, HOUR)
    minutes = rest // timedelta(minutes=1)
    return " ".join(filter(None, (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")))
