"""Metrics, on a real Pushgateway and in a file."""

import base64
import os
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servers.pushgateway import pushed, pushgateway
from support.command import metrics as parsed
from workflow_manager import __version__
from workflow_manager.core.lease_names import LeaseHolder
from workflow_manager.core.report import (
    FIGURES,
    BatchTimes,
    Figures,
    Kind,
    RunReport,
    StageName,
    Transfers,
)
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import Window
from workflow_manager.errors import MetricsError
from workflow_manager.observe import metrics, samples
from workflow_manager.observe.metric_definitions import LEASE_HELD_SINCE, OLDEST_UNSCHEDULED, SUPERSEDED
from workflow_manager.observe.samples import run_samples
from workflow_manager.survey.findings import AggregationFindings, SurveyReport
from workflow_manager.survey.survey_samples import survey_samples

NOW = datetime(2026, 11, 23, 4, 20, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=8), NOW)
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


def push(report: RunReport, ended: float, gateway: str, grouping: Mapping[str, str]) -> None:
    metrics.push(run_samples(report, ended), gateway, grouping)


def write(report: RunReport, ended: float, file: Path, labels: Mapping[str, str]) -> None:
    metrics.write(run_samples(report, ended), file, labels)


def deliver_to_gateway(gateway: str, report: RunReport, ended: float, label: str) -> str:
    push(report, ended, gateway, {"locality": label, "ingestor": "i"})
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
    push(SUCCESS, 100, gateway, {"locality": "two", "ingestor": "x"})
    (line,) = [
        line
        for line in pushed(gateway).splitlines()
        if line.startswith("workflow_manager_last_success") and 'locality="two"' in line
    ]
    assert 'job="workflow-manager"' in line
    assert 'ingestor="x"' in line


def test_empty_grouping_keys_are_taken(gateway: str) -> None:
    push(SUCCESS, 100, gateway, {"locality": "", "ingestor": ""})
    assert 'workflow_manager_last_success_seconds{ingestor="",' in pushed(gateway)


def test_every_figure_is_a_gauge_by_aggregation(gateway: str) -> None:
    found = parsed(deliver_to_gateway(gateway, SUCCESS, 100, "three"))
    for name in FIGURES:
        assert set(found[f"workflow_manager_{name}"]) == {"agg", 'odd "\n\\ name'}
    assert found["workflow_manager_ingestions_found"]["agg"] == 3


def test_only_so_many_aggregations_become_labels_and_the_rest_are_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_AGGREGATIONS", 2)
    figures = {f"!made-up-{number}": Figures(incomplete_ingestions_found=1) for number in range(50)}
    figures |= {"real": Figures(ingestions_found=3), "also real": Figures(ingestions_found=1)}
    file = tmp_path / "wm.prom"
    write(RunReport(dry_run=False, figures=figures), 100, file, {})
    found = parsed(file.read_text())
    assert found["workflow_manager_ingestions_found"] == {"real": 3, "also real": 1, "(others)": 0}
    assert found["workflow_manager_incomplete_ingestions_found"]["(others)"] == 50


def test_an_unreachable_gateway_is_an_error_that_names_it() -> None:
    with pytest.raises(MetricsError, match=r"http://127\.0\.0\.1:1.*is the Pushgateway up"):
        push(SUCCESS, 100, "http://127.0.0.1:1", GROUPING)


def test_a_silent_gateway_does_not_hold_the_run_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(MetricsError, match="timed out"):
        push(SUCCESS, 100, f"http://127.0.0.1:{silent.getsockname()[1]}", GROUPING)


