"""A run reads the marker of an aggregation, and says which batches its task left out."""

import pytest

from support.harness import Harness
from workflow_manager.core.marker_record import parse_record
from workflow_manager.errors import AccessDeniedError

MARKER = "task-markers/aggregate-agg-2026-11-22-16-00-2026-11-23-00-00"
TIME = "2026/11/22/18/00"


@pytest.fixture
def scheduled() -> Harness:
    """A window that was scheduled with one batch, in which the peer validates another later."""
    harness = Harness()
    harness.ingest("agg", TIME, "in-time")
    harness.ingest("agg", TIME, "late")
    harness.validate("agg", TIME, "in-time")
    assert harness.run().succeeded
    harness.events.seen.clear()
    harness.own.calls.clear()
    return harness


def test_a_task_is_recorded_with_the_trace_id_of_its_message_and_its_batches(scheduled: Harness) -> None:
    record = parse_record(MARKER, scheduled.own.get(MARKER) or b"")
    (message,) = scheduled.queue.bodies("aggregate")
    assert record.trace_id == message["trace-id"]
    assert record.topic == "aggregate"
    assert [batch.id for batch in record.batches or ()] == ["in-time"]
    intake = f"task-markers/intake-agg-{TIME.replace('/', '-')}-late"
    traces = {message["batch-id"]: message["trace-id"] for message in scheduled.queue.bodies("intake")}
    assert parse_record(intake, scheduled.own.get(intake) or b"").trace_id == traces["late"]


def test_a_batch_that_came_late_is_told_and_counted(scheduled: Harness) -> None:
    scheduled.validate("agg", TIME, "late")
    report = scheduled.run()
    assert report.succeeded
    assert report.figures["agg"].aggregate_batches_left_out == 1
    assert report.figures["agg"].aggregation_tasks_skipped_due_to_marker == 1
    (event,) = scheduled.events.named("aggregation.batches_left_out")
    assert event.severity == "WARNING"
    assert "without 1 batch" in event.message
    assert f"'agg/{TIME}/late'" in event.message
    assert scheduled.aggregated() == {"agg": ["in-time"]}


def test_nothing_is_told_if_the_task_named_all(scheduled: Harness) -> None:
    assert scheduled.run().figures["agg"].aggregate_batches_left_out == 0
    assert scheduled.events.named("aggregation.batches_left_out") == []


@pytest.mark.parametrize("content", [MARKER.removeprefix("task-markers/").encode(), b"", b"{}", b"\xff"])
def test_an_old_marker_counts_and_says_nothing(scheduled: Harness, content: bytes) -> None:
    scheduled.own.put(MARKER, content)
    scheduled.validate("agg", TIME, "late")
    report = scheduled.run()
    assert report.figures["agg"].aggregation_tasks_skipped_due_to_marker == 1
    assert report.figures["agg"].aggregate_batches_left_out == 0
    assert scheduled.events.named("aggregation.batches_left_out") == []


def test_the_marker_is_read_for_the_one_request_that_a_listing_took(scheduled: Harness) -> None:
    scheduled.run()
    assert [call for call in scheduled.own.calls if "aggregate" in call[1]] == [("get", MARKER)]


def test_where_reading_is_forbidden_the_name_counts_and_it_is_told_once(scheduled: Harness) -> None:
    def forbid(operation: str, name: str) -> bool:
        if operation == "get":
            raise AccessDeniedError("read", name, "forbidden", "grant s3:GetObject")
        return False

    for aggregation in ("two", "three"):
        scheduled.ingest(aggregation, TIME, "b")
        scheduled.validate(aggregation, TIME, "b")
    scheduled.own.fails = forbid
    scheduled.validate("agg", TIME, "late")
    report = scheduled.run()
    assert report.succeeded
    assert report.figures["agg"].aggregation_tasks_skipped_due_to_marker == 1
    assert report.figures["agg"].aggregate_batches_left_out == 0
    assert report.figures["two"].aggregation_tasks_scheduled == 1
    (event,) = scheduled.events.named("markers.unreadable")
    assert "grant s3:GetObject" in event.message


def test_a_marker_that_cannot_be_read_for_another_reason_leaves_the_aggregation(scheduled: Harness) -> None:
    scheduled.own.fails = lambda operation, _name: operation == "get"
    report = scheduled.run()
    assert not report.succeeded
    assert report.figures["agg"].aggregation_tasks_failed == 1
