"""Names: what is formatted can be parsed again, and no two tasks share a marker."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workflow_manager.core.name_ends import parse_key
from workflow_manager.core.names import (
    INGESTION,
    Batch,
    BatchIds,
    Part,
    aggregate_marker,
    aggregation_problem,
    batch_range,
    hour_of,
    intake_marker,
    marker_range,
    object_key,
    overlapping_range,
    parse_aggregate_marker,
    path_time,
    suffixes,
    validity_infix,
)
from workflow_manager.core.windows import EPOCH, MINUTE, Window

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
    parsed = parse_key(object_key(aggregation, batch, suffix), aggregation, infix, BatchIds.ANY)
    # A batch ID with a marker's time inside is refused; every other comes back as it went.
    assert parsed is None or parsed == (batch, part)
    if "-" not in batch.id and batch.id.isprintable():
        assert parsed == (batch, part)


@given(st.text(), st.text(), infixes)
def test_any_text_is_either_a_batch_or_malformed(key: str, aggregation: str, infix: str) -> None:
    parsed = parse_key(key, aggregation, infix, BatchIds.ANY)
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
        assume(parse_key(object_key(agg, one, ".batch"), agg, INGESTION, BatchIds.ANY) is not None)
    assert intake_marker(aggregation, batch) != intake_marker(other_aggregation, other)


def test_a_batch_whose_marker_could_be_anothers_is_malformed() -> None:
    honest = Batch("2026/11/22/18/00", "b")
    forged = Batch("2026/11/22/17/00", "2026-11-22-18-00-b")
    assert intake_marker("x-2026-11-22-17-00", honest) == intake_marker("x", forged)
    assert parse_key(
        "x-2026-11-22-17-00/2026/11/22/18/00/b.batch", "x-2026-11-22-17-00", INGESTION, BatchIds.ANY
    )
    assert parse_key("x/2026/11/22/17/00/2026-11-22-18-00-b.batch", "x", INGESTION, BatchIds.ANY) is None


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
    assert parse_key(key, "agg", INGESTION, BatchIds.ANY) is None


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
        ("a b%20+\u2028.batch", "a b%20+\u2028", Part.HEADER),
    ],
)
def test_parts_of_an_ingestion(name: str, batch_id: str, part: int) -> None:
    parsed = parse_key(f"agg/2026/11/22/17/00/{name}", "agg", INGESTION, BatchIds.ANY)
    assert parsed == (Batch("2026/11/22/17/00", batch_id), part)


UUID = "9d0a4a36-4b6c-4e0c-9d5a-2b1f0c3d4e5f"


@pytest.mark.parametrize("batch", [UUID, UUID.upper(), "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("batch_ids", BatchIds)
def test_a_uuid_in_its_canonical_form_is_a_batch_id(batch: str, batch_ids: BatchIds) -> None:
    parsed = parse_key(f"agg/2026/11/22/17/00/{batch}.batch.sig", "agg", INGESTION, batch_ids)
    assert parsed == (Batch("2026/11/22/17/00", batch), Part.SIGNATURE)


@pytest.mark.parametrize(
    "batch",
    [
        "b",
        UUID[:-1],
        UUID + "0",
        UUID.replace("-", ""),
        UUID.replace("-", "_"),
        UUID.replace("a", "g"),
        f"{{{UUID}}}",
        f"urn:uuid:{UUID}",
        f" {UUID}",
        f"{UUID}\n",
        f"{UUID}.x",
        UUID.replace("0", "\u0660"),
    ],
)
def test_other_ids_are_malformed(batch: str) -> None:
    for ending in (".batch", ".batch.avro", ".batch.sig"):
        key = f"agg/2026/11/22/17/00/{batch}{ending}"
        assert parse_key(key, "agg", INGESTION, BatchIds.UUID) is None
        unfit = not batch.isprintable()
        assert (parse_key(key, "agg", INGESTION, BatchIds.ANY) is None) == unfit


@pytest.mark.parametrize(
    "char", ["\0", "\n", "\x1f", "\x7f", "\x85", "\ufffe", "\uffff", "\ufdd0", "\U0010fffe"]
)
@pytest.mark.parametrize("batch_ids", BatchIds)
def test_names_with_characters_that_queues_refuse_are_malformed(char: str, batch_ids: BatchIds) -> None:
    for name in (f"b{char}.batch", f"{UUID}{char}.batch", f"{UUID}.{char}"):
        assert parse_key(f"agg/2026/11/22/17/00/{name}", "agg", INGESTION, batch_ids) is None
    assert aggregation_problem(f"agg{char}") is not None


def test_an_object_that_is_none_of_the_three_counts_as_a_batch_as_in_the_go_program() -> None:
    key = f"agg/2026/11/22/17/00/{UUID}.validity_1.sig"
    batch = Batch("2026/11/22/17/00", f"{UUID}.validity_1.sig")
    assert parse_key(key, "agg", validity_infix(0), BatchIds.UUID) == (batch, Part.OTHER)
    assert parse_key("agg/2026/11/22/17/00/README.txt", "agg", INGESTION, BatchIds.UUID) is None


@given(names, times, st.integers(1, 31 * 24 * 60))
def test_a_windows_marker_says_which_window_it_is(aggregation: str, begin: datetime, minutes: int) -> None:
    assume(begin.year < 9999)
    window = Window(begin, begin + minutes * MINUTE)
    key = aggregate_marker(aggregation, window)
    assert parse_aggregate_marker(key, aggregation) == window
    assert parse_aggregate_marker(f"{key}-b", aggregation) is None
    assert parse_aggregate_marker(key[:-1], aggregation) is None


@given(names, names, times)
def test_a_marker_is_one_aggregations_only(aggregation: str, other: str, begin: datetime) -> None:
    assume(begin.year < 9999)
    assume(aggregation != other)
    key = aggregate_marker(aggregation, Window(begin, begin + MINUTE))
    assert parse_aggregate_marker(key, other) is None


@pytest.mark.parametrize(
    "key",
    [
        "task-markers/aggregate-x-2026-11-22-16-00-2026-11-22-16-00-2026-11-23-00-00",  # that of x-2026-…
        "task-markers/aggregate-x-y-2026-11-22-16-00-2026-11-23-00-00",
        "task-markers/aggregate-x-2026-13-22-16-00-2026-11-23-00-00",
        "task-markers/aggregate-x-2026-11-22-24-00-2026-11-23-00-00",
        "task-markers/aggregate-x-2026-11-22-16-60-2026-11-23-00-00",
        "task-markers/aggregate-x-2026-11-23-00-00-2026-11-22-16-00",
        "task-markers/aggregate-x-0000-11-22-16-00-2026-11-23-00-00",
        "task-markers/aggregate-x-2026-11-22-16-00-2026-11-23-00-00\n",
        "task-markers/aggregate-x-2026-11-22-16-00-2026-11-23-00-0\u0660",
        "task-markers/intake-x-2026-11-22-16-00-2026-11-23-00-00",
        "",
    ],
)
def test_what_is_no_windows_marker(key: str) -> None:
    assert parse_aggregate_marker(key, "x") is None


@given(names, times, times, st.integers(1, 31 * 24 * 60), st.integers(1, 600))
def test_the_marker_of_each_window_that_overlaps_lies_in_the_range(
    aggregation: str, begin: datetime, other: datetime, length: int, minutes: int
) -> None:
    assume(max(begin, other).year < 9999)
    window = Window(begin, begin + minutes * MINUTE)
    for start in (other, begin - min(begin - EPOCH, (length - 1) * MINUTE), begin + (minutes - 1) * MINUTE):
        marked = Window(start, start + length * MINUTE)
        keys = overlapping_range(aggregation, window)
        key = aggregate_marker(aggregation, marked)
        assert key.startswith(keys.prefix)
        if marked.overlap(window):
            assert keys.after < key < keys.before


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
