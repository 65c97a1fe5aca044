"""Buckets full of other people's names: near misses, control characters, huge ones, valid ones spoilt.

What must come of each is worked out independently in `support.hostile`, and compared in full.
"""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.hostile import Listings, aggregation_marker, batch_objects, check

AGGREGATIONS = [
    "agg",
    "agg\ufffe",
    "agg-2026",
    "x-2026-11-22-17-00",
    "ü💶",
    "a\nb",
    "\x1b[2J",
    "..",
    "task-markers ",
]
TIMES = ["2026/11/22/04/20", "2026/11/22/17/00", "2026/11/22/23/59", "2026/11/23/00/00", "2026/11/23/03/05"]
OUTSIDE = ["2026/11/22/04/19", "2026/11/24/04/20", "2025/11/22/17/00", "9999/12/31/23/59"]
SPOILT = ["2026/11/22/24/00", "2026/02/30/17/00", "2026/11/22/17/60", "2026/11/22/17/0", "0000/11/22/17/00"]
UUIDS = ["9d0a4a36-4b6c-4e0c-9d5a-2b1f0c3d4e5f", "9D0A4A36-4B6C-4E0C-9D5A-2B1F0C3D4E5F"]
NEARLY = ["{9d0a4a36-4b6c-4e0c-9d5a-2b1f0c3d4e5f}", "9d0a4a364b6c4e0c9d5a2b1f0c3d4e5f", f"{UUIDS[0]}.x"]
ODD = ["b\ufffe", "\uffff", "b\U0010ffff", "b\ufdd0", "b\x7f", "b\x85"]
IDS = [
    *UUIDS * 3,
    *NEARLY,
    *ODD,
    "b",
    "b0-b0",
    "2026-11-22-17-00-b",
    "b.batch",
    ".batch",
    "b\u2028c",
    "b\r\nERROR",
    "-",
    " ",
    "%2F",
]
ENDINGS = [".batch", ".batch.avro", ".batch.sig", ".validity_0.sig", ".validity_0", ".validity_1.sig", ""]

anything = st.text(min_size=1, max_size=30).map(lambda name: name.encode("utf-8", "surrogatepass"))
not_text = st.binary(min_size=1, max_size=30)
huge = st.builds(
    lambda name, times: name * times, st.sampled_from([b"x", b"/", b"-2026"]), st.integers(200, 5000)
)
batches = st.builds(
    lambda *parts: "/".join(parts).encode(),
    st.sampled_from(AGGREGATIONS),
    st.sampled_from(TIMES * 3 + OUTSIDE + SPOILT),
    st.sampled_from(IDS) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
objects = st.builds(lambda batch, ending: batch + ending.encode(), batches, st.sampled_from(ENDINGS))

EXAMPLES = int(os.environ.get("WORKFLOW_MANAGER_EXAMPLES", "100"))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A name that was right, until something was put in, taken out or changed in one place."""
    name: bytes = draw(objects)
    at = draw(st.integers(0, len(name)))
    put_in: bytes = draw(
        st.sampled_from([b"", b"/", b"//", b"\n", b"\0", b"-", b".", b"0", "\u0660".encode(), b"\xff"])
    )
    return name[:at] + put_in + name[at + draw(st.integers(0, 2)) :]


lists = st.lists(st.one_of(anything, not_text, huge, objects, spoilt()), max_size=8)
markers = st.builds(
    lambda batch, before: before + batch.replace(b"/", b"-"),
    batches,
    st.sampled_from([b"task-markers/intake-", b"task-markers/intake", b"intake-"]),
)


@st.composite
def listings(draw: st.DrawFn) -> Listings:
    """Whole batches and their validations, among names of all kinds."""
    ingestion, peer, own = draw(lists), draw(lists), draw(lists | st.lists(markers, max_size=5))
    for batch in draw(st.lists(batches, max_size=6)):
        ingestion.extend(batch_objects(batch))
        if draw(st.booleans()):
            peer.append(batch + b".validity_0.sig")
        if draw(st.integers(0, 3)) == 0:
            own.append(b"task-markers/intake-" + batch.replace(b"/", b"-"))
    own.extend(
        aggregation_marker(name).encode()
        for name in draw(st.lists(st.sampled_from(AGGREGATIONS), max_size=1))
    )
    page, splits = draw(st.sampled_from([1, 2, 3, 1000])), draw(st.booleans())
    uuids = draw(st.booleans())
    return Listings(frozenset(ingestion), frozenset(own), frozenset(peer), page, splits, uuids)


@given(listings())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_just_what_is_well_formed_is_scheduled_and_all_else_is_counted(given: Listings) -> None:
    check(given)
