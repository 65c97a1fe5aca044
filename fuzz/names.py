"""Coverage-guided fuzzing of everything that reads names which others have written.

`make fuzz` runs it for an hour. The flags are libFuzzer's, which `-help=1` lists. With the name of a
file it runs that one input, and shows the listings if it breaks an invariant.

An input is a list of entries, separated by 0xFE 0xFE, which no UTF-8 has. An entry's first byte says
into which bucket it goes and as what, its second what it begins with, and the rest is taken as it is.
"""

import sys
from pathlib import Path

import atheris

sys.path.append(str(Path(__file__).parent.parent / "tests"))
with atheris.instrument_imports(include=["workflow_manager"]):
    from support.hostile import Listings, batch_objects, check, understood
    from workflow_manager.core.batches import HourOfNames
    from workflow_manager.core.name_ends import parse_key
    from workflow_manager.core.names import (
        INGESTION_OBJECTS,
        PART_ENDINGS,
        BatchIds,
        aggregation_problem,
        hour_of,
        object_key,
    )

SEPARATOR = b"\xfe\xfe"
BEGINNINGS = (
    b"",
    b"agg/2026/11/22/17/00/",
    b"agg/2026/11/22/",
    b"agg/",
    b"agg/2026/11/23/03/",
    b"agg/2026/11/22/17/00/9d0a4a36-4b6c-4e0c-9d5a-2b1f0c3d4e5f",
    b"agg/2026/11/22/17/00/9D0A4A36-4B6C-4E0C-9D5A-2B1F0C3D4E5",
    b"x-2026-11-22-17-00/2026/11/22/18/00/",
    b"x/2026/11/22/17/00/2026-11-22-18-00-",
    b"task-markers/intake-agg-2026-11-22-17-00-",
    b"task-markers/aggregate-",
)
PAGES = (1, 2, 3, 1000)
MOST_NAMES = 60  # of one input: it is variety that finds something, not length
ENDING = {part: ending for ending, part in PART_ENDINGS.items()}


def listings(data: bytes) -> Listings:
    """The listings that an input stands for."""
    ingestion, own, peer = buckets = [], [], []  # type: tuple[list[bytes], list[bytes], list[bytes]]
    how = data[0] if data else 0
    for entry in data[1:].split(SEPARATOR)[:MOST_NAMES]:
        if len(entry) < 2:
            continue
        name = BEGINNINGS[entry[1] % len(BEGINNINGS)] + entry[2:]
        match entry[0] % 6:
            case 3:
                ingestion += batch_objects(name)
            case 4:
                ingestion += batch_objects(name)
                peer.append(name + b".validity_0.sig")
            case 5:
                ingestion += batch_objects(name)
                own.append(b"task-markers/intake-" + name.replace(b"/", b"-"))
            case bucket:
                if name:
                    buckets[bucket].append(name)
    page, splits = PAGES[how % len(PAGES)], how % 8 >= len(PAGES)
    return Listings(frozenset(ingestion), frozenset(own), frozenset(peer), page, splits, how % 16 >= 8)


def check_parser(key: bytes, batch_ids: BatchIds) -> None:
    """Whether a name is read as it is read by others, and can be made again from what was read."""
    text = key.decode("utf-8", "surrogateescape")
    aggregation = text.partition("/")[0]
    expected = understood(key, "batch", uuids=batch_ids is BatchIds.UUID)
    parsed = None if aggregation_problem(aggregation) else parse_key(text, aggregation, "batch", batch_ids)
    assert (parsed is None) == (expected is None), key
    if parsed is not None and expected is not None:
        batch, part = parsed
        assert (batch.time, batch.id) == (expected.time, expected.batch), key
        ending = ENDING.get(part)
        assert ending == expected.ending, key
        assert object_key(aggregation, batch, "" if ending is None else f".batch{ending}") == text


def check_folding(given: Listings, batch_ids: BatchIds) -> None:
    """Whether each name of an hour ends up in just one of ready, incomplete and malformed."""
    hour, prefix = "2026/11/22/17/", "agg/"
    keys = [key.decode("utf-8", "surrogateescape") for key in given.ingestion]
    inside = [key for key in keys if hour_of(key, prefix) == hour]
    names = HourOfNames(prefix, hour, INGESTION_OBJECTS, batch_ids)
    for key in inside:
        names.add([key])
    found = names.batches()
    malformed = [each.key for each in found.malformed]
    assert len(malformed) == len(set(malformed))
    assert set(malformed) == {key for key in inside if parse_key(key, "agg", "batch", batch_ids) is None}
    batches = [*found.ready, *found.incomplete]
    assert len(batches) == len(set(batches))
    assert set(batches) == {read[0] for key in inside if (read := parse_key(key, "agg", "batch", batch_ids))}


def one_input(data: bytes) -> None:
    """Check all three over one input."""
    given = listings(data)
    try:
        batch_ids = BatchIds.UUID if given.uuids else BatchIds.ANY
        for key in given.ingestion:
            check_parser(key, batch_ids)
        check_folding(given, batch_ids)
        check(given)
    except BaseException:
        print(given, file=sys.stderr)
        raise


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
