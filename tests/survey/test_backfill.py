"""A backfill schedules what is due in a range, whichever way the range is cut, and repeats what is asked."""

import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.harness import NOW, Harness
from support.survey import PERIOD, backfill, rules, survey
from workflow_manager.core.marker_record import parse_record
from workflow_manager.core.names import Batch, aggregate_marker, intake_marker, path_time
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.verdict import WindowState
from workflow_manager.core.windows import HOUR, MINUTE, Window, aggregation_window
from workflow_manager.survey.backfill_plan import BackfillRange, Only

BEGIN = aggregation_window(NOW - 72 * HOUR, PERIOD).begin
RANGE = Window(BEGIN, NOW)
OLD = aggregation_window(NOW - 48 * HOUR, PERIOD)

Batches = list[tuple[str, datetime, str, bool]]
batches = st.lists(
    st.tuples(
        st.sampled_from(["agg", "other"]),
        st.integers(0, 80 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes)),
        st.sampled_from(["1", "2", "3"]),
        st.booleans(),
    ),
    max_size=25,
)
cuts = st.lists(
    st.integers(1, 74 * 60).map(lambda minutes: BEGIN + minutes * MINUTE), max_size=5, unique=True
)


def filled(found: Batches) -> Harness:
    harness = Harness(page_size=7)
    for aggregation, time, batch, validated in found:
        harness.ingest(aggregation, path_time(time), batch)
        if validated:
            harness.validate(aggregation, path_time(time), batch)
    return harness


def tasks(harness: Harness) -> Counter[str]:
    """The messages without their trace IDs, and how often each was published."""
    return Counter(
        json.dumps({name: value for name, value in body.items() if name != "trace-id"}, sort_keys=True)
        for topic in ("intake", "aggregate")
        for body in harness.queue.bodies(topic)
    )


@settings(deadline=None)
@given(batches, cuts)
def test_any_cut_of_a_range_gives_the_same_tasks_as_the_whole(found: Batches, at: list[datetime]) -> None:
    whole, pieces = filled(found), filled(found)
    backfill(whole, NOW, RANGE)
    ends = [RANGE.begin, *sorted(time for time in at if time in RANGE), RANGE.end]
    for begin, end in pairwise(ends):
        if begin < end:
            backfill(pieces, NOW, Window(begin, end))
    assert tasks(pieces) == tasks(whole)
    assert set(tasks(whole).values()) <= {1}
    assert pieces.markers() == whole.markers()


@settings(deadline=None)
@given(batches)
def test_afterwards_nothing_in_the_range_is_due_or_missed(found: Batches) -> None:
    harness = filled(found)
    backfill(harness, NOW, RANGE)
    report = survey(harness, NOW, days=3)
    for one in report.aggregations.values():
        assert one.intake.too_old == 0
        states = {window.state(report.rules) for window in one.windows if window.window.begin in RANGE}
        assert not states & {WindowState.DUE, WindowState.MISSED}
    assert backfill(harness, NOW, RANGE) == []


@pytest.fixture
def harness() -> Harness:
    """Two batches in a window that was missed, one of them validated too late."""
    harness = Harness()
    for batch in ("a", "b"):
        harness.ingest("agg", path_time(OLD.begin + HOUR), batch)
    harness.validate("agg", path_time(OLD.begin + HOUR), "a")
    return harness


def test_only_one_kind_of_task_can_be_wanted(harness: Harness) -> None:
    backfill(harness, NOW, RANGE, Only.AGGREGATE)
    assert (harness.taken_in(), harness.aggregated()) == ([], {"agg": ["a"]})
    backfill(harness, NOW, RANGE, Only.INTAKE)
    assert harness.taken_in() == ["a", "b"]
    assert len(harness.queue.bodies("aggregate")) == 1


