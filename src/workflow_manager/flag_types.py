"""The texts that flags take, turned into values. Each raises ValueError with what would be right.

`written` is the way back, for durations.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # the micro sign, and the Greek letter that looks like it
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_NS = 2**63 - 1  # Go's durations end here, after 292 years
_LONGEST_TEXT = 100
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def duration(text: str) -> timedelta:
    """A duration as Go writes them: `8h`, `1h30m`, `-90s`, `500ms`, `0`."""
    sign = -1 if text.startswith("-") else 1
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return timedelta(0)
    parts = _DURATION.findall(unsigned)
    if len(text) > _LONGEST_TEXT or not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError("not a duration: numbers with units, such as 8h, 1h30m, 90s or 500ms")
    nanoseconds = sum(_nanoseconds(number, unit) for number, unit in parts)
    if nanoseconds > _LONGEST_NS:
        raise ValueError("too long: at most 292 years")
    return timedelta(microseconds=sign * (nanoseconds // 1000))


def days(text: str) -> timedelta:
    """A duration, as `duration` takes it, that may begin with whole days: `3d`, `1d12h`."""
    count, unit, rest = text.partition("d")
    if not unit:
        return duration(text)
    if not re.fullmatch(r"[0-9]{1,6}", count):
        raise ValueError("not a duration: numbers with units, such as 3d, 1d12h, 8h or 90m")
    return timedelta(days=int(count)) + (duration(rest) if rest else timedelta())


def moment(text: str) -> datetime | timedelta:
    """A time as RFC 3339 has it, or how long before now as a duration of days: `3d`, `1d12h`, `8h`."""
    if re.match(r"[0-9]{4}-", text):
        return instant(text)
    try:
        value = days(text)
    except ValueError:
        raise ValueError("not an RFC 3339 time or a duration such as 3d or 8h") from None
    if value < timedelta():
        raise ValueError("must not be negative")
    return value


def written(value: timedelta) -> str:
    """A duration as flags take it: `8h`, `1h30m`, `0.3s`."""
    seconds, micro = divmod(abs(value) // timedelta(microseconds=1), 10**6)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{micro:06}".rstrip("0") if micro else ""
    parts = (
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{seconds}{fraction}s" if seconds or fraction or value == timedelta(0) else "",
    )
    return "-" * (value < timedelta(0)) + "".join(parts)


def positive_duration(text: str) -> timedelta:
    """A duration, as `duration` takes it, that is greater than zero."""
    value = duration(text)
    if value <= timedelta(0):
        raise ValueError("must be greater than zero")
    return value


def non_negative_duration(text: str) -> timedelta:
    """A duration, as `duration` takes it, that is zero or greater."""
    value = duration(text)
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


def boolean(text: str) -> bool:
    """A boolean as Go writes them."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("not a boolean (true or false)")


def minute(text: str) -> datetime:
    """A time as `YYYYMMDDHHmm`, UTC."""
    if not re.fullmatch(r"[0-9]{12}", text):
        raise ValueError("not a time: twelve digits YYYYMMDDHHmm (UTC), such as 202011010000")
    try:
        return datetime.strptime(text + "+0000", "%Y%m%d%H%M%z")
    except ValueError:
        raise ValueError("not a valid time: YYYYMMDDHHmm (UTC), such as 202011010000") from None


def instant(text: str) -> datetime:
    """A time as RFC 3339 has it, turned to UTC: `2020-11-01T00:00:00Z`."""
    if not re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})",
        text,
    ):
        raise ValueError("not an RFC 3339 time, such as 2020-11-01T00:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("not a valid time") from None


def one_of(*choices: str) -> Callable[[str], str]:
    """Makes a flag's type that takes only these texts; they are in its attribute `choices`."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"not one of {', '.join(choices)}{did_you_mean(text, choices)}")
        return text

    parse.choices = choices  # type: ignore[attr-defined] # for help, completion and the schema of files
    return parse


def several_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """Makes a flag's type that takes some of these texts, separated by commas; see `one_of`."""

    def parse(text: str) -> tuple[str, ...]:
        wanted = tuple(text.split(","))
        for one in wanted:
            if one not in choices:
                raise ValueError(f"{one!r} is not one of {', '.join(choices)}{did_you_mean(one, choices)}")
        return wanted

    return parse


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    """The end of a message on a text that is none of `choices`: the one that was probably meant, if any."""
    from difflib import get_close_matches  # noqa: PLC0415 (most texts are what was meant)

    close = get_close_matches(text, list(choices), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def path(text: str) -> str:
    """The path of a file or directory: any text. Help and completion tell it from others."""
    return text


def at_least_one(text: str) -> int:
    """A whole number from 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise ValueError("not a positive whole number")
    return int(text)


def _nanoseconds(number: str, unit: str) -> int:
    whole, _, fraction = number.partition(".")
    nanoseconds = int(whole or "0") * _UNITS[unit]
    if fraction:
        nanoseconds += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
    return nanoseconds
