"""An aggregation whose window overlaps one that is scheduled would sum batches twice."""

import pytest

from support.harness import Harness
from workflow_manager.core.report import Kind
from workflow_manager.observe.event import Severity

IN_WINDOW = "2026/11/22/17/05"  # which is 16:00 to 24:00
PREFIX = "task-markers/aggregate-agg-"
OVERLAPPING = [
    "2026-11-22-15-00-2026-11-22-18-00",  # its end lies inside ours
    "2026-11-22-23-59-2026-11-23-03-00",  # its beginning does
    "2026-11-22-18-00-2026-11-22-21-00",  # it lies inside
    "2026-11-22-16-00-2026-11-22-17-00",  # both begin at once
    "2026-11-22-21-00-2026-11-23-00-00",  # both end at once
    "2026-11-22-00-00-2026-11-23-12-00",  # ours lies inside it
    "2026-10-23-00-00-2026-11-22-16-01",  # of 30 days
]
HARMLESS = [
    "2026-11-22-08-00-2026-11-22-16-00",  # ends when ours begins
    "2026-11-23-00-00-2026-11-23-08-00",  # begins when ours ends
    "2026-11-22-17-00-2026-11-22-17-00",  # is empty
    "2026-11-22-18-00-2026-11-22-17-00",  # is no window
    "2026-11-22-17-00-2026-11-22-16-00-2026-11-23-00-00",  # is that of the aggregation agg-2026-11-22-17-00
    "b-2026-11-22-18-00-2026-11-22-21-00",  # is that of agg-b
]


@pytest.fixture
def harness() -> Harness:
    made = Harness()
    made.ingest("agg", IN_WINDOW, "b")
    made.validate("agg", IN_WINDOW, "b")
    return made


@pytest.mark.parametrize("window", OVERLAPPING)
def test_it_is_skipped_and_counted_as_failed_with_an_error_that_names_both(
    harness: Harness, window: str
) -> None:
    harness.own.put(PREFIX + window, b"")
    report = harness.run()
    assert harness.aggregated() == {}
    assert harness.taken_in() == ["b"]
    assert report.failed[Kind.OVERLAP] == report.failure_count == 1
    assert report.figures["agg"].aggregation_tasks_failed == 1
    assert not report.succeeded
    (event,) = harness.events.named("aggregation.overlaps")
    assert event.severity is Severity.ERROR
    assert "from 2026-11-22 16:00 to 2026-11-23 00:00" in event.message
    day, hour = window[:10], window[11:16].replace("-", ":")
    assert f"the window {day} {hour} to " in event.message
    assert "--allow-overlapping-windows" in event.message
    assert event.fields["scheduled_window"] != event.fields["aggregation_window"]
    assert event.message.removeprefix("did not schedule ") == report.failures[0].message


@pytest.mark.parametrize("window", HARMLESS)
def test_what_does_not_overlap_is_no_obstacle(harness: Harness, window: str) -> None:
    harness.own.put(PREFIX + window, b"")
    assert harness.run().succeeded
    assert harness.aggregated() == {"agg": ["b"]}


def test_it_is_scheduled_if_that_is_allowed(harness: Harness) -> None:
    harness.own.put(PREFIX + OVERLAPPING[0], b"")
    harness.spec = harness.spec._replace(allow_overlapping_windows=True)
    assert harness.run().succeeded
    assert harness.aggregated() == {"agg": ["b"]}
    assert ("list", PREFIX) not in harness.own.calls


def test_a_dry_run_says_so_too(harness: Harness) -> None:
    harness.own.put(PREFIX + OVERLAPPING[0], b"")
    assert not harness.run(dry_run=True).succeeded


def test_its_own_marker_is_looked_for_first_and_alone(harness: Harness) -> None:
    harness.own.put(PREFIX + OVERLAPPING[0], b"")
    harness.own.put(f"{PREFIX}2026-11-22-16-00-2026-11-23-00-00", b"")
    report = harness.run()
    assert report.succeeded
    assert report.figures["agg"].aggregation_tasks_skipped_due_to_marker == 1
    assert ("list", PREFIX) not in harness.own.calls


def test_nothing_is_looked_for_when_there_is_nothing_to_aggregate() -> None:
    harness = Harness()
    harness.ingest("agg", IN_WINDOW, "b")
    harness.run()
    assert ("list", PREFIX) not in harness.own.calls


def test_it_is_not_scheduled_if_the_markers_cannot_be_listed(harness: Harness) -> None:
    harness.own.fails = lambda operation, name: operation == "list" and name == PREFIX
    report = harness.run()
    assert harness.aggregated() == {}
    assert report.figures["agg"].aggregation_tasks_failed == 1
    assert report.failed[Kind.LISTING] == 1


def test_other_aggregations_are_scheduled(harness: Harness) -> None:
    harness.ingest("other", IN_WINDOW, "c")
    harness.validate("other", IN_WINDOW, "c")
    harness.own.put(PREFIX + OVERLAPPING[0], b"")
    harness.run()
    assert harness.aggregated() == {"other": ["c"]}
