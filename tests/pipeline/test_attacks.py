"""Those who write into the ingestion and the peer's bucket may choose any names. What it gets them."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.harness import Harness
from workflow_manager.core.report import Figures
from workflow_manager.pipeline import splitting

IN_INTAKE = "2026/11/23/03/05"
HONEST = "honest"

fragments = st.sampled_from(
    [
        *("agg", HONEST, "/", "//", "..", ".", "2026/11/22/17/", "2026/11/23/03/05", "05/", "task-markers/"),
        *(".batch", ".sig", ".avro", ".validity_0.sig", "-2026-11-22-17-00-"),
        *("\n", "\x00", "\x1b[2J", "é", "💶", "%2F"),
    ]
)
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.lists(fragments, min_size=1, max_size=8).map("".join),
)


@given(st.lists(names, max_size=20), st.lists(names, max_size=20))
@settings(max_examples=150, deadline=None)
def test_whatever_they_are_called_honest_batches_are_scheduled_and_nothing_escapes(
    ingested: list[str], validated: list[str]
) -> None:
    harness = Harness()
    harness.ingest(HONEST, IN_INTAKE, "b")
    for name in ingested:
        harness.ingestion.put(name, b"")
    for name in validated:
        harness.peer.put(name, b"")
    report = harness.run()
    assert report.succeeded
    assert "b" in harness.taken_in()
    assert all(name.startswith("task-markers/") and name.count("/") == 1 for name in harness.own.names())
    assert len(harness.markers()) == sum(len(messages) for messages in harness.queue.published.values())
    assert harness.run().total().intake_tasks_scheduled == 0


def test_a_flood_of_malformed_names_is_counted_and_told_once() -> None:
    harness = Harness()
    harness.ingest(HONEST, IN_INTAKE, "b")
    for number in range(20_000):
        harness.ingestion._put(f"{HONEST}/2026/11/22/x{number:06}".encode(), b"", replace=True)
    tracemalloc.start()
    report = harness.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert harness.taken_in() == ["b"]
    assert report.figures[HONEST].malformed_objects_found == 20_000
    (event,) = harness.events.named("objects.malformed")
    assert len(event.message) < 1000
    assert peak < 5_000_000


def test_what_is_malformed_is_counted_once_where_a_range_is_read_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splitting, "SPLIT_AFTER", 2)
    monkeypatch.setattr(splitting, "WORTH_SPLITTING", 2)
    harness = Harness(page_size=2)
    for hour in ("17", "18", "20"):
        harness.ingest(HONEST, f"2026/11/22/{hour}/05", f"b{hour}")
        harness.validate(HONEST, f"2026/11/22/{hour}/05", f"b{hour}")
    for store in (harness.ingestion, harness.peer):
        for stray in ("17x", "18x", "19x", "21x"):
            store._put(f"{HONEST}/2026/11/22/{stray}".encode(), b"", replace=True)
    report = harness.run()
    assert harness.taken_in() == ["b17", "b18", "b20"]
    assert harness.aggregated() == {HONEST: ["b17", "b18", "b20"]}
    assert report.figures[HONEST].malformed_objects_found == 8


@pytest.mark.parametrize("length", [1_000, 100_000])
def test_a_long_name_is_cut_where_it_is_shown(length: int) -> None:
    harness = Harness()
    harness.ingestion.put(f"{HONEST}/{IN_INTAKE}/{'x' * length}/y", b"")
    harness.run()
    (event,) = harness.events.named("objects.malformed")
    assert len(event.message) < 500


def test_one_who_forges_anothers_marker_gains_nothing() -> None:
    harness = Harness()
    harness.ingest("x-2026-11-23-03-00", "2026/11/23/03/30", "b")
    harness.ingest("x", "2026/11/23/03/00", "2026-11-23-03-30-b")
    report = harness.run()
    assert harness.taken_in() == ["b"]
    assert report.figures["x"].malformed_objects_found == 3
    assert harness.markers() == ["task-markers/intake-x-2026-11-23-03-00-2026-11-23-03-30-b"]


def test_many_aggregations_do_not_keep_an_honest_one_from_its_turn() -> None:
    harness = Harness()
    harness.ingest(HONEST, IN_INTAKE, "b")
    for number in range(2_000):
        harness.ingestion._put(f"made-up-{number}/x".encode(), b"", replace=True)
    report = harness.run()
    assert harness.taken_in() == ["b"]
    assert report.figures["made-up-7"] == Figures()
