"""How much memory a run needs: that of the hours being read, however long the window is."""

from collections.abc import Iterator

import pytest

from filling import Filling
from measuring import Command
from serving import RunningServer, serving


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(tls=False) as running:
        yield running


def peak(server: RunningServer, filling: Filling, *flags: str) -> float:
    """The peak memory of a run in MB, all of it: Python's and that of the libraries too."""
    # The command of this environment, which has the extra: the wheel's own has none.
    server.fill(filling)
    server.reset(latency=0.005)  # so that as many listings are in flight as there may be
    return Command("", "s3", "sns", server).run(filling, flags).memory


@pytest.mark.timeout(120)
def test_ten_times_the_hours_need_hardly_more_memory(server: RunningServer) -> None:
    day, ten_days = (
        peak(server, Filling(1, hours, 400, marked=1, aggregated=True), "--intake-max-age=240h")
        for hours in (24, 240)
    )
    assert ten_days < 1.2 * day


@pytest.mark.timeout(120)
def test_an_hour_of_a_hundred_thousand_batches_fits(server: RunningServer) -> None:
    assert peak(server, Filling(1, 1, 100_000, marked=1, aggregated=True)) < 250
