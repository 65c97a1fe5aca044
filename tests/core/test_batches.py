"""Which batches of an hour are ready, incomplete or malformed."""

from datetime import UTC, datetime
from itertools import chain
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.core.batches import HourOfBatches, HourOfNames, Malformed
from workflow_manager.core.name_ends import fold_parts, tail_batch, tail_problem
from workflow_manager.core.names import (
    INGESTION,
    INGESTION_OBJECTS,
    Batch,
    BatchIds,
    BatchObjects,
    Part,
    validation_objects,
    validity_infix,
)
from workflow_manager.core.windows import Window

HOUR = "2026/11/22/17/"


def found(
    *names: str, infix: str = INGESTION, enough: int = Part.ALL, ids: BatchIds = BatchIds.ANY
) -> HourOfBatches:
    hour = HourOfNames("agg/", HOUR, BatchObjects(infix, enough), ids)
    for name in names:
        hour.add([f"agg/{HOUR}{name}"])
    return hour.batches()


def test_a_batch_is_ready_when_all_three_objects_exist() -> None:
    hour = found("05/a.batch", "05/a.batch.avro", "05/a.batch.sig")
    assert hour.ready == [Batch("2026/11/22/17/05", "a")]
    assert not hour.incomplete


def test_a_batch_with_any_object_missing_is_incomplete() -> None:
    objects = ["05/a.batch", "05/a.batch.avro", "05/a.batch.sig"]
    for missing in objects:
        hour = found(*(name for name in objects if name != missing))
        assert not hour.ready
        parts = {".batch": Part.HEADER, ".batch.avro": Part.PACKETS, ".batch.sig": Part.SIGNATURE}
        missing_part = parts[missing.removeprefix("05/a")]
        assert hour.incomplete == {Batch("2026/11/22/17/05", "a"): Part.ALL - missing_part}


def test_the_signature_alone_makes_a_validation_ready() -> None:
    infix = validity_infix(0)
    assert found("05/a.validity_0.sig", infix=infix, enough=Part.SIGNATURE).ready
    without = found("05/a.validity_0", "05/a.validity_0.avro", infix=infix, enough=Part.SIGNATURE)
    assert not without.ready
    assert len(without.incomplete) == 1


def test_each_object_of_another_kind_counts_as_an_incomplete_batch_as_in_the_go_program() -> None:
    hour = found("05/a.validity_1", "05/a.validity_1.avro", "05/a.validity_1.sig", infix=validity_infix(0))
    assert len(hour.incomplete) == 3


def test_malformed_names_are_counted_by_object_and_spoil_nothing() -> None:
    hour = found(
        "05/a.batch", "05/a.batch.avro", "05/a.batch.sig", "99/a.batch", "99/a.batch.sig", "05/.batch"
    )
    assert hour.ready == [Batch("2026/11/22/17/05", "a")]
    assert [malformed.key for malformed in hour.malformed] == [
        f"agg/{HOUR}05/.batch",
        f"agg/{HOUR}99/a.batch",
        f"agg/{HOUR}99/a.batch.sig",
    ]


def test_ready_batches_are_in_order_of_time_then_id() -> None:
    names = [
        f"{minute}/{batch}.batch{end}"
        for minute in ("30", "05")
        for batch in "ba"
        for end in ("", ".avro", ".sig")
    ]
    assert [(batch.time[-2:], batch.id) for batch in found(*names).ready] == [
        ("05", "a"),
        ("05", "b"),
        ("30", "a"),
        ("30", "b"),
    ]


def test_within_keeps_the_batches_of_a_half_open_window() -> None:
    hour = found(
        *(f"{minute}/a.batch{end}" for minute in ("04", "05", "06") for end in ("", ".avro", ".sig")),
        "05/b.batch",
    )
    window = Window(datetime(2026, 11, 22, 17, 5, tzinfo=UTC), datetime(2026, 11, 22, 17, 6, tzinfo=UTC))
    assert hour.within(window).ready == [Batch("2026/11/22/17/05", "a")]
    assert hour.within(window).incomplete == {Batch("2026/11/22/17/05", "b"): Part.HEADER}


@given(st.lists(st.text(max_size=12)))
def test_every_object_is_accounted_for(tails: list[str]) -> None:
    hour = found(*tails)
    malformed = {malformed.key for malformed in hour.malformed}
    for tail in tails:
        batch_ids = {batch.id for batch in (*hour.ready, *hour.incomplete)}
        assert f"agg/{HOUR}{tail}" in malformed or any(
            tail[3:] in (batch_id, f"{batch_id}.batch", f"{batch_id}.batch.avro", f"{batch_id}.batch.sig")
            for batch_id in batch_ids
        )


