"""The texts that flags take."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager import flag_types


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("8h", timedelta(hours=8)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("5.s", timedelta(seconds=5)),
        ("-5m", -timedelta(minutes=5)),
        ("+5m", timedelta(minutes=5)),
        ("0", timedelta(0)),
        ("-0", timedelta(0)),
        ("2us", timedelta(microseconds=2)),
        ("2\u00b5s", timedelta(microseconds=2)),
        ("2\u03bcs", timedelta(microseconds=2)),
        ("2999ns", timedelta(microseconds=2)),
        ("2562047h47m16.854775807s", timedelta(microseconds=9223372036854775)),
    ],
)
def test_durations_are_gos(text: str, duration: timedelta) -> None:
    assert flag_types.duration(text) == duration


@given(st.timedeltas(timedelta(days=-99999), timedelta(days=99999)))
def test_a_duration_that_is_shown_can_be_given(duration: timedelta) -> None:
    assert flag_types.duration(flag_types.written(duration)) == duration


@pytest.mark.parametrize("text", ["0s", "8h", "1h30m", "1m30s", "0.3s", "-2m0.000001s"])
def test_durations_are_shown_as_they_are_given(text: str) -> None:
    assert flag_types.written(flag_types.duration(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "h",
        "8 h",
        "8h ",
        "1d",
        "8H",
        "--5m",
        "1h-5m",
        "1e3s",
        ".s",
        "1_0s",
        "٣h",
        "9" * 5000 + "s",
        "2562048h",
    ],
)
def test_what_go_refuses_as_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|too long"):
        flag_types.duration(text)


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        flag_types.duration(text)
    except ValueError as error:
        assert "duration" in str(error)  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true(text: str) -> None:
    assert flag_types.boolean(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false(text: str) -> None:
    assert flag_types.boolean(text) is False


@pytest.mark.parametrize("text", ["yes", "tRUE", "2", " true"])
def test_other_words_are_no_boolean(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a boolean \(true or false\)"):
        flag_types.boolean(text)


def test_a_minute_is_utc() -> None:
    assert flag_types.minute("202611201230") == datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026",
        "20261120123",
        "202613201230",
        "202611201260",
        "2026112012300",
        "2026-11-2012",
        "202611201230\n",
    ],
)
def test_not_a_minute(text: str) -> None:
    with pytest.raises(ValueError, match="YYYYMMDDHHmm"):
        flag_types.minute(text)


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2026-11-23T04:20:00Z", 4), ("2026-11-23T04:20:00.5+02:00", 2), ("2026-11-23 04:20:00z", 4)],
)
def test_an_instant_is_turned_to_utc(text: str, hour: int) -> None:
    assert flag_types.instant(text).hour == hour
    assert flag_types.instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2026-11-23", "2026-11-23T04:20:00", "2026-11-31T04:20:00Z", "now", "0001-01-01T00:00:00+10:00"]
)
def test_not_an_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|not a valid time"):
        flag_types.instant(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "1" * 12])
def test_not_a_count(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        flag_types.at_least_one(text)
