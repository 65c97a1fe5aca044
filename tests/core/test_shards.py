"""Shards never do the same work, and all together do all of it."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_manager.core.shards import Shard, owner

NAMES = st.lists(st.text(max_size=30), unique=True, max_size=10)
COUNTS = st.integers(1, 60)
# No test here is about time, and the machine may be busy.
UNHURRIED = settings(deadline=None)


@UNHURRIED
@given(NAMES, COUNTS)
def test_every_name_has_exactly_one_owner(names: list[str], count: int) -> None:
    for name in names:
        assert [shard for shard in range(count) if Shard(shard, count).owns(name)] == [owner(name, count)]


@UNHURRIED
@given(NAMES, COUNTS)
def test_one_shard_more_takes_names_only_for_itself(names: list[str], count: int) -> None:
    for name in names:
        before, after = owner(name, count), owner(name, count + 1)
        assert after in (before, count)


def test_shards_have_about_the_same_share_and_one_more_moves_about_its_own() -> None:
    names = [f"locality-{number}" for number in range(4000)]
    before = {name: owner(name, 7) for name in names}
    share = len(names) / 7
    assert all(0.8 * share < count < 1.2 * share for count in Counter(before.values()).values())
    moved = sum(owner(name, 8) != before[name] for name in names)
    assert 0.8 * len(names) / 8 < moved < 1.2 * len(names) / 8


def test_the_owner_does_not_change_between_releases() -> None:
    assert [owner(name, 5) for name in ("na-ingestor-1", "kittens-seen", "", "\udcff")] == [4, 1, 0, 1]
