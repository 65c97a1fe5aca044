"""What a run tells of what it has read."""

from support.harness import Harness
from workflow_manager.core.report import Kind
from workflow_manager.observe.event import Severity

IN_BOTH = "2026/11/22/17/05"  # lies in the intake and in the aggregation window
IN_INTAKE = "2026/11/23/03/05"


class TestEachAggregation:
    def test_has_one_line_with_what_was_found_of_it(self) -> None:
        harness = Harness()
        for batch in ("b", "c", "d"):
            harness.ingest("agg", IN_BOTH, batch)
        harness.ingest("agg", IN_INTAKE, "e")
        harness.ingest("agg", IN_BOTH, "f", parts=[".sig"])
        harness.validate("agg", IN_BOTH, "b")
        harness.validate("agg", IN_BOTH, "not-ingested")
        harness.peer.put(f"agg/{IN_BOTH}/c.validity_0.avro", b"")
        harness.run()
        (event,) = harness.events.named("aggregation.read")
        assert event.severity is Severity.INFO
        assert event.fields == {
            "aggregation_id": "agg",
            "ingestions_found": 4,
            "incomplete_ingestions_found": 1,
            "aggregate_ingestions_found": 3,
            "aggregate_incomplete_ingestions_found": 1,
            "peer_validations_found": 2,
            "incomplete_peer_validations_found": 1,
            "aggregate_ingestions_missing_peer_validation": 2,
        }
        assert event.message.endswith("peer validations: 2 found, 1 incomplete, 2 missing")

    def test_is_told_of_at_debug_level_if_nothing_was_found(self) -> None:
        harness = Harness()
        harness.ingest("agg", "2020/01/01/00/00", "old")
        harness.run()
        (event,) = harness.events.named("aggregation.read")
        assert event.severity is Severity.DEBUG

    def test_has_none_if_it_could_not_be_read(self) -> None:
        harness = Harness()
        harness.ingest("agg", IN_BOTH, "b")
        harness.peer.fails = lambda operation, name: True
        harness.run()
        assert not harness.events.named("aggregation.read")


class TestIncompleteBatches:
    def test_are_named_with_what_they_have_if_that_is_wanted(self) -> None:
        harness = Harness()
        harness.spec = harness.spec._replace(names_incomplete=True)
        harness.ingest("agg", IN_BOTH, "b", parts=["", ".sig"])
        harness.ingest("agg", IN_INTAKE, "whole")
        harness.peer.put(f"agg/{IN_BOTH}/c.validity_0.avro", b"")
        harness.ingestion.put(f"agg/{IN_INTAKE}/d.txt", b"")
        harness.run()
        events = harness.events.named("batch.incomplete")
        assert {event.severity for event in events} == {Severity.DEBUG}
        first, second, third = (event.message for event in events)
        told = "batch 'b' of 'agg' at 2026/11/22/17/05 is incomplete in memory://ingestion:"
        assert first == f"{told} it has only its header and signature"
        assert second.endswith("is incomplete in memory://peer: it has only its packets")
        assert third.endswith("it has only an unknown object")
        assert events[0].fields == {
            "aggregation_id": "agg",
            "bucket": "memory://ingestion",
            "batch_id": "b",
            "date": IN_BOTH,
            "parts": ["header", "signature"],
        }

    def test_are_not_named_otherwise(self) -> None:
        harness = Harness()
        harness.ingest("agg", IN_BOTH, "b", parts=[""])
        harness.run()
        assert not harness.events.named("batch.incomplete")


class TestABucketWithoutAggregations:
    def test_is_a_warning_and_the_other_buckets_are_tried(self) -> None:
        harness = Harness()
        assert harness.run().succeeded
        (event,) = harness.events.named("aggregations.none")
        assert event.severity is Severity.WARNING
        assert "memory://ingestion" in event.message
        assert harness.own.calls == [("list", "task-markers/")]
        assert harness.peer.calls == [("list", "")]

    def test_that_cannot_be_listed_are_a_failure_of_the_run(self) -> None:
        harness = Harness()
        harness.own.fails = harness.peer.fails = lambda operation, name: True
        report = harness.run()
        assert report.failed[Kind.LISTING] == 2
        assert not report.succeeded

    def test_is_not_told_of_where_there_is_one(self) -> None:
        harness = Harness()
        harness.ingest("agg", IN_INTAKE, "b")
        harness.run()
        assert not harness.events.named("aggregations.none")

    def test_nor_where_the_ingestion_bucket_cannot_be_listed(self) -> None:
        harness = Harness()
        harness.ingestion.fails = lambda operation, name: True
        harness.run()
        assert not harness.events.named("aggregations.none")
        assert harness.own.calls == harness.peer.calls == []
