"""Those who write into the ingestion and the peer's bucket may choose any names. What it gets them."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scene import Scene
from workflow_manager.core.report import Figures
from workflow_manager.pipeline import hours

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
    scene = Scene()
    scene.ingest(HONEST, IN_INTAKE, "b")
    for name in ingested:
        scene.ingestion.put(name, b"")
    for name in validated:
        scene.peer.put(name, b"")
    report = scene.run()
    assert report.succeeded
    assert "b" in scene.taken_in()
    assert all(name.startswith("task-markers/") and name.count("/") == 1 for name in scene.own.names())
    assert len(scene.markers()) == sum(len(messages) for messages in scene.queue.published.values())
    assert scene.run().total().intake_tasks_scheduled == 0


def test_a_flood_of_malformed_names_is_counted_and_told_once() -> None:
    scene = Scene()
    scene.ingest(HONEST, IN_INTAKE, "b")
    for number in range(20_000):
        scene.ingestion._put(f"{HONEST}/2026/11/22/x{number:06}".encode(), b"", replace=True)
    tracemalloc.start()
    report = scene.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scene.taken_in() == ["b"]
    assert report.figures[HONEST].malformed_objects_found == 20_000
    (event,) = scene.events.named("objects.malformed")
    assert len(event.message) < 1000
    assert peak < 5_000_000


def test_what_is_malformed_is_counted_once_where_a_range_is_read_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hours, "SPLIT_AFTER", 2)
    monkeypatch.setattr(hours, "WORTH_SPLITTING", 2)
    scene = Scene(page_size=2)
    for hour in ("17", "18", "20"):
        scene.ingest(HONEST, f"2026/11/22/{hour}/05", f"b{hour}")
        scene.validate(HONEST, f"2026/11/22/{hour}/05", f"b{hour}")
    for store in (scene.ingestion, scene.peer):
        for stray in ("17x", "18x", "19x", "21x"):
            store._put(f"{HONEST}/2026/11/22/{stray}".encode(), b"", replace=True)
    report = scene.run()
    assert scene.taken_in() == ["b17", "b18", "b20"]
    assert scene.aggregated() == {HONEST: ["b17", "b18", "b20"]}
    assert report.figures[HONEST].malformed_objects_found == 8


@pytest.mark.parametrize("length", [1_000, 100_000])
def test_a_long_name_is_cut_where_it_is_shown(length: int) -> None:
    scene = Scene()
    scene.ingestion.put(f"{HONEST}/{IN_INTAKE}/{'x' * length}/y", b"")
    scene.run()
    (event,) = scene.events.named("objects.malformed")
    assert len(event.message) < 500


def test_one_who_forges_anothers_marker_gains_nothing() -> None:
    scene = Scene()
    scene.ingest("x-2026-11-23-03-00", "2026/11/23/03/30", "b")
    scene.ingest("x", "2026/11/23/03/00", "2026-11-23-03-30-b")
    report = scene.run()
    assert scene.taken_in() == ["b"]
    assert report.figures["x"].malformed_objects_found == 3
    assert scene.markers() == ["task-markers/intake-x-2026-11-23-03-00-2026-11-23-03-30-b"]


def test_many_aggregations_do_not_keep_an_honest_one_from_its_turn() -> None:
    scene = Scene()
    scene.ingest(HONEST, IN_INTAKE, "b")
    for number in range(2_000):
        scene.ingestion._put(f"made-up-{number}/x".encode(), b"", replace=True)
    report = scene.run()
    assert scene.taken_in() == ["b"]
    assert report.figures["made-up-7"] == Figures()