def test_a_name_that_is_both_a_stray_object_and_the_stem_of_others_is_told_apart() -> None:
    uuid = "9d0a4a36-4b6c-4e0c-9d5a-2b1f0c3d4e5f"
    hour = found(f"05/{uuid}.x", f"05/{uuid}.x.batch", f"05/{uuid}.x.batch.sig", ids=BatchIds.UUID)
    assert hour.incomplete == {Batch("2026/11/22/17/05", f"{uuid}.x"): Part.OTHER}
    assert [malformed.key for malformed in hour.malformed] == [
        f"agg/{HOUR}05/{uuid}.x.batch",
        f"agg/{HOUR}05/{uuid}.x.batch.sig",
    ]


def test_by_default_a_batch_whose_id_is_no_uuid_is_malformed() -> None:
    hour = found("05/a.batch", "05/a.batch.avro", "05/a.batch.sig", ids=BatchIds.UUID)
    assert not hour.ready
    assert {malformed.problem for malformed in hour.malformed} == {"the batch ID is not a UUID"}
    assert len(hour.malformed) == 3


UUIDS = [str(UUID(int=number)) for number in range(3)]
ENDINGS = ["", ".avro", ".sig"]
ANY_TAIL = st.builds(
    "{}/{}{}".format,
    st.sampled_from(["05", "59", "60", "x05", "05\n05", f"agg/{HOUR}05"]),
    st.sampled_from([*UUIDS, UUIDS[0].upper(), "a", f"{UUIDS[1]}.x", f"{UUIDS[0]}\n05/{UUIDS[1]}"]),
    st.builds(
        "{}{}".format,
        st.sampled_from(["", ".batch", ".validity_0", ".validity_1"]),
        st.sampled_from([*ENDINGS, ".sig\n", ".more"]),
    ),
)
WHOLE = st.builds(
    lambda uuid, infix: [f"05/{uuid}.{infix}{ending}" for ending in ENDINGS],
    st.sampled_from(UUIDS),
    st.sampled_from([INGESTION, validity_infix(0)]),
)


def by_each_name(tails: list[str], objects: BatchObjects, ids: BatchIds) -> HourOfBatches:
    """What the rules say of each name by itself, put together."""
    parts: dict[str, int] = {}
    malformed = []
    for tail in tails:
        here: dict[str, int] = {}
        fold_parts([tail], f".{objects.infix}", here)
        ((stem, part),) = here.items()
        if problem := tail_problem(stem, part, ids):
            malformed.append(Malformed(f"agg/{HOUR}{tail}", problem))
        else:
            parts[stem] = parts.get(stem, 0) | part
    enough = objects.enough
    named = {tail_batch(HOUR, stem): there for stem, there in sorted(parts.items())}
    ready = [batch for batch, there in named.items() if there & enough == enough]
    return HourOfBatches(
        ready,
        {batch: there for batch, there in named.items() if there & enough != enough},
        sorted(set(malformed)),
        ready_are_usual=all(len(batch.id) == 36 for batch in ready),
    )


@given(
    st.lists(ANY_TAIL),
    st.lists(WHOLE),
    st.sampled_from([INGESTION_OBJECTS, validation_objects(validity_infix(0))]),
    st.sampled_from(BatchIds),
    st.integers(min_value=1, max_value=12),
)
def test_pages_of_names_tell_what_each_name_tells(
    some: list[str], whole: list[list[str]], objects: BatchObjects, ids: BatchIds, page: int
) -> None:
    tails = sorted({*some, *chain.from_iterable(whole)})
    hour = HourOfNames("agg/", HOUR, objects, ids)
    for at in range(0, len(tails), page):
        hour.add([f"agg/{HOUR}{tail}" for tail in tails[at : at + page]])
    assert hour.batches() == by_each_name(tails, objects, ids)


def test_an_object_that_is_listed_twice_is_one() -> None:
    signature = f"05/{UUIDS[0]}.validity_0.sig"
    twice = HourOfNames("agg/", HOUR, validation_objects(validity_infix(0)), BatchIds.UUID)
    twice.add([f"agg/{HOUR}{signature}"] * 2)
    assert twice.batches().ready == [Batch("2026/11/22/17/05", UUIDS[0])]
