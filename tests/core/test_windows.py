"""Windows: half open, aligned, and tiled by hours without gap or overlap."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.core.windows import (
    EPOCH,
    MINUTE,
    Window,
    aggregation_window,
    cut,
    floor,
    intake_window,
    union,
)

times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001 (made aware at once)
minutes = times.map(lambda time: floor(time, MINUTE))
lengths = st.integers(1, 20_000).map(lambda count: count * MINUTE)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    begin = draw(minutes)
    return Window(begin, begin + draw(st.integers(0, 20_000)) * MINUTE)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_intake_window_is_cut_down_to_whole_minutes_at_both_ends() -> None:
    window = intake_window(at("2026-11-23T04:20:59"), timedelta(minutes=90, seconds=30))
    assert window == Window(at("2026-11-23T02:50"), at("2026-11-24T04:20"))


@pytest.mark.parametrize(
    ("now", "period", "grace", "begin"),
    [
        ("2026-11-23T04:20", 8, 4, "2026-11-22T16:00"),
        ("2026-11-23T04:00", 8, 4, "2026-11-22T16:00"),
        ("2026-11-23T03:59", 8, 4, "2026-11-22T08:00"),
        ("2026-11-23T04:20", 24, 4, "2026-11-22T00:00"),
        # Weeks are counted from 0001-01-01, which was a Monday.
        ("2026-11-25T04:20", 168, 0, "2026-11-16T00:00"),
    ],
)
def test_aggregation_window_is_the_last_that_ended_a_grace_period_ago(
    now: str, period: int, grace: int, begin: str
) -> None:
    length = timedelta(hours=period)
    assert aggregation_window(at(now) - timedelta(hours=grace) - length, length) == Window(
        at(begin), at(begin) + length
    )


@given(times, lengths)
def test_aggregation_window_holds_its_time_and_is_aligned(time: datetime, period: timedelta) -> None:
    window = aggregation_window(time, period)
    assert time in window
    assert window.end - window.begin == period
    assert not (window.begin - EPOCH) % period


@given(windows(), st.lists(minutes).map(sorted))
def test_cutting_loses_and_repeats_no_time(window: Window, at_times: list[datetime]) -> None:
    pieces = cut(window, at_times)
    assert pieces[0].begin == window.begin
    assert pieces[-1].end == window.end
    assert all(one.end == next_.begin for one, next_ in pairwise(pieces))
    assert {piece.begin for piece in pieces[1:]} == {
        time for time in at_times if window.begin < time < window.end
    }


@given(st.lists(windows(), max_size=4), minutes)
def test_union_covers_the_same_times_in_disjoint_windows(several: list[Window], time: datetime) -> None:
    merged = union(several)
    probes = [
        time,
        *(edge + step for w in several for edge in (w.begin, w.end) for step in (-MINUTE, 0 * MINUTE)),
    ]
    for probe in probes:
        assert any(probe in w for w in several) == any(probe in w for w in merged)
    assert all(one.end < next_.begin for one, next_ in pairwise(merged))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (("05", "07"), [("04", "08")]),  # inside
        (("06", "10"), [("04", "10")]),  # overlapping
        (("08", "10"), [("04", "10")]),  # touching
        (("09", "10"), [("04", "08"), ("09", "10")]),  # apart
    ],
)
def test_two_windows_in_every_relative_position(
    second: tuple[str, str], expected: list[tuple[str, str]]
) -> None:
    def day(begin: str, end: str) -> Window:
        return Window(at(f"2026-11-22T{begin}:00"), at(f"2026-11-22T{end}:00"))

    assert union([day("04", "08"), day(*second)]) == [day(*piece) for piece in expected]
    assert union([day(*second), day("04", "08")]) == [day(*piece) for piece in expected]


@given(windows(), windows(), minutes)
def test_overlap_holds_what_lies_in_both(one: Window, other: Window, time: datetime) -> None:
    both = one.overlap(other)
    assert (both is not None and time in both) == (time in one and time in other)


def test_a_window_cannot_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="cannot end"):
        Window(at("2026-11-22T05:00"), at("2026-11-22T04:00"))
