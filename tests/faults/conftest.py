"""Counts what was done to runs and what came of it, and says so at the end."""

from collections.abc import Callable

import pytest

TALLY = "tally"
COLUMNS = ("times", "in mid-run", "repeats", "explained", "unexplained", "losses")
_tallies: dict[str, dict[str, int]] = {}


@pytest.fixture
def tallied(request: pytest.FixtureRequest) -> Callable[[str], dict[str, int]]:
    """The counts of what a test says that it does. They go with its report, which may cross processes."""

    def tally(done: str) -> dict[str, int]:
        counts = dict.fromkeys(COLUMNS, 0)
        request.node.user_properties.append((TALLY, [done, counts]))
        return counts

    return tally


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, value in report.user_properties if report.when == "call" else ():
        if name == TALLY and isinstance(value, list):
            row, counts = value
            known = _tallies.setdefault(row, dict.fromkeys(COLUMNS, 0))
            for column in COLUMNS:
                known[column] += counts[column]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tallies:
        return
    terminalreporter.section("what was done to runs, and what came of it")
    width = max(map(len, _tallies))
    terminalreporter.write_line(" | ".join(["".ljust(width), *COLUMNS]))
    for row, counts in sorted(_tallies.items()):
        cells = [row.ljust(width), *(str(counts[name]).rjust(len(name)) for name in COLUMNS)]
        terminalreporter.write_line(" | ".join(cells))
    terminalreporter.write_line("explained: the most repeats that what was in flight can explain")
