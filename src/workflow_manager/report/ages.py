"""How long ago something was, for people."""

from datetime import timedelta

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def age(value: timedelta) -> str:
    """A length of time in its two largest units: `12 min`, `3 h 5 min`, `2 d 4 h`."""
    seconds = max(0, int(value.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")
    return _two(seconds // _DAY, "d", seconds % _DAY // _HOUR, "h")


def ago(value: timedelta) -> str:
    """The same as a phrase: `3 h ago`, or `in 3 h` for what is to come."""
    return f"in {age(-value)}" if value < timedelta() else f"{age(value)} ago"


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"
