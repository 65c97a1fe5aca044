"""Names: what is formatted can be parsed again, and no two tasks share a marker."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workflow_manager.core.names import (
    INGESTION,
    Batch,
    Part,
    aggregate_marker,
    aggregation_problem,
    batch_range,
    hour_of,
    intake_marker,
    marker_range,
    object_key,
    parse_key,
    path_time,
    suffixes,
    validity_infix,
)
from workflow_manager.core.windows import MINUTE, Window

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
components = text.filter(lambda name: "/" not in name)
looks_like_a_marker = st.from_regex(r"[a-z]{0,2}-?2026-11-22-1[0-9]-00-[a-z]{0,2}", fullmatch=True)
names = st.one_of(components, st.uuids().map(str), looks_like_a_marker)
times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 (made aware at once)
    lambda time: time.replace(tzinfo=UTC, second=0, microsecond=0)
)
infixes = st.sampled_from([INGESTION, validity_infix(0), validity_infix(1)])


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    return Batch(path_time(draw(times)), draw(names))


@given(names, batches(), infixes, st.sampled_from([Part.HEADER, Part.PACKETS, Part.SIGNATURE]))
def test_names_round_trip(aggregation: str, batch: Batch, infix: str, part: int) -> None:
    suffix = next(ending for ending, stands_for in suffixes(infix).items() if stands_for is part)
    parsed = parse_key(object_key(aggregation, batch, suffix), aggregation, infix)
    # A batch ID with a marker's time inside is refused; every other comes back as it went.
    assert parsed is None or parsed == (batch, part)
    if "-" not in batch.id:
        assert parsed == (batch, part)


@given(st.text(), st.text(), infixes)
def test_any_text_is_either_a_batch_or_malformed(key: str, aggregation: str, infix: str) -> None:
    parsed = parse_key(key, aggregation, infix)
    if parsed is not None:
        batch, part = parsed
        endings = {**{stands_for: ending for ending, stands_for in suffixes(infix).items()}, Part.OTHER: ""}
        assert object_key(aggregation, batch, endings[part]) == key


@given(names, batches(), names, batches())
def test_different_batches_have_different_markers(
    aggregation: str, batch: Batch, other_aggregation: str, other: Batch
) -> None:
    assume((aggregation, batch) != (other_aggregation, other))
    for agg, one in ((aggregation, batch), (other_aggregation, other)):
        assume(parse_key(object_key(agg, one, ".batch"), agg, INGESTION) is not None)
    assert intake_marker(aggregation, batch) != intake_marker(other_aggregation, other)


def test_a_batch_whose_marker_could_be_anothers_is_malformed() -> None:
    honest = Batch("2026/11/22/18/00", "b")
    forged = Batch("2026/11/22/17/00", "2026-11-22-18-00-b")
    assert intake_marker("x-2026-11-22-17-00", honest) == intake_marker("x", forged)
    assert parse_key("x-2026-11-22-17-00/2026/11/22/18/00/b.batch", "x-2026-11-22-17-00", INGESTION)
    assert parse_key("x/2026/11/22/17/00/2026-11-22-18-00-b.batch", "x", INGESTION) is None


@given(names, batches())
def test_a_marker_never_leaves_its_directory(aggregation: str, batch: Batch) -> None:
    marker = intake_marker(aggregation, batch)
    directory, _, name = marker.partition("/")
    assert directory == "task-markers"
    assert "/" not in name
    assert name not in ("", ".", "..")


@given(names, times, names, times)
def test_ranges_hold_just_the_batches_of_their_window(
    aggregation: str, time: datetime, batch_id: str, begin: datetime
) -> None:
    assume(begin.year < 9999)
    window = Window(begin, begin + 90 * MINUTE)
    batch = Batch(path_time(time), batch_id)
    keys = batch_range(aggregation, window)
    key = object_key(aggregation, batch, ".batch")
    assert key.startswith(keys.prefix)
    assert (keys.after < key < keys.before) == (time in window)
    markers = marker_range(aggregation, window)
    marker = intake_marker(aggregation, batch)
    assert (markers.after < marker < markers.before) == (time in window)


@pytest.mark.parametrize(
    "key",
    [
        "agg",
        "agg/",
        "agg/garbage",
        "agg/2026/11/22/17/00",
        "agg/2026/11/22/17/00/",
        "agg/2026/11/22/17/00/.batch",
        "agg/2026/11/22/17/00/a/b.batch",
        "agg/2026/11/22/17/0/a.batch",
        "agg/2026/11/22/17/60/a.batch",
        "agg/2026/11/22/24/00/a.batch",
        "agg/2026/02/30/17/00/a.batch",
        "agg/2026/13/22/17/00/a.batch",
        "agg/0000/11/22/17/00/a.batch",
        "agg/2026/11/22/17//a.batch",
        "agg//2026/11/22/17/00/a.batch",
        "agg/2026/11/22/\u0660\u0667/00/a.batch",
        "agg/2026/11/22/17/00/\udcff.batch",
        "other/2026/11/22/17/00/a.batch",
        "agg-2026/11/22/17/00/a.batch",
        "\n",
        "",
    ],
)
def test_malformed(key: str) -> None:
    assert parse_key(key, "agg", INGESTION) is None


@pytest.mark.parametrize(
    ("name", "batch_id", "part"),
    [
        ("b0.batch", "b0", Part.HEADER),
        ("b0.batch.avro", "b0", Part.PACKETS),
        ("b0.batch.sig", "b0", Part.SIGNATURE),
        ("b0.batch.batch.sig", "b0.batch", Part.SIGNATURE),
        ("not-a-uuid.0.x.batch", "not-a-uuid.0.x", Part.HEADER),
        ("b0.validity_0.sig", "b0.validity_0.sig", Part.OTHER),
        ("b0.batch.sig.bak", "b0.batch.sig.bak", Part.OTHER),
        ("a b%20+\n\u2028.batch", "a b%20+\n\u2028", Part.HEADER),
    ],
)
def test_parts_of_an_ingestion(name: str, batch_id: str, part: int) -> None:
    parsed = parse_key(f"agg/2026/11/22/17/00/{name}", "agg", INGESTION)
    assert parsed == (Batch("2026/11/22/17/00", batch_id), part)


def test_markers_are_those_of_the_go_program() -> None:
    window = Window(datetime(2026, 11, 22, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    assert aggregate_marker("a b", window) == "task-markers/aggregate-a b-2026-11-22-16-00-2026-11-23-00-00"
    assert (
        intake_marker("com.x", Batch("2020/10/31/20/29", "b8a5"))
        == "task-markers/intake-com.x-2020-10-31-20-29-b8a5"
    )


def test_an_aggregation_needs_a_name_that_is_text() -> None:
    assert aggregation_problem("über 2026") is None
    assert aggregation_problem("") is not None
    assert aggregation_problem("\udcff") is not None


def test_an_hour_is_found_only_behind_its_prefix() -> None:
    assert hour_of("agg/2026/11/22/17/00/a.batch", "agg/") == "2026/11/22/17/"
    assert hour_of("agg/2026/11/22/17", "agg/") is None
    assert hour_of("other/2026/11/22/17/00/a.batch", "agg/") is None
