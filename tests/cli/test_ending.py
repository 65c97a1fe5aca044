"""How a run ends that is told to, or that takes too long, while a service does not answer."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.faulty import Exchange, Faulty, answer
from support.clouds import BUCKET_FLAGS, Cloud, amazon
from support.command import metrics
from support.harness import PARTS
from support.running import Running

NOW = ("--now=2026-11-23T04:20:00Z", "--intake-max-age=24h", "--batch-ids=any")
EMPTY = answer(200, b"<ListBucketResult></ListBucketResult>")


class Gate:
    """Holds requests up until it is opened; knows when the first one has come."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        self.reached.set()
        while not self.open.wait(0.05):
            if exchange.server.over.is_set():
                exchange.reset()
                return
        EMPTY(exchange)


@pytest.fixture
def gate(server: Faulty) -> Gate:
    """What every request comes up against."""
    server.always = gate = Gate()
    return gate


@pytest.fixture
def metrics_file(tmp_path: Path) -> Path:
    return tmp_path / "wm.prom"


@pytest.fixture
def started(server: Faulty, tmp_path: Path, metrics_file: Path) -> Iterator[list[Running]]:
    """The runs of a test, none of which outlives it."""
    runs: list[Running] = []
    yield runs
    for run in runs:
        run.process.kill()
        run.process.wait()
        for stream in (run.process.stdout, run.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def flags(server: Faulty, tmp_path: Path, metrics_file: Path) -> list[str]:
    return [
        *(f"--{name}=s3://us-east-1/{name}" for name in BUCKET_FLAGS),
        *("--task-queue-kind=sqlite", f"--sqlite-path={tmp_path}/tasks.db", f"--metrics-file={metrics_file}"),
        *("--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate"),
    ]


@pytest.fixture
def environ(server: Faulty) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": server.url}


def told_neither(metrics_file: Path) -> bool:
    """Whether the run counts neither as a success nor as a failure."""
    gauges = metrics(metrics_file.read_text())
    assert "workflow_manager_failures" in gauges, "there are metrics"
    return not any(name.startswith("workflow_manager_last_") for name in gauges)


def failed(metrics_file: Path) -> bool:
    gauges = metrics(metrics_file.read_text())
    return "workflow_manager_last_failure_seconds" in gauges and (
        "workflow_manager_last_success_seconds" not in gauges
    )


class TestRunTimeout:
    def test_a_run_over_a_service_that_hangs_ends_in_order(
        self,
        gate: Gate,
        flags: list[str],
        environ: dict[str, str],
        started: list[Running],
        metrics_file: Path,
    ) -> None:
        run = Running([*flags, *NOW, "--run-timeout=300ms", "--shutdown-grace=5m"], environ)
        started.append(run)
        assert run.until("run.stopping")["reason"] == "--run-timeout of 0.3s is over"
        gate.open.set()
        assert run.status() == 1
        assert "run.given_up" not in run.names()
        assert run.events[-1]["event"] == "run.finished"
        assert run.events[-1]["severity"] == "ERROR"
        assert failed(metrics_file)

    def test_one_that_does_not_end_in_order_is_given_up(
        self,
        gate: Gate,
        flags: list[str],
        environ: dict[str, str],
        started: list[Running],
        metrics_file: Path,
    ) -> None:
        run = Running([*flags, *NOW, "--run-timeout=300ms", "--shutdown-grace=300ms", "--json"], environ)
        started.append(run)
        assert run.status() == 1
        report = json.loads(run.printed())
        assert (report["exit_status"], report["stopped"]) == (1, "--run-timeout of 0.3s is over")
        assert run.names()[-2:] == ["run.stopping", "run.given_up"]
        assert failed(metrics_file)


class TestSignals:
    @pytest.fixture
    def run(self, gate: Gate, flags: list[str], environ: dict[str, str], started: list[Running]) -> Running:
        """A run that waits for the first listing."""
        run = Running([*flags, *NOW, "--shutdown-grace=5m"], environ)
        started.append(run)
        assert gate.reached.wait(30)
        return run

    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
    )
    def test_while_it_is_listing_a_run_ends_in_order(
        self, number: signal.Signals, status: int, run: Running, gate: Gate, metrics_file: Path
    ) -> None:
        run.signal(number)
        assert run.until("run.stopping")["reason"] == f"{number.name} received"
        gate.open.set()
        assert run.status() == status
        assert run.events[-1]["event"] == "run.finished"
        assert not run.errors()
        assert told_neither(metrics_file)

    @pytest.mark.parametrize(
        ("first", "second", "status"),
        [
            (signal.SIGTERM, signal.SIGTERM, 143),
            (signal.SIGINT, signal.SIGINT, 130),
            (signal.SIGTERM, signal.SIGINT, 130),
        ],
    )
    def test_a_second_signal_ends_it_at_once(
        self, first: signal.Signals, second: signal.Signals, status: int, run: Running
    ) -> None:
        run.signal(first)
        run.until("run.stopping")
        run.signal(second)
        assert run.status() == status
        assert run.names()[-1] == "run.stopping"

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_when_the_grace_has_run_out_it_is_given_up(
        self,
        number: signal.Signals,
        status: int,
        gate: Gate,
        flags: list[str],
        environ: dict[str, str],
        started: list[Running],
        metrics_file: Path,
    ) -> None:
        run = Running([*flags, *NOW, "--shutdown-grace=300ms"], environ)
        started.append(run)
        assert gate.reached.wait(30)
        run.signal(number)
        assert run.status() == status
        assert run.names()[-2:] == ["run.stopping", "run.given_up"]
        assert not run.errors()
        assert told_neither(metrics_file)


class TestInFlight:
    @pytest.fixture
    def cloud(self, moto_url: str) -> Iterator[Cloud]:
        scenery = amazon(moto_url)
        for number in range(40):
            for part in PARTS:
                scenery.ingestion.put(f"agg/2026/11/22/17/05/b-{number:02}.batch{part}", b"")
        with scenery.deployment() as cloud:
            yield cloud
        scenery.ingestion.close()
        scenery.peer.close()

    def test_what_is_being_published_is_marked_before_the_end(
        self, cloud: Cloud, started: list[Running]
    ) -> None:
        publishing, go_on = threading.Event(), threading.Event()

        def hold_publishing(exchange: Exchange) -> None:
            if cloud.topics.sent(exchange.seen):
                publishing.set()
                go_on.wait(30)
            exchange.reply(exchange.upstream())

        cloud.meet_with(hold_publishing)
        run = Running(
            [*cloud.flags(), *NOW, "--max-enqueue-workers=1", "--shutdown-grace=5m"], {**cloud.environ}
        )
        started.append(run)
        assert publishing.wait(30)
        run.signal(signal.SIGTERM)
        run.until("run.stopping")
        go_on.set()
        assert run.status() == 143
        assert len(cloud.topics.bodies("intake", 100)) == len(cloud.markers()) == 10
