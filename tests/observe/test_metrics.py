"""Metrics, on a real Pushgateway and in a file."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from servers.pushgateway import pushed, pushgateway
from support.command import metrics as parsed
from workflow_manager.core.report import FIGURES, Figures, Kind, RunReport
from workflow_manager.errors import MetricsError
from workflow_manager.observe import metrics

GROUPING = {"locality": "na", "ingestor": "ingestor-1"}
SUCCESS = RunReport(
    dry_run=False,
    figures={"agg": Figures(ingestions_found=3), 'odd "\n\\ name': Figures(malformed_objects_found=1)},
    runtime_seconds=1.5,
)
FAILURE = RunReport(dry_run=False, figures={"agg": Figures(ingestions_found=4)}, failed={Kind.PUBLISH: 2})


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pushgateway(tmp_path_factory.mktemp("pushgateway")) as url:
        yield url


def deliver_to_gateway(gateway: str, report: RunReport, ended: float, label: str) -> str:
    metrics.push(report, ended, gateway, {"locality": label, "ingestor": "i"})
    return "\n".join(line for line in pushed(gateway).splitlines() if f'locality="{label}"' in line)


def test_a_failed_push_does_not_wipe_the_last_success_and_the_other_way_round(gateway: str) -> None:
    deliver_to_gateway(gateway, SUCCESS, 100, "one")
    after_failure = parsed(deliver_to_gateway(gateway, FAILURE, 200, "one"))
    assert after_failure["workflow_manager_last_success_seconds"] == {"": 100}
    assert after_failure["workflow_manager_runtime_seconds"] == {"": 1.5}
    assert after_failure["workflow_manager_last_failure_seconds"] == {"": 200}
    after_success = parsed(deliver_to_gateway(gateway, SUCCESS, 300, "one"))
    assert after_success["workflow_manager_last_success_seconds"] == {"": 300}
    assert after_success["workflow_manager_last_failure_seconds"] == {"": 200}


def test_groups_are_by_job_locality_and_ingestor(gateway: str) -> None:
    metrics.push(SUCCESS, 100, gateway, {"locality": "two", "ingestor": "x"})
    (line,) = [
        line
        for line in pushed(gateway).splitlines()
        if line.startswith("workflow_manager_last_success") and 'locality="two"' in line
    ]
    assert 'job="workflow-manager"' in line
    assert 'ingestor="x"' in line


def test_empty_grouping_keys_are_taken(gateway: str) -> None:
    metrics.push(SUCCESS, 100, gateway, {"locality": "", "ingestor": ""})
    assert 'workflow_manager_last_success_seconds{ingestor="",' in pushed(gateway)


def test_every_figure_is_a_gauge_by_aggregation(gateway: str) -> None:
    found = parsed(deliver_to_gateway(gateway, SUCCESS, 100, "three"))
    for name in FIGURES:
        assert set(found[f"workflow_manager_{name}"]) == {"agg", 'odd "\n\\ name'}
    assert found["workflow_manager_ingestions_found"]["agg"] == 3


def test_only_so_many_aggregations_become_labels_and_the_rest_are_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_AGGREGATIONS", 2)
    figures = {f"!made-up-{number}": Figures(incomplete_ingestions_found=1) for number in range(50)}
    figures |= {"real": Figures(ingestions_found=3), "also real": Figures(ingestions_found=1)}
    file = tmp_path / "wm.prom"
    metrics.write(RunReport(dry_run=False, figures=figures), 100, file, {})
    found = parsed(file.read_text())
    assert found["workflow_manager_ingestions_found"] == {"real": 3, "also real": 1, "(others)": 0}
    assert found["workflow_manager_incomplete_ingestions_found"]["(others)"] == 50


def test_an_unreachable_gateway_is_an_error_that_names_it() -> None:
    with pytest.raises(MetricsError, match=r"http://127\.0\.0\.1:1.*is the Pushgateway up"):
        metrics.push(SUCCESS, 100, "http://127.0.0.1:1", GROUPING)


def test_a_silent_gateway_does_not_hold_the_run_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(MetricsError, match="timed out"):
        metrics.push(SUCCESS, 100, f"http://127.0.0.1:{silent.getsockname()[1]}", GROUPING)


def test_a_user_and_a_password_go_to_the_gateway_as_basic_authentication_and_into_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_first_request, server)
        with pytest.raises(MetricsError) as told:
            metrics.push(
                SUCCESS, 100, f"http://us%40er:hunter2@127.0.0.1:{server.getsockname()[1]}", GROUPING
            )
    credentials = base64.b64encode(b"us@er:hunter2")
    assert b"Authorization: Basic " + credentials in asked.result()
    assert "hunter2" not in str(told.value)


def _first_request(server: socket.socket) -> bytes:
    """What is asked of a server that answers nothing."""
    connection, _ = server.accept()
    with connection:
        return connection.recv(65536)


def test_the_file_has_the_same_and_keeps_the_other_outcome(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    metrics.write(SUCCESS, 100, file, GROUPING)
    assert (
        'workflow_manager_ingestions_found{aggregation_id="agg",ingestor="ingestor-1",locality="na"} 3.0'
        in (file.read_text())
    )
    metrics.write(FAILURE, 200, file, GROUPING)
    found = parsed(file.read_text())
    assert found["workflow_manager_last_success_seconds"] == {"": 100}
    assert found["workflow_manager_last_failure_seconds"] == {"": 200}
    assert found["workflow_manager_ingestions_found"] == {"agg": 4}
    metrics.write(SUCCESS, 300, file, {})
    assert parsed(file.read_text())["workflow_manager_last_failure_seconds"] == {"": 200}


def test_failures_are_counted_by_kind_and_those_of_an_earlier_run_go(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    metrics.write(FAILURE, 100, file, {})
    assert 'workflow_manager_failures{kind="publish"} 2.0' in file.read_text()
    metrics.write(SUCCESS, 200, file, {})
    for kind in Kind:
        assert f'workflow_manager_failures{{kind="{kind}"}} 0.0' in file.read_text()


def test_the_file_is_replaced_at_once(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    metrics.write(SUCCESS, 100, file, {})
    inode = file.stat().st_ino
    metrics.write(SUCCESS, 200, file, {})
    assert file.stat().st_ino != inode
    assert [path.name for path in tmp_path.iterdir()] == ["wm.prom"]


@pytest.mark.parametrize("content", ["not metrics at all {", "\x00\xff"])
def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path, content: str) -> None:
    file = tmp_path / "wm.prom"
    file.write_text(content)
    with pytest.raises(MetricsError, match="--metrics-file"):
        metrics.write(SUCCESS, time.time(), file, {})
    assert file.read_text() == content


def test_a_file_that_is_no_regular_one_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MetricsError, match="not a regular file"):
        metrics.write(SUCCESS, 100, tmp_path / "fifo", {})


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MetricsError, match="No such file"):
        metrics.write(SUCCESS, 100, tmp_path / "missing" / "wm.prom", {})


def test_a_run_that_was_interrupted_without_failure_is_neither_a_success_nor_a_failure(
    tmp_path: Path,
) -> None:
    file = tmp_path / "wm.prom"
    metrics.write(SUCCESS, 100, file, {})
    metrics.write(FAILURE, 200, file, {})
    left = {"agg": Figures(intake_tasks_left=908, aggregation_tasks_left=1)}
    stopped = RunReport(dry_run=False, figures=left, stopped="SIGTERM received", interrupted=True)
    metrics.write(stopped, 300, file, {})
    found = parsed(file.read_text())
    assert found["workflow_manager_last_success_seconds"] == {"": 100}
    assert found["workflow_manager_last_failure_seconds"] == {"": 200}
    assert found["workflow_manager_intake_tasks_left"] == {"agg": 908}
    assert found["workflow_manager_aggregation_tasks_left"] == {"agg": 1}
    failed = replace(stopped, failed={Kind.PUBLISH: 1})
    metrics.write(failed, 400, file, {})
    assert parsed(file.read_text())["workflow_manager_last_failure_seconds"] == {"": 400}