def test_a_user_and_a_password_go_to_the_gateway_as_basic_authentication_and_into_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_first_request, server)
        with pytest.raises(MetricsError) as told:
            push(SUCCESS, 100, f"http://us%40er:hunter2@127.0.0.1:{server.getsockname()[1]}", GROUPING)
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
    write(SUCCESS, 100, file, GROUPING)
    assert (
        'workflow_manager_ingestions_found{aggregation_id="agg",ingestor="ingestor-1",locality="na"} 3.0'
        in (file.read_text())
    )
    write(FAILURE, 200, file, GROUPING)
    found = parsed(file.read_text())
    assert found["workflow_manager_last_success_seconds"] == {"": 100}
    assert found["workflow_manager_last_failure_seconds"] == {"": 200}
    assert found["workflow_manager_ingestions_found"] == {"agg": 4}
    write(SUCCESS, 300, file, {})
    assert parsed(file.read_text())["workflow_manager_last_failure_seconds"] == {"": 200}


def test_failures_are_counted_by_kind_and_those_of_an_earlier_run_go(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    write(FAILURE, 100, file, {})
    assert 'workflow_manager_failures{kind="publish"} 2.0' in file.read_text()
    write(SUCCESS, 200, file, {})
    for kind in Kind:
        assert f'workflow_manager_failures{{kind="{kind}"}} 0.0' in file.read_text()


def test_the_file_is_replaced_at_once(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    write(SUCCESS, 100, file, {})
    inode = file.stat().st_ino
    write(SUCCESS, 200, file, {})
    assert file.stat().st_ino != inode
    assert [path.name for path in tmp_path.iterdir()] == ["wm.prom"]


@pytest.mark.parametrize("content", ["not metrics at all {", "\x00\xff"])
def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path, content: str) -> None:
    file = tmp_path / "wm.prom"
    file.write_text(content)
    with pytest.raises(MetricsError, match="--metrics-file"):
        write(SUCCESS, time.time(), file, {})
    assert file.read_text() == content


def test_a_file_that_is_no_regular_one_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MetricsError, match="not a regular file"):
        write(SUCCESS, 100, tmp_path / "fifo", {})


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MetricsError, match="No such file"):
        write(SUCCESS, 100, tmp_path / "missing" / "wm.prom", {})


def test_a_run_that_was_interrupted_without_failure_is_neither_a_success_nor_a_failure(
    tmp_path: Path,
) -> None:
    file = tmp_path / "wm.prom"
    write(SUCCESS, 100, file, {})
    write(FAILURE, 200, file, {})
    left = {"agg": Figures(intake_tasks_left=908, aggregation_tasks_left=1)}
    stopped = RunReport(dry_run=False, figures=left, stopped="SIGTERM received", interrupted=True)
    write(stopped, 300, file, {})
    found = parsed(file.read_text())
    assert found["workflow_manager_last_success_seconds"] == {"": 100}
    assert found["workflow_manager_last_failure_seconds"] == {"": 200}
    assert found["workflow_manager_intake_tasks_left"] == {"agg": 908}
    assert found["workflow_manager_aggregation_tasks_left"] == {"agg": 1}
    failed = replace(stopped, failed={Kind.PUBLISH: 1})
    write(failed, 400, file, {})
    assert parsed(file.read_text())["workflow_manager_last_failure_seconds"] == {"": 400}


HOLDER = LeaseHolder(
    "elsewhere", 7, datetime(2026, 11, 23, 5, tzinfo=UTC), datetime(2026, 11, 23, 4, tzinfo=UTC)
)


