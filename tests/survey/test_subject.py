"""What someone asks about is understood from its name."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.core.names import Batch
from workflow_manager.survey.subject import (
    BatchIdSubject,
    BatchSubject,
    WindowSubject,
    parse_subject,
)

ID = "b8a5579a-f984-460a-a42d-2813cbf57771"
BATCH = BatchSubject("agg-2026", Batch("2026/11/22/17/05", ID))
BEGIN, END = datetime(2026, 11, 22, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "words",
    [
        [f"agg-2026/2026/11/22/17/05/{ID}"],
        [f"agg-2026/2026/11/22/17/05/{ID}.batch"],
        [f"agg-2026/2026/11/22/17/05/{ID}.batch.avro"],
        [f"agg-2026/2026/11/22/17/05/{ID}.validity_0.sig"],
        [f"agg-2026/2026/11/22/17/05/{ID}.validity_1"],
        [f"task-markers/intake-agg-2026-2026-11-22-17-05-{ID}"],
        [f"intake-agg-2026-2026-11-22-17-05-{ID}"],
    ],
)
def test_a_batch(words: list[str]) -> None:
    assert parse_subject(words) == BATCH


@pytest.mark.parametrize(
    "begin",
    ["2026-11-22T16:00Z", "2026-11-22T16:00:00Z", "202611221600", "2026/11/22/16/00", "2026-11-22-16-00"],
)
def test_a_window(begin: str) -> None:
    assert parse_subject(["agg", begin]) == WindowSubject("agg", BEGIN)


def test_a_window_by_its_marker() -> None:
    marker = "task-markers/aggregate-agg-x-2026-11-22-16-00-2026-11-23-00-00"
    assert parse_subject([marker]) == WindowSubject("agg-x", BEGIN, END)


def test_a_batch_id() -> None:
    assert parse_subject([ID]) == BatchIdSubject(ID)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [""],
        ["a", "b", "c"],
        ["agg", "noon"],
        ["intake-x"],
        ["agg", "2026-13-01T00:00Z"],
        ["intake-x-2026-13-01-00-00-b"],
    ],
)
def test_what_names_nothing_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"name an object|is not|does not match"):
        parse_subject(words)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("agg/nowhere", "no date and hour"),
        (f"agg/2026/11/22/17/61/{ID}", "'61' is not a minute"),
        ("agg/2026/11/22/17/05/a/b", "slash"),
    ],
)
def test_a_malformed_name_says_why(name: str, problem: str) -> None:
    subject = parse_subject([name])
    assert isinstance(subject, BatchSubject)
    assert problem in subject.problem


@given(st.lists(st.text(), max_size=3))
def test_any_words_are_answered(words: list[str]) -> None:
    with suppress(ValueError):
        parse_subject(words)
