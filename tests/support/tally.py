"""Counts faults that tests inject, and says at the end how many there were; a plug-in of all tests.

The counts of a test travel with its report, so that those of parallel workers are added up.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

_LABEL = "faults injected: "
_counts: Counter[str] = Counter()
_total: Counter[str] = Counter()
_lock = threading.Lock()


def add(kind: str, count: int = 1) -> None:
    """Note that faults of a kind were injected."""
    with _lock:
        _counts[kind] += count


@pytest.fixture(autouse=True)
def _tallied(record_property: Callable[[str, object], None]) -> Iterator[None]:
    yield
    with _lock:
        for kind, count in _counts.items():
            record_property(_LABEL + kind, count)
        _counts.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        for name, count in report.user_properties:
            if name.startswith(_LABEL):
                _total[name.removeprefix(_LABEL)] += int(str(count))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _total:
        terminalreporter.section("faults injected")
        for kind, count in sorted(_total.items()):
            terminalreporter.write_line(f"{count:8} {kind}")
        terminalreporter.write_line(f"{_total.total():8} in all")