def test_a_run_that_leaves_everything_to_another_tells_only_that(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    write(SUCCESS, 100, file, GROUPING)
    superseded = RunReport(dry_run=False, figures={"agg": Figures()}, superseded_by=HOLDER)
    assert set(run_samples(superseded, 200).by_metric) == {SUPERSEDED, LEASE_HELD_SINCE}
    write(superseded, 200, file, GROUPING)
    found = parsed(file.read_text())
    assert found["workflow_manager_superseded"] == {"": 1}
    assert found["workflow_manager_lease_held_since_seconds"] == {"": HOLDER.begun.timestamp()}
    assert found["workflow_manager_last_success_seconds"] == {"": 100}
    assert found["workflow_manager_ingestions_found"]["agg"] == 3, "the figures of the other run stay"
    write(SUCCESS, 300, file, GROUPING)
    assert parsed(file.read_text())["workflow_manager_lease_held_since_seconds"] == {"": 0}


def test_batch_times_are_in_seconds_and_0_if_there_is_none(tmp_path: Path) -> None:
    times = {"agg": BatchTimes("2026/11/23/04/05", "2026/11/23/03/00")}
    report = RunReport(dry_run=False, figures={"agg": Figures(), "none": Figures()}, batch_times=times)
    write(report, 100, tmp_path / "wm.prom", {})
    found = parsed((tmp_path / "wm.prom").read_text())
    assert found["workflow_manager_newest_batch_timestamp_seconds"] == {
        "agg": datetime(2026, 11, 23, 4, 5, tzinfo=UTC).timestamp(),
        "none": 0,
    }
    assert found["workflow_manager_oldest_unscheduled_batch_timestamp_seconds"] == {
        "agg": datetime(2026, 11, 23, 3, tzinfo=UTC).timestamp(),
        "none": 0,
    }


def test_batch_times_of_aggregations_that_are_summed_up_are_the_newest_and_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samples, "MOST_AGGREGATIONS", 1)
    figures = {"big": Figures(ingestions_found=9), "a": Figures(), "b": Figures(), "c": Figures()}
    times = {
        "big": BatchTimes("2026/11/23/04/09"),
        "a": BatchTimes("2026/11/23/04/01", "2026/11/23/03/02"),
        "b": BatchTimes("2026/11/23/04/02", "2026/11/23/03/01"),
    }
    report = RunReport(dry_run=False, figures=figures, batch_times=times)
    told = {
        labels["aggregation_id"]: value
        for labels, value in run_samples(report, 1).by_metric[OLDEST_UNSCHEDULED]
    }
    assert told == {"big": 0, "(others)": datetime(2026, 11, 23, 3, 1, tzinfo=UTC).timestamp()}


def test_requests_and_durations_are_told_by_their_kinds(tmp_path: Path) -> None:
    transfers = {"own": {"write": Transfers(5, 2, 100, 10)}, "peer": {"list": Transfers(1)}}
    report = RunReport(dry_run=False, transfers=transfers, stage_seconds={StageName.MARK: 1.5})
    write(report, 100, tmp_path / "wm.prom", {})
    text = (tmp_path / "wm.prom").read_text()
    assert 'workflow_manager_bucket_requests{bucket="own",operation="write"} 5.0' in text
    assert 'workflow_manager_bucket_retries{bucket="own",operation="write"} 2.0' in text
    assert 'workflow_manager_bucket_sent_bytes{bucket="own",operation="write"} 100.0' in text
    assert 'workflow_manager_bucket_received_bytes{bucket="peer",operation="list"} 0.0' in text
    assert 'workflow_manager_stage_duration_seconds{stage="mark"} 1.5' in text
    assert f'workflow_manager_build_info{{version="{__version__}"}} 1.0' in text


def test_the_file_keeps_what_a_survey_has_written_under_the_labels_of_now(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    report = SurveyReport(Rules(NOW, WINDOW, WINDOW, timedelta()))
    report.aggregations["agg"] = AggregationFindings("agg", malformed=3)
    metrics.write(survey_samples(report), file, {"locality": "before"})
    write(SUCCESS, 100, file, {"locality": "now"})
    text = file.read_text()
    assert 'workflow_manager_survey_malformed_objects{aggregation_id="agg",locality="now"} 3.0' in text
    assert "before" not in text
    other = SurveyReport(report.rules)
    metrics.write(survey_samples(other), file, {"locality": "now"})
    assert "workflow_manager_survey_malformed_objects{" not in file.read_text(), "the survey found none"
    assert parsed(file.read_text())["workflow_manager_last_success_seconds"] == {"": 100}


def test_metrics_of_others_in_the_file_are_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "wm.prom"
    file.write_text('somebody_elses{a="b"} 1\nworkflow_manager_of_a_later_version 2\n')
    write(SUCCESS, 100, file, {})
    assert "somebody_elses" not in file.read_text()
    assert "later_version" not in file.read_text()
