"""The results as a table in plain text."""

from collections.abc import Callable, Mapping
from typing import Any

_KINDS = ("list", "list directories", "get", "head", "put", "delete", "publish")


def _requests(result: Mapping[str, Any]) -> str:
    requests: Mapping[str, int] = result["requests"]
    parts = [f"{requests[kind]:,} {kind}" for kind in _KINDS if requests.get(kind)]
    return ", ".join([f"{sum(requests.values()):,}", *parts]).replace(", ", ": ", 1)


def _reference(result: Mapping[str, Any]) -> str:
    reference = result["reference"]
    return f"{reference['wall']:g}" if reference else ""


def _optional(name: str, style: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda result: format(result[name], style) if result[name] else ""


def _goal(result: Mapping[str, Any]) -> str:
    if not result["goal"]:
        return ""
    return f"{result['goal']:g} {'met' if result['times_faster'] >= result['goal'] else 'MISSED'}"


_COLUMNS: tuple[tuple[str, int, Callable[[Mapping[str, Any]], str]], ...] = (
    ("scenario", -8, lambda result: str(result["scenario"])),
    ("wall s", 7, lambda result: f"{result['wall']:.2f}"),
    ("CPU s", 7, lambda result: f"{result['cpu']:.2f}"),
    ("peak MB", 7, lambda result: f"{result['memory']:.0f}"),
    ("floor s", 7, _optional("floor", ".2f")),
    ("Go s", 5, _reference),
    ("faster", 7, _optional("times_faster", ".1f")),
    ("goal", 10, _goal),
    ("at once", 7, lambda result: str(result["most_in_flight"])),
    ("requests", -1, _requests),
)


def header() -> str:
    """The names of the columns, above a line."""
    names = _line([name for name, _, _ in _COLUMNS])
    return f"{names}\n{'-' * len(names)}"


def row(result: Mapping[str, Any]) -> str:
    """One result."""
    return _line([text(result) for _, _, text in _COLUMNS])


def _line(cells: list[str]) -> str:
    widths = [width for _, width, _ in _COLUMNS]
    return "  ".join(
        cell.ljust(-width) if width < 0 else cell.rjust(width)
        for cell, width in zip(cells, widths, strict=True)
    ).rstrip()
