"""Those who write into the ingestion and the peer's bucket may choose any names. What it gets them."""

import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.harness import Harness
from workflow_manager.core.report import Figures
from workflow_manager.observe.event import Event
from workflow_manager.pipeline import scheduler, splitting

IN_INTAKE = "2026/11/23/03/05"
HONEST = "honest"


class Tally:
    """Counts events, and forgets them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def notify(self, *events: Event) -> None:
        self.counts.update(event.name for event in events)


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
    assert report.aggregations == 2_001
    assert len(report.figures) == 1_000
    assert report.figures[HONEST].intake_tasks_scheduled == 1
    assert report.figures["made-up-0"] == Figures()


def test_no_more_aggregations_are_looked_up_than_can_be_read_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits to be read takes memory, and others name the aggregations."""
    monkeypatch.setattr(scheduler, "MOST_OPEN", 5)
    harness = Harness()
    found, held, released = [], threading.Event(), threading.Event()

    def pages(_prefix: str) -> Iterator[Sequence[str]]:
        for number in range(100):
            found.append(number)
            if number == 5:  # five are open, and this one has to wait
                held.set()
            yield [f"made-up-{number}"]

    def reading(_operation: str, _name: str) -> bool:
        released.wait(60)
        return False

    harness.ingestion.list_directories = pages  # type: ignore[method-assign,assignment]
    harness.ingestion.fails = reading
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(harness.run)
        assert held.wait(60)
        time.sleep(0.2)  # in which all would be found, were there no bound
        assert len(found) == 6
        released.set()
        assert run.result().aggregations == 100


def test_ten_thousand_incomplete_batches_are_named_one_by_one() -> None:
    harness = Harness()
    harness.spec = harness.spec._replace(names_incomplete=True)
    for number in range(10_000):
        harness.ingest(HONEST, IN_INTAKE, f"b{number:05}", parts=["", ".sig"])
    harness.events = named = Tally()  # type: ignore[assignment] # it would remember each event
    tracemalloc.start()
    harness.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert named.counts["batch.incomplete"] == 10_000
    assert peak < 10_000_000
