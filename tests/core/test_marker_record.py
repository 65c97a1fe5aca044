"""A marker's record: it comes back as it was written, and what it does not say is unknown."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from workflow_manager.core.marker_record import (
    LONGEST_RECORD,
    MarkerRecord,
    ScheduledAgain,
    Writer,
    parse_record,
    record_of,
    timestamp,
)
from workflow_manager.core.names import Batch, path_time
from workflow_manager.core.schema import MARKER
from workflow_manager.core.task_messages import AggregationTask, IntakeTask
from workflow_manager.core.windows import HOUR, Window

BEGIN = datetime(2026, 11, 22, 16, tzinfo=UTC)
WINDOW = Window(BEGIN, BEGIN + 8 * HOUR)
TRACE = "0b6f6e58-4f2e-4d1e-9f5c-6d0c7f9a2f11"
WRITER = Writer("pod-1", "1.2.3")
BATCHES = (
    Batch("2026/11/22/16/05", "one"),
    Batch("2026/11/22/16/05", "two"),
    Batch("2026/11/22/17/00", "ü"),
)
SCHEMA = Draft202012Validator(MARKER)

texts = st.text(st.characters(codec="utf-8"))
times = st.datetimes(timezones=st.just(UTC)).map(path_time)
json_values = st.recursive(
    st.none() | st.integers() | texts, lambda some: st.lists(some) | st.dictionaries(texts, some)
)
ANY_JSON = json_values.map(json.dumps).map(str.encode)
PARTS = ("trace-id", "time", "topic", "writer", "batches", "scheduled-again")
LIKE_A_RECORD = (
    st.fixed_dictionaries(
        {"version": st.just(1), "marker": st.just("m")}, optional=dict.fromkeys(PARTS, json_values)
    )
    .map(json.dumps)
    .map(str.encode)
)
entries = st.builds(ScheduledAgain, texts, texts, texts, texts)


def record(again: tuple[ScheduledAgain, ...] = ()) -> MarkerRecord:
    task = AggregationTask("agg", WINDOW, BATCHES)
    made = record_of(task, TRACE, "aggregate", "2026-11-23T04:20:00Z", WRITER)
    for entry in again:
        made = made.scheduled_again(entry, made.batches)
    return made


def test_it_is_one_line_of_json_that_keeps_its_schema() -> None:
    entry = ScheduledAgain("2026-11-24T00:00:00Z", TRACE, "pod-2", "the peer was down")
    for made in (record(), record((entry,))):
        line = made.render()
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert list(SCHEMA.iter_errors(json.loads(line))) == []
    intake = record_of(IntakeTask("agg", BATCHES[0]), TRACE, "intake", timestamp(BEGIN), WRITER)
    assert intake.batches is None
    assert list(SCHEMA.iter_errors(json.loads(intake.render()))) == []


def test_it_says_who_scheduled_what_when_and_where() -> None:
    assert json.loads(record().render()) == {
        "version": 1,
        "marker": "aggregate-agg-2026-11-22-16-00-2026-11-23-00-00",
        "trace-id": TRACE,
        "time": "2026-11-23T04:20:00Z",
        "topic": "aggregate",
        "writer": {"host": "pod-1", "version": "1.2.3"},
        "batches": {"2026/11/22/16/05": ["one", "two"], "2026/11/22/17/00": ["ü"]},
    }


@given(
    st.builds(
        MarkerRecord,
        texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | st.builds(Writer, texts, texts),
        st.none() | st.sets(st.builds(Batch, times, texts)).map(lambda found: tuple(sorted(found))),
        st.lists(entries).map(tuple),
    )
)
def test_what_is_rendered_is_parsed(made: MarkerRecord) -> None:
    assert parse_record(f"task-markers/{made.marker}", made.render()) == made


@given(st.binary() | ANY_JSON | LIKE_A_RECORD)
def test_any_other_content_says_nothing_wrong(content: bytes) -> None:
    parsed = parse_record("task-markers/m", content)
    assert parsed.marker == "m"
    assert parsed.left_out([]) == []


@pytest.mark.parametrize(
    "content",
    [
        b"aggregate-agg-2026-11-22-16-00-2026-11-23-00-00",
        b"",
        b"{",
        b"{" * 100_000,
        b'{"version":2,"marker":"aggregate-agg","batches":{}}',
        record().render()[:-20],
        record().render().replace(b'"aggregate-agg-', b'"aggregate-other-'),
        record().render().replace(b'["one","two"]', b'["one",2]'),
    ],
)
def test_batches_of_an_unknown_record_are_never_called_left_out(content: bytes) -> None:
    parsed = parse_record("task-markers/aggregate-agg-2026-11-22-16-00-2026-11-23-00-00", content)
    assert parsed.batches is None
    assert parsed.left_out(BATCHES) == []


def test_batches_that_it_does_not_name_were_left_out() -> None:
    late = Batch("2026/11/22/18/00", "late")
    assert record().left_out([*BATCHES, late]) == [late]


def test_a_record_of_50_000_batches_stays_far_below_what_is_read() -> None:
    many = tuple(
        Batch(f"2026/11/22/16/{number % 60:02}", f"b8a5579a-f984-460a-a42d-{number:012}")
        for number in range(50_000)
    )
    made = record_of(
        AggregationTask("agg", WINDOW, tuple(sorted(many))), TRACE, "t", timestamp(BEGIN), WRITER
    )
    body = made.render()
    assert len(body) < LONGEST_RECORD / 7
    assert parse_record(f"task-markers/{made.marker}", body) == made
