"""A survey says what became of batches and windows, and agrees with what a run does."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.harness import NOW, Harness
from support.survey import PERIOD, rules, survey, window
from workflow_manager.core.names import aggregate_marker, path_time
from workflow_manager.core.selection import Selection
from workflow_manager.core.verdict import REASONS, BatchState, WindowState
from workflow_manager.core.windows import HOUR, MINUTE, Window
from workflow_manager.errors import AccessDeniedError
from workflow_manager.pipeline import splitting

DUE = rules(NOW).aggregation
OLDER = Window(DUE.begin - PERIOD, DUE.begin)


@pytest.fixture
def harness() -> Harness:
    return Harness(page_size=5)


def ingest(harness: Harness, time: datetime, batch: str, *, validated: bool = True, of: str = "agg") -> None:
    harness.ingest(of, path_time(time), batch)
    if validated:
        harness.validate(of, path_time(time), batch)


class TestWindows:
    def test_one_that_the_next_run_schedules_is_due_and_then_scheduled(self, harness: Harness) -> None:
        ingest(harness, DUE.begin + HOUR, "b")
        assert window(survey(harness, NOW), "agg", DUE.begin).state(rules(NOW)) is WindowState.DUE
        assert harness.run().succeeded
        assert window(survey(harness, NOW), "agg", DUE.begin).state(rules(NOW)) is WindowState.SCHEDULED

    def test_one_that_no_run_looks_at_any_more_is_missed(self, harness: Harness) -> None:
        ingest(harness, OLDER.begin, "b")
        report = survey(harness, NOW)
        assert window(report, "agg", OLDER.begin).state(rules(NOW)) is WindowState.MISSED
        assert [found.window for found in report.missed()] == [OLDER]

    def test_one_that_the_peer_has_not_validated_waits(self, harness: Harness) -> None:
        ingest(harness, OLDER.begin, "b", validated=False)
        harness.peer.put(f"agg/{path_time(OLDER.begin)}/b.validity_0.avro", b"")  # a part of a validation
        assert window(survey(harness, NOW), "agg", OLDER.begin).state(rules(NOW)) is WindowState.WAITING

    def test_those_that_are_not_over_are_filling_and_then_in_grace(self, harness: Harness) -> None:
        ingest(harness, DUE.end + HOUR, "b")
        following = DUE.end
        for now, state in (
            (DUE.end + PERIOD - MINUTE, WindowState.FILLING),
            (DUE.end + PERIOD, WindowState.IN_GRACE),
            (DUE.end + PERIOD + 4 * HOUR - MINUTE, WindowState.IN_GRACE),
            (DUE.end + PERIOD + 4 * HOUR, WindowState.DUE),
        ):
            assert window(survey(harness, now), "agg", following).state(rules(now)) is state

    def test_one_without_ready_batches_is_empty(self, harness: Harness) -> None:
        harness.ingest("agg", path_time(OLDER.begin), "b", parts=[""])
        found = window(survey(harness, NOW), "agg", OLDER.begin)
        assert found.state(rules(NOW)) is WindowState.EMPTY
        assert found.incomplete == 1

    def test_batches_that_its_task_did_not_name_are_left_out(self, harness: Harness) -> None:
        ingest(harness, DUE.begin, "in-time")
        harness.run()
        ingest(harness, DUE.begin + HOUR, "late")
        ingest(harness, DUE.begin + 2 * HOUR, "later")
        found = window(survey(harness, NOW), "agg", DUE.begin)
        assert (found.left_out, found.recorded) == (2, True)
        assert found.example is not None
        assert found.example.id == "late"

    def test_what_an_old_marker_named_is_unknown(self, harness: Harness) -> None:
        ingest(harness, DUE.begin, "b")
        marker = aggregate_marker("agg", DUE)
        harness.own.put(marker, marker.encode())
        found = window(survey(harness, NOW), "agg", DUE.begin)
        assert (found.marked, found.recorded, found.left_out) == (True, False, 0)

    def test_one_that_overlaps_a_scheduled_one_of_another_length_says_so(self, harness: Harness) -> None:
        ingest(harness, DUE.begin, "b")
        longer = Window(DUE.begin - 8 * HOUR, DUE.begin + HOUR)
        harness.own.put(aggregate_marker("agg", longer), b"")
        report = survey(harness, NOW)
        assert window(report, "agg", DUE.begin).overlaps == longer
        assert window(report, "agg", DUE.end).overlaps is None

    def test_where_runs_schedule_overlapping_windows_none_is_refused(self, harness: Harness) -> None:
        ingest(harness, DUE.begin, "b")
        harness.own.put(aggregate_marker("agg", Window(DUE.begin - 8 * HOUR, DUE.begin + HOUR)), b"")
        allowed = replace(rules(NOW), allow_overlapping_windows=True)
        assert window(survey(harness, NOW, by=allowed), "agg", DUE.begin).overlaps is None

    def test_one_that_has_not_ended_is_due_where_the_next_run_schedules_it(self, harness: Harness) -> None:
        ingest(harness, DUE.end + HOUR, "b")
        unfinished = replace(rules(NOW), aggregation=Window(DUE.end, DUE.end + PERIOD))
        report = survey(harness, DUE.end + HOUR, by=unfinished)
        assert (
            window(report, "agg", DUE.end).state(replace(unfinished, now=DUE.end + HOUR)) is WindowState.DUE
        )


class TestIntake:
    def test_batches_are_counted_by_what_became_of_them(self, harness: Harness) -> None:
        ingest(harness, NOW - 2 * HOUR, "scheduled")
        harness.run()
        ingest(harness, NOW - HOUR, "due")
        ingest(harness, NOW - 3 * HOUR, "due-earlier")
        ingest(harness, NOW - 30 * HOUR, "too-old")
        harness.ingest("agg", path_time(NOW), "incomplete", parts=[""])
        harness.ingestion.put("agg/2026/11/23/03/61/b.batch", b"")
        found = survey(harness, NOW).aggregations["agg"]
        intake = found.intake
        assert (intake.ready, intake.scheduled, intake.due, intake.too_old) == (4, 1, 2, 1)
        assert (intake.incomplete, found.malformed) == (1, 1)
        assert intake.oldest_due == path_time(NOW - 3 * HOUR)
        assert intake.newest == path_time(NOW - HOUR)

    def test_only_those_aggregations_are_surveyed_that_were_asked_for(self, harness: Harness) -> None:
        for name in ("a-1", "a-2", "b", "a.1"):
            ingest(harness, NOW, "b", of=name)
        assert list(survey(harness, NOW, selection=Selection(["a-*", "b"])).aggregations) == [
            "a-1",
            "a-2",
            "b",
        ]


class TestItOnlyReads:
    def test_it_sends_no_write_and_takes_no_lease(self, harness: Harness) -> None:
        for hour in range(60):
            ingest(harness, NOW - hour * HOUR, "b")
        harness.run()
        for store in (harness.ingestion, harness.own, harness.peer):
            store.calls.clear()
        before = harness.own.names()
        survey(harness, NOW)
        calls = [*harness.ingestion.calls, *harness.own.calls, *harness.peer.calls]
        assert {operation for operation, _ in calls} <= {"list", "directories", "get"}
        assert harness.own.names() == before

    def test_a_part_that_cannot_be_read_is_told_and_the_others_are_surveyed(self, harness: Harness) -> None:
        ingest(harness, NOW, "b", of="bad")
        ingest(harness, NOW, "b", of="good")
        harness.peer.fails = lambda _, name: name.startswith("bad/")
        report = survey(harness, NOW)
        assert len(report.failures) == 1
        assert "'bad'" in report.failures[0]
        assert report.aggregations["good"].intake.due == 1

    def test_where_markers_cannot_be_read_their_names_count(self, harness: Harness) -> None:
        ingest(harness, DUE.begin, "b")
        harness.run()

        def forbid(operation: str, name: str) -> bool:
            if operation == "get":
                raise AccessDeniedError("read", name, "forbidden", "grant s3:GetObject")
            return False

        harness.own.fails = forbid
        report = survey(harness, NOW)
        assert window(report, "agg", DUE.begin).marked
        assert "grant s3:GetObject" in report.failures[0]


@pytest.mark.parametrize("split_after", [1, 3, 10_000])
def test_a_large_aggregation_is_split_without_losing_or_repeating_a_batch(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, split_after: int
) -> None:
    monkeypatch.setattr(splitting, "SPLIT_AFTER", split_after)
    monkeypatch.setattr(splitting, "WORTH_SPLITTING", split_after)
    for hour, number in product(range(48), range(3)):
        ingest(harness, NOW - hour * HOUR, f"b-{number}")
    report = survey(harness, NOW)
    assert report.failures == []
    found = report.aggregations["agg"]
    assert found.intake.ready == 48 * 3
    assert sum(one.validated for one in found.windows) == 48 * 3
    assert [one.ready for one in found.windows if one.window in (DUE, OLDER)] == [24, 24]


batches = st.lists(
    st.tuples(
        st.sampled_from(["agg", "other"]),
        st.integers(-80, 30).map(lambda hours: NOW + hours * HOUR + timedelta(minutes=7)),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from(["ready", "incomplete"]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(batches, batches)
def test_what_is_due_is_what_a_run_schedules_and_is_scheduled_then(
    first: list[tuple[str, datetime, str, str, bool]], second: list[tuple[str, datetime, str, str, bool]]
) -> None:
    harness = Harness(page_size=4)
    for added in (first, second):
        for aggregation, time, batch, parts, validated in added:
            harness.ingest(
                aggregation, path_time(time), batch, ("", ".avro", ".sig") if parts == "ready" else ("",)
            )
            if validated:
                harness.validate(aggregation, path_time(time), batch)
        before = survey(harness, NOW)
        report = harness.run()
        after = survey(harness, NOW)
        assert before.failures == after.failures == []
        assert set(before.aggregations) == set(report.figures)
        for name, figures in report.figures.items():
            was, now = before.aggregations[name], after.aggregations[name]
            due = [one.window for one in was.windows if one.state(before.rules) is WindowState.DUE]
            assert was.intake.due == figures.intake_tasks_scheduled
            assert now.intake.due == 0
            assert now.intake.scheduled == was.intake.scheduled + was.intake.due
            assert len(due) == figures.aggregation_tasks_scheduled
            for one in due:
                found = window(after, name, one.begin)
                assert found.state(after.rules) is WindowState.SCHEDULED
                assert found.left_out == 0
            assert [one.left_out for one in was.windows if one.window == DUE] == [
                figures.aggregate_batches_left_out
            ]
            others = [one for one in was.windows if one.window not in due]
            assert [one.state(after.rules) for one in now.windows if one.window not in due] == [
                one.state(before.rules) for one in others
            ]


def test_every_state_of_a_batch_has_its_reason() -> None:

    assert set(REASONS) == {*BatchState, *WindowState}
