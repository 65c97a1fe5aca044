"""A run over buckets in memory: what is scheduled, how often is listed, and what a fault spoils."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.harness import Harness, small_limits
from workflow_manager.core.report import Kind
from workflow_manager.core.windows import HOUR
from workflow_manager.errors import QueueError
from workflow_manager.observe.event import Event, Severity
from workflow_manager.pipeline import mark, splitting
from workflow_manager.pipeline.scheduler import Workers
from workflow_manager.ports import Message

IN_BOTH = "2026/11/22/17/05"  # lies in the intake and in the aggregation window
IN_INTAKE = "2026/11/23/03/05"
MARKER = f"task-markers/intake-agg-{IN_BOTH.replace('/', '-')}-b"


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    monkeypatch.setattr(mark, "FIRST_PAUSE", 0)
    return Harness()


class TestWhatIsScheduled:
    def test_a_ready_batch_is_taken_in_and_marked_once(self, harness: Harness) -> None:
        harness.ingest("agg", IN_INTAKE, "b")
        assert harness.run().succeeded
        assert harness.taken_in() == ["b"]
        assert harness.markers() == ["task-markers/intake-agg-2026-11-23-03-05-b"]
        report = harness.run()
        assert harness.taken_in() == ["b"]
        assert report.figures["agg"].intake_tasks_skipped_due_to_marker == 1

    def test_validated_batches_are_aggregated_in_one_task_once(self, harness: Harness) -> None:
        for batch in ("b", "c", "unvalidated"):
            harness.ingest("agg", IN_BOTH, batch)
        for batch in ("b", "c", "not-ingested"):
            harness.validate("agg", IN_BOTH, batch)
        report = harness.run()
        assert harness.aggregated() == {"agg": ["b", "c"]}
        figures = report.figures["agg"]
        assert figures.number_of_batches_in_aggregation == 2
        assert figures.aggregate_ingestions_missing_peer_validation == 1
        assert figures.peer_validations_found == 3
        assert harness.run().figures["agg"].aggregation_tasks_skipped_due_to_marker == 1
        assert len(harness.queue.bodies("aggregate")) == 1

    def test_each_message_has_a_trace_id_of_its_own(self, harness: Harness) -> None:
        for batch in "bcd":
            harness.ingest("agg", IN_INTAKE, batch)
        harness.run()
        assert len({body["trace-id"] for body in harness.queue.bodies("intake")}) == 3

    def test_markers_of_others_in_the_ingestion_bucket_are_no_aggregation(self, harness: Harness) -> None:
        harness.ingest("task-markers", IN_INTAKE, "b")
        assert harness.run().figures == {}

    def test_nothing_at_all_is_a_success(self, harness: Harness) -> None:
        assert harness.run().succeeded

    def test_windows_that_lie_apart_are_both_looked_at_and_the_gap_is_not(self, harness: Harness) -> None:
        for time, batch in ((IN_BOTH, "old"), ("2026/11/23/01/05", "gap"), (IN_INTAKE, "new")):
            harness.ingest("agg", time, batch)
            harness.validate("agg", time, batch)
        report = harness.run(max_age=2 * HOUR)
        assert harness.taken_in() == ["new"]
        assert harness.aggregated() == {"agg": ["old"]}
        assert report.figures["agg"].ingestions_found == 1

    @given(st.data())
    @settings(max_examples=40, deadline=None)
    def test_a_second_run_has_nothing_to_do(self, data: st.DataObject) -> None:
        harness = Harness(page_size=data.draw(st.integers(1, 9)))
        minutes = st.sampled_from(
            [IN_BOTH, IN_INTAKE, "2026/11/22/16/00", "2026/11/23/00/00", "2026/11/22/04/20"]
        )
        batches = st.tuples(st.sampled_from(["agg", "b c", "x-2026"]), minutes, st.sampled_from("bcdef"))
        found = data.draw(st.sets(batches))
        for aggregation, minute, batch in found:
            harness.ingest(aggregation, minute, batch)
            if data.draw(st.booleans()):
                harness.validate(aggregation, minute, batch)
        first = harness.run()
        assert first.succeeded
        assert first.total().intake_tasks_scheduled == len(found)
        second = harness.run().total()
        assert second.intake_tasks_scheduled == second.aggregation_tasks_scheduled == 0
        assert second.intake_tasks_skipped_due_to_marker == len(found)


class TestHowOftenIsListed:
    def test_an_hour_in_both_windows_is_listed_once(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        harness.run()
        assert harness.ingestion.calls == [("directories", ""), ("list", "agg/")]

    def test_markers_are_not_read_when_no_batch_is_ready(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b", parts=[".sig"])
        harness.run()
        assert harness.own.calls == []

    def test_the_aggregates_marker_is_looked_up_by_its_name(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "b")
        harness.run()
        marker = "task-markers/aggregate-agg-2026-11-22-16-00-2026-11-23-00-00"
        assert [call for call in harness.own.calls if call[0] in ("list", "get")] == [
            ("list", "task-markers/intake-agg-"),
            ("get", marker),
            ("list", "task-markers/aggregate-agg-"),
        ]
        harness.own.calls.clear()
        harness.run()
        assert [name for _, name in harness.own.calls] == ["task-markers/intake-agg-", marker]

    @pytest.mark.parametrize("split_after", [1, 3, 10, 10_000])
    def test_a_large_aggregation_is_split_without_losing_or_repeating_a_batch(
        self, monkeypatch: pytest.MonkeyPatch, split_after: int
    ) -> None:
        monkeypatch.setattr(splitting, "SPLIT_AFTER", split_after)
        monkeypatch.setattr(splitting, "WORTH_SPLITTING", split_after)
        harness = Harness(page_size=7)
        times = [
            f"2026/11/{day}/{hour:02}/{minute}"
            for day in (22, 23)
            for hour in range(24)
            for minute in ("00", "59")
        ]
        for time in times:
            harness.ingest("agg", time, time.replace("/", ""))
            harness.validate("agg", time, time.replace("/", ""))
        harness.run()
        inside = [time.replace("/", "") for time in times if "2026/11/22/04/20" <= time < "2026/11/24/04/20"]
        assert harness.taken_in() == inside
        window = [time.replace("/", "") for time in times if "2026/11/22/16" <= time < "2026/11/23"]
        assert harness.aggregated() == {"agg": window}

    def test_what_is_read_in_pieces_is_listed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(splitting, "SPLIT_AFTER", 3)
        monkeypatch.setattr(splitting, "WORTH_SPLITTING", 3)
        harness = Harness(page_size=3)
        listing, listed = harness.ingestion.list_keys, Counter[str]()

        def counted(prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
            for page in listing(prefix, after, before):
                listed.update(page)
                yield page

        monkeypatch.setattr(harness.ingestion, "list_keys", counted)
        for hour in range(24):
            harness.ingest("agg", f"2026/11/23/{hour:02}/05", "b")
        harness.run()
        assert len(listed) == 24 * 3
        # The page with which it was seen that the rest is others' is the only one that is read again.
        assert listed.total() <= 24 * 3 + 3


class TestMalformedNames:
    def test_they_are_skipped_and_counted_and_all_else_is_scheduled(self, harness: Harness) -> None:
        for key in ("agg/2026/11/22/zz/x", "agg/2026/11/23/03/61/b.batch", "agg/2026/11/23/03/05/a/b.batch"):
            harness.ingestion.put(key, b"")
        harness.ingest("agg", IN_INTAKE, "b")
        harness.ingest("other", IN_INTAKE, "c")
        report = harness.run()
        assert report.succeeded
        assert harness.taken_in() == ["b", "c"]
        assert report.figures["agg"].malformed_objects_found == 3
        (event,) = harness.events.named("objects.malformed")
        assert event.fields["count"] == 3

    def test_an_aggregation_without_a_name_is_counted(self, harness: Harness) -> None:
        harness.ingestion.put(f"/{IN_INTAKE}/b.batch", b"")
        harness.ingest("agg", IN_INTAKE, "b")
        report = harness.run()
        assert harness.taken_in() == ["b"]
        assert report.figures[""].malformed_objects_found == 1

    def test_names_of_ten_thousand_characters_are_no_trap(self, harness: Harness) -> None:
        harness.ingest("agg", IN_INTAKE, "b" * 10_000)
        harness.ingest("x" * 10_000, IN_INTAKE, "c")
        assert len(harness.taken_in()) == 0
        assert harness.run().succeeded
        assert len(harness.taken_in()) == 2

    def test_a_batch_whose_marker_cannot_be_stored_is_never_published(self, harness: Harness) -> None:
        harness.own.refuses = lambda key: "too long" if key.endswith("-long") else None
        harness.ingest("agg", IN_INTAKE, "long")
        harness.ingest("agg", IN_INTAKE, "b")
        report = harness.run()
        assert report.succeeded
        assert harness.taken_in() == ["b"]
        assert report.figures["agg"].malformed_objects_found == 1

    def test_nor_is_it_aggregated_whichever_window_it_lies_in(self, harness: Harness) -> None:
        harness.own.refuses = lambda key: "too long" if key.endswith("-long") else None
        for batch in ("long", "b"):
            harness.ingest("agg", IN_BOTH, batch)
            harness.validate("agg", IN_BOTH, batch)
        report = harness.run(max_age=2 * HOUR)
        assert report.succeeded
        assert harness.aggregated() == {"agg": ["b"]}
        assert report.figures["agg"].malformed_objects_found == 1
        assert report.figures["agg"].aggregate_ingestions_found == 1

    def test_those_of_all_ranges_and_both_buckets_are_told_in_one_line(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(splitting, "SPLIT_AFTER", 3)
        monkeypatch.setattr(splitting, "WORTH_SPLITTING", 3)
        for hour in ("16", "17", "18", "19", "20"):
            harness.ingest("agg", f"2026/11/22/{hour}/05", "b")
            harness.ingestion.put(f"agg/2026/11/22/{hour}/61/b.batch", b"")
            harness.peer.put(f"agg/2026/11/22/{hour}/61/b.validity_0", b"")
        harness.run(max_age=2 * HOUR)
        (event,) = harness.events.named("objects.malformed")
        assert event.fields["count"] == 10
        assert event.fields["buckets"] == {"memory://ingestion": 5, "memory://peer": 5}
        assert len(event.fields["examples"]) == 6  # type: ignore[arg-type] # a list
        assert (
            "5 malformed names in memory://ingestion and 5 malformed names in memory://peer" in event.message
        )

    def test_an_aggregation_whose_marker_cannot_be_stored_fails_visibly(self, harness: Harness) -> None:
        harness.own.refuses = lambda key: "too long" if "aggregate" in key else None
        harness.ingest("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "b")
        report = harness.run()
        assert harness.aggregated() == {}
        assert report.figures["agg"].aggregation_tasks_failed == 1
        assert not report.succeeded

    def test_names_cannot_forge_a_line_of_a_message(self, harness: Harness) -> None:
        harness.ingest("agg", IN_INTAKE, "b\nERROR forged\x1b[31m")
        harness.run()
        assert all("\n" not in event.message and "\x1b" not in event.message for event in harness.events.seen)


class TestDryRun:
    def test_it_tells_each_task_and_touches_nothing(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "b")
        report = harness.run(dry_run=True)
        assert report.dry_run
        assert report.succeeded
        assert [event.fields["topic"] for event in harness.events.named("task.would_be_scheduled")] == [
            "intake",
            "aggregate",
        ]
        assert harness.queue.published == {}
        assert harness.own.names() == []


class TestIsolation:
    def test_an_aggregation_that_cannot_be_listed_does_not_stop_the_others(self, harness: Harness) -> None:
        for aggregation in ("a", "broken", "c"):
            harness.ingest(aggregation, IN_INTAKE, f"of-{aggregation}")
        harness.ingestion.fails = lambda operation, name: name == "broken/"
        report = harness.run()
        assert harness.taken_in() == ["of-a", "of-c"]
        assert report.failure_count == 1
        assert report.failures[0].aggregation == "broken"
        assert report.figures["broken"].aggregation_tasks_failed == 1

    def test_without_the_peers_bucket_batches_are_still_taken_in(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "b")
        harness.peer.fails = lambda operation, name: True
        report = harness.run()
        assert harness.taken_in() == ["b"]
        assert harness.aggregated() == {}
        assert not report.succeeded

    def test_an_aggregation_is_left_alone_when_any_part_of_its_window_could_not_be_read(
        self, harness: Harness
    ) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "b")
        harness.ingest("agg", "2026/11/22/23/05", "c")
        harness.validate("agg", "2026/11/22/23/05", "c")
        pages = iter([["agg/2026/11/22/17/05/b.batch"], None])

        def broken_listing(*_: str) -> object:
            for page in pages:
                if page is None:
                    raise OSError("the line went dead")
                yield page

        harness.ingestion.list_keys = broken_listing  # type: ignore[method-assign,assignment] # breaks off
        report = harness.run()
        assert harness.aggregated() == {}
        assert not report.succeeded
        assert "the line went dead" in report.failures[0].message

    def test_without_markers_nothing_is_taken_in(self, harness: Harness) -> None:
        harness.ingest("agg", IN_INTAKE, "b")
        harness.own.fails = lambda operation, name: operation == "list"
        report = harness.run()
        assert harness.queue.published == {}
        assert not report.succeeded

    def test_a_bucket_that_cannot_be_listed_at_all_fails_the_run(self, harness: Harness) -> None:
        harness.ingestion.fails = lambda operation, name: True
        report = harness.run()
        assert not report.succeeded
        assert "memory://ingestion" in report.failures[0].message

    def test_the_last_line_says_what_failed_and_how_often(self, harness: Harness) -> None:
        for aggregation in ("broken", "markers", "tasks"):
            harness.ingest(aggregation, IN_INTAKE, f"of-{aggregation}")
        harness.ingest("agg", IN_INTAKE, "b")
        harness.ingestion.put("agg/2026/11/22/zz/x", b"")
        harness.ingestion.fails = lambda operation, name: name == "broken/"
        harness.own.fails = lambda operation, name: operation == "put" and "intake-markers" in name
        harness.queue.refuses_message = lambda message: b"of-tasks" in message.body
        report = harness.run()
        assert harness.taken_in() == ["b", "of-markers"]
        assert +Counter(report.failed) == {Kind.LISTING: 1, Kind.PUBLISH: 1, Kind.MARKER: 1}
        assert harness.events.seen[-1].severity is Severity.ERROR
        assert harness.events.seen[-1].message == (
            "scheduled 2 intake tasks and 0 aggregation tasks of 4 aggregations; 1 malformed object;"
            " 3 failures (1 listing, 1 publish, 1 marker)"
        )
        facts = harness.events.seen[-1].fields
        assert [facts[f"{kind}_failures"] for kind in ("listing", "publish", "marker")] == [1, 1, 1]

    def test_a_listing_out_of_order_is_refused_rather_than_believed(self, harness: Harness) -> None:
        harness.ingest("agg", IN_INTAKE, "b")
        page = [f"agg/{IN_INTAKE}/b.batch.sig", f"agg/{IN_INTAKE}/b.batch"]
        broken = harness.ingestion
        broken.list_keys = lambda *_: iter([page])  # type: ignore[method-assign] # a store that breaks its promise
        report = harness.run()
        assert "not in the order" in report.failures[0].message


class TestPublishing:
    def test_a_message_that_fails_does_not_fail_its_neighbours(self, harness: Harness) -> None:
        for batch in "bcd":
            harness.ingest("agg", IN_INTAKE, batch)
        harness.queue.refuses_message = lambda message: b'"c"' in message.body
        report = harness.run()
        assert harness.taken_in() == ["b", "d"]
        assert [marker[-1] for marker in harness.markers()] == ["b", "d"]
        assert report.figures["agg"].intake_tasks_failed == 1
        assert not report.succeeded
        harness.queue.refuses_message = lambda message: False
        assert harness.run().succeeded
        assert harness.taken_in() == ["b", "c", "d"]

    def test_what_a_full_queue_does_not_take_is_left_due_and_is_no_failure(self, harness: Harness) -> None:
        for batch in "bcdefghij":
            harness.ingest("agg", IN_INTAKE, batch)
        harness.queue.full_at = 2
        report = harness.run()
        assert report.succeeded
        assert report.queue_full == "it is full"
        assert report.figures["agg"].intake_tasks_scheduled == 2
        assert report.figures["agg"].intake_tasks_left == 7
        assert report.figures["agg"].intake_tasks_failed == 0
        assert len(harness.markers()) == 2
        (left,) = [event for event in harness.events.seen if event.name == "tasks.left"]
        assert left.message == "7 intake tasks left for the next run: it is full"
        harness.queue.full_at = None
        assert harness.run().succeeded
        assert harness.taken_in() == list("bcdefghij")

    @pytest.mark.parametrize(
        "error", [QueueError("publish to", "topic intake", "no such topic"), KeyError("bug")]
    )
    def test_a_queue_that_refuses_everything_is_given_up_and_nothing_is_marked(
        self, harness: Harness, error: Exception
    ) -> None:
        harness.queue.limits = small_limits(messages=1)  # type: ignore[misc] # a queue with smaller requests
        for number in range(500):
            harness.ingest("agg", IN_INTAKE, f"b{number}")
        harness.queue.refuses_request = lambda: error
        report = harness.run()
        assert len(harness.queue.requests) < 300
        assert harness.markers() == []
        assert "refused 5 requests in a row" in report.stopped
        figures = report.figures["agg"]
        assert figures.intake_tasks_failed == report.failure_count == len(harness.queue.requests)
        assert figures.intake_tasks_left == 500 - len(harness.queue.requests)
        assert len(harness.events.named("task.failed")) == len(harness.queue.requests)
        (left,) = harness.events.named("tasks.left")
        # Whether the aggregation, which has no batches, was looked at before the run stopped is open.
        assert left.message.startswith(f"{figures.intake_tasks_left} intake tasks")
        assert f"; {figures.intake_tasks_left} intake tasks" in harness.events.seen[-1].message

    def test_requests_are_as_large_as_the_queue_takes(self, harness: Harness) -> None:
        harness.queue.limits = small_limits(messages=2)  # type: ignore[misc] # as above
        for batch in "bcdef":
            harness.ingest("agg", IN_INTAKE, batch)
        harness.run()
        assert sorted(harness.queue.requests) == [1, 2, 2]

    def test_a_message_over_the_limit_is_found_before_it_is_sent(self, harness: Harness) -> None:
        harness.queue.limits = small_limits(message_bytes=500)  # type: ignore[misc] # as above
        for number in range(9):
            harness.ingest("agg", IN_BOTH, f"batch-{number}")
            harness.validate("agg", IN_BOTH, f"batch-{number}")
        report = harness.run()
        assert len(harness.taken_in()) == 9
        assert harness.aggregated() == {}
        assert report.figures["agg"].aggregation_tasks_failed == 1
        (event,) = harness.events.named("task.failed")
        assert "bytes, and the queue accepts at most 500" in event.message
        assert not any("aggregate" in marker for marker in harness.markers())


class TestMarking:
    def test_a_marker_write_is_tried_again(self, harness: Harness) -> None:
        harness.ingest("agg", IN_INTAKE, "b")
        failures = iter([True, True])
        harness.own.fails = lambda operation, name: operation == "put" and next(failures, False)
        assert harness.run().succeeded
        assert len(harness.markers()) == 1

    def test_publishing_stops_when_markers_cannot_be_written(self, harness: Harness) -> None:
        for number in range(2000):
            harness.ingest("agg", IN_INTAKE, f"b{number}")
        harness.own.fails = lambda operation, name: operation == "put"
        report = harness.run()
        assert "published tasks could not be written; the next run publishes them again" in report.stopped
        assert 10 <= len(harness.taken_in()) <= mark.FIRST_AHEAD
        assert not report.succeeded

    def test_publishing_stops_soon_when_markers_cannot_be_written_any_more(self, harness: Harness) -> None:
        for number in range(3000):
            harness.ingest("agg", IN_INTAKE, f"b{number}")
        written = itertools.count(1)
        harness.own.fails = lambda operation, name: operation == "put" and next(written) > 500
        report = harness.run()
        assert "could not be written" in report.stopped
        assert report.failed == {**dict.fromkeys(Kind, 0), Kind.MARKER: report.total().intake_tasks_failed}
        unmarked = len(harness.taken_in()) - len(harness.markers())
        assert 10 <= unmarked <= mark.most_ahead(Workers().marking)

    def test_a_few_markers_that_cannot_be_written_hold_nothing_up(self, harness: Harness) -> None:
        for number in range(1000):
            harness.ingest("agg", IN_INTAKE, f"b{number}")
        harness.own.fails = lambda operation, name: operation == "put" and name.endswith("-b7")
        report = harness.run()
        assert len(harness.taken_in()) == 1000
        assert report.failed[Kind.MARKER] == 1

    def test_no_marker_is_written_before_the_queue_has_acknowledged(self, harness: Harness) -> None:
        for batch in "bcd":
            harness.ingest("agg", IN_INTAKE, batch)
        marked_too_early: list[list[str]] = []
        harness.queue.before_publish = lambda: marked_too_early.append(harness.markers())
        harness.run()
        assert marked_too_early == [[]]


class TestStopping:
    def test_what_is_in_flight_is_marked_and_nothing_new_starts(self, harness: Harness) -> None:
        harness.queue.limits = small_limits(messages=1)  # type: ignore[misc] # as above
        for number in range(1000):
            harness.ingest("agg", IN_INTAKE, f"b{number}")
        scheduler = harness.scheduler()
        published = threading.Semaphore(0)

        def stop_at_the_tenth() -> None:
            published.release()
            if published._value == 10:
                scheduler.interrupt("SIGTERM received")

        harness.queue.before_publish = stop_at_the_tenth
        report = scheduler.run()
        assert report.stopped == "SIGTERM received"
        assert not report.succeeded
        assert len(harness.taken_in()) == len(harness.markers()) < 1000
        assert report.interrupted
        assert report.failure_count == 0
        assert report.total().intake_tasks_left == 1000 - len(harness.taken_in())
        assert not [event for event in harness.events.seen if event.severity is Severity.ERROR]
        assert harness.run().succeeded
        assert len(set(harness.taken_in())) == len(harness.taken_in()) == 1000

    def test_a_run_that_is_stopped_aggregates_nothing_it_has_not_seen_whole(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "b")
        scheduler = harness.scheduler()
        scheduler.interrupt("SIGTERM received")
        assert scheduler.run().stopped
        assert harness.queue.published == {}

    def test_an_aggregation_that_was_not_decided_is_left(self, harness: Harness) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        scheduler = harness.scheduler()
        listing = harness.ingestion.list_keys

        def stopped_meanwhile(prefix: str, after: str = "", before: str = "") -> Iterator[Sequence[str]]:
            scheduler.interrupt("SIGTERM received")
            return listing(prefix, after, before)

        harness.ingestion.list_keys = stopped_meanwhile  # type: ignore[method-assign] # at this very moment
        report = scheduler.run()
        assert report.figures["agg"].aggregation_tasks_left == 1
        assert report.figures["agg"].aggregation_tasks_failed == report.failure_count == 0

    def test_one_that_could_not_be_listed_has_failed_even_if_the_run_is_stopped(
        self, harness: Harness
    ) -> None:
        harness.ingest("agg", IN_BOTH, "b")
        scheduler = harness.scheduler()

        def stop_and_fail(operation: str, name: str) -> bool:
            if operation == "list":
                scheduler.interrupt("SIGTERM received")
            return operation == "list"

        harness.ingestion.fails = stop_and_fail
        report = scheduler.run()
        assert report.figures["agg"].aggregation_tasks_failed == report.failure_count == 1
        assert report.figures["agg"].aggregation_tasks_left == 0

    def test_taking_too_long_is_one_failure_and_what_it_left_is_none(self, harness: Harness) -> None:
        harness.queue.limits = small_limits(messages=1)  # type: ignore[misc] # as above
        for number in range(500):
            harness.ingest("agg", IN_INTAKE, f"b{number}")
        scheduler = harness.scheduler()
        harness.queue.before_publish = lambda: scheduler.time_out("--run-timeout of 25m is over")
        report = scheduler.run()
        assert report.failed == {**dict.fromkeys(Kind, 0), Kind.TIMEOUT: 1}
        assert not report.interrupted
        assert len(harness.taken_in()) + report.total().intake_tasks_left == 500
        assert harness.events.named("run.stopping")[0].severity is Severity.ERROR


class TestWrongNumberOfOutcomes:
    """A queue of someone else's that answers for more messages, or fewer, than it was given."""

    @pytest.mark.parametrize("workers", [1, 2, 7])
    @pytest.mark.parametrize("surplus", [-2, -1, 1, 2])
    @pytest.mark.parametrize("always", [True, False])
    def test_fails_the_request_and_the_run_ends(
        self, harness: Harness, workers: int, surplus: int, *, always: bool
    ) -> None:
        harness.queue.limits = small_limits(messages=3)  # type: ignore[misc] # as above
        for number in range(300):
            harness.ingest(f"agg-{number % 30}", IN_INTAKE, f"b{number:03}")
        real, calls = harness.queue.publish, itertools.count()

        def miscounting(topic: str, messages: Sequence[Message]) -> Sequence[QueueError | None]:
            outcomes = list(real(topic, messages))
            if not always and next(calls) % 2:
                return outcomes
            return outcomes[:surplus] if surplus < 0 else outcomes + [None] * surplus

        harness.queue.publish = miscounting  # type: ignore[method-assign] # breaks its promise
        report = harness.run(workers=Workers(publishing=workers))
        total = report.total()
        assert total.intake_tasks_scheduled == len(harness.markers())
        assert total.intake_tasks_failed == report.failed[Kind.PUBLISH] == report.failure_count > 0
        assert (
            total.intake_tasks_scheduled + total.intake_tasks_failed + total.intake_tasks_left
            == total.ingestions_found
        )
        assert "it is unknown which of them it accepted" in report.failures[0].message
        assert bool(report.stopped) == always
        assert always or total.ingestions_found == 300

    @pytest.mark.parametrize("outcomes", [None, 3])
    def test_what_is_no_list_of_outcomes_is_one_too(self, harness: Harness, outcomes: object) -> None:
        harness.ingest("agg", IN_INTAKE, "b")
        harness.queue.publish = lambda *_: outcomes  # type: ignore[method-assign,assignment] # as above
        report = harness.run()
        assert report.failed[Kind.PUBLISH] == 1
        assert harness.markers() == []