def test_a_window_that_is_not_over_or_overlaps_a_scheduled_one_is_refused(harness: Harness) -> None:
    filling = aggregation_window(NOW, PERIOD)
    harness.ingest("agg", path_time(filling.begin), "c")
    harness.validate("agg", path_time(filling.begin), "c")
    longer = Window(OLD.begin - 8 * HOUR, OLD.begin + HOUR)
    harness.own.put(aggregate_marker("agg", longer), b"")
    report = survey(harness, NOW)
    wanted = BackfillRange(RANGE, None, again=False)
    assert [(one.window, one.reason) for one in wanted.refused(report)] == [
        (OLD, "it overlaps a scheduled window"),
        (filling, "it is filling"),
    ]
    backfill(harness, NOW, RANGE)
    assert harness.aggregated() == {}


def test_batches_in_the_future_beyond_the_intake_window_are_left_alone(harness: Harness) -> None:
    far = rules(NOW).intake.end
    harness.ingest("agg", path_time(far), "far")
    backfill(harness, NOW, Window(NOW, far + HOUR))
    assert harness.taken_in() == []


class TestAgain:
    def test_tasks_are_published_again_as_they_were_recorded_once_for_each_reason(
        self, harness: Harness
    ) -> None:
        backfill(harness, NOW, RANGE)
        harness.validate("agg", path_time(OLD.begin + HOUR), "b")
        for reason, times in (("queue was purged", 2), ("queue was purged", 2), ("and once more", 3)):
            backfill(harness, NOW, RANGE, repetition=Repetition(reason))
            assert set(tasks(harness).values()) == {times}
            assert len(tasks(harness)) == 3, "two intake tasks, and the same aggregation each time"

    def test_the_marker_says_why_when_and_with_which_trace_id(self, harness: Harness) -> None:
        backfill(harness, NOW, RANGE)
        backfill(harness, NOW, RANGE, repetition=Repetition("queue was purged"))
        marker = aggregate_marker("agg", OLD)
        record = parse_record(marker, harness.own.get(marker) or b"")
        first, second = harness.queue.bodies("aggregate")
        assert record.trace_id == first["trace-id"]
        (entry,) = record.again
        assert (entry.reason, entry.trace_id) == ("queue was purged", second["trace-id"])
        assert entry.time
        assert entry.host

    def test_what_has_no_marker_is_not_published(self, harness: Harness) -> None:
        backfill(harness, NOW, RANGE, repetition=Repetition("queue was purged"))
        assert tasks(harness) == Counter()

    def test_recompute_names_what_is_validated_now_and_records_it(self, harness: Harness) -> None:
        backfill(harness, NOW, RANGE)
        harness.validate("agg", path_time(OLD.begin + HOUR), "b")
        backfill(harness, NOW, RANGE, Only.AGGREGATE, Repetition("late batches", recompute=True))
        last = harness.queue.bodies("aggregate")[-1]
        assert [batch["id"] for batch in last["batches"]] == ["a", "b"]
        assert sum(one.left_out for one in survey(harness, NOW).with_batches_left_out()) == 0

    def test_one_marker_repeats_one_task(self, harness: Harness) -> None:
        backfill(harness, NOW, RANGE)
        time = path_time(OLD.begin + HOUR)
        only = intake_marker("agg", Batch(time, "b"))
        harness.own.calls.clear()
        backfill(harness, NOW, RANGE, Only.INTAKE, Repetition("lost", only_marker=only))
        assert harness.taken_in() == ["a", "b", "b"]
        read = {name for operation, name in harness.own.calls if operation == "get" and "intake" in name}
        assert read == {only}

    def test_an_aggregation_of_which_the_batches_are_unknown_fails_with_the_remedy(
        self, harness: Harness
    ) -> None:
        marker = aggregate_marker("agg", OLD)
        harness.own.put(marker, marker.encode())
        with pytest.raises(AssertionError):
            backfill(harness, NOW, RANGE, Only.AGGREGATE, Repetition("purged"))
        (failed,) = harness.events.named("part.failed")
        assert "--recompute" in failed.message
        backfill(harness, NOW, RANGE, Only.AGGREGATE, Repetition("purged", recompute=True))
        assert harness.aggregated() == {"agg": ["a"]}
