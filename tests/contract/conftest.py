"""Says at the end of a run over which backends the contracts were checked."""

from collections import defaultdict

import pytest

_outcomes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "/contract/" in report.nodeid and (report.when == "call" or report.outcome != "passed"):
        _outcomes[report.nodeid.split("::")[1]][report.outcome] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _outcomes:
        terminalreporter.section("backends that the contracts were checked over")
        for backend, outcomes in sorted(_outcomes.items()):
            counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            terminalreporter.write_line(f"{backend.removeprefix('Test')}: {counts}")