class TestFaultsOfOurOwn:
    """What nobody foresaw ends the run as a failure, and nothing waits for ever."""

    @pytest.mark.parametrize("broken", ["task.scheduled", "marker.failed"])
    @pytest.mark.parametrize("workers", [1, 7])
    def test_an_observer_that_raises(self, harness: Harness, broken: str, workers: int) -> None:
        harness.queue.limits = small_limits(messages=1)  # type: ignore[misc] # as above
        for number in range(300):
            harness.ingest(f"agg-{number % 30}", IN_INTAKE, f"b{number:03}")
        harness.own.fails = lambda operation, name: operation == "put" and broken == "marker.failed"
        notify = harness.events.notify

        def fragile(*events: Event) -> None:
            notify(*events)
            if any(event.name == broken for event in events):
                raise ValueError("an observer must not raise")

        harness.events.notify = fragile  # type: ignore[method-assign] # breaks its promise
        report = harness.run(workers=Workers(publishing=workers, marking=workers))
        assert report.failure_count
        assert len(harness.taken_in()) <= 3 * workers + mark.most_ahead(workers)
        assert harness.events.seen[-1].name == "run.finished"

    def test_one_that_raises_for_each_marker_for_which_there_is_room(self, harness: Harness) -> None:
        harness.queue.limits = small_limits(messages=1)  # type: ignore[misc] # as above
        for number in range(100):
            harness.ingest("agg", IN_INTAKE, f"b{number:03}")
        harness.own.fails = lambda operation, name: operation == "put"
        all_of_them = threading.Barrier(mark.FIRST_AHEAD)
        notify = harness.events.notify

        def fragile(*events: Event) -> None:
            notify(*events)
            if events[0].name == "marker.failed":
                all_of_them.wait(1)  # or as many as there are threads
                raise ValueError("an observer must not raise")

        harness.events.notify = fragile  # type: ignore[method-assign] # breaks its promise
        report = harness.run()
        assert len(harness.taken_in()) == mark.FIRST_AHEAD
        assert report.total().intake_tasks_left == 100 - mark.FIRST_AHEAD
        assert report.failed[Kind.MARKER]
