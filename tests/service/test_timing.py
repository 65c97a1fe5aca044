"""When passes are due."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_manager.service.timing import FIRST_RETRY, SUPERSEDED_RETRY, Outcome, Timing, spread

INTERVAL = 300.0
MOMENTS = st.floats(0, 1e6)


def timing(due: float = 0.0) -> Timing:
    return Timing(INTERVAL, slot=70.0, due=due)


def test_first_passes_come_soon_and_not_all_at_once() -> None:
    timings = spread([INTERVAL] * 100, now=1000.0, phase=0.5)
    dues = [one.due for one in timings]
    assert dues == sorted(set(dues))
    assert dues[0] == 1000.0
    assert dues[-1] == pytest.approx(1019.8)


def test_slots_are_spread_over_the_whole_interval() -> None:
    slots = sorted(one.slot for one in spread([INTERVAL] * 10, now=0.0, phase=0.77))
    assert [later - earlier for earlier, later in itertools.pairwise(slots)] == pytest.approx([30.0] * 9)


@settings(deadline=None)
@given(MOMENTS, st.floats(0, 3000), st.booleans())
def test_the_next_pass_is_in_the_slot_after_the_end(begun: float, lasted: float, whole: bool) -> None:  # noqa: FBT001
    one = timing(due=begun)
    one.ended(begun, begun + lasted, Outcome.DONE, whole=True)
    assert one.due >= begun + lasted
    assert one.due <= begun + max(lasted, INTERVAL / 2) + INTERVAL + 1e-6
    assert (one.due - 70.0) % INTERVAL == pytest.approx(0.0, abs=1e-3) or (one.due - 70.0) % INTERVAL > 299.99
    before = one.due
    one.ended(begun, begun + lasted, Outcome.DONE, whole=False)
    assert one.due == before, "one that only followed hints changes nothing"


def test_passes_at_their_slot_are_an_interval_apart() -> None:
    one = timing()
    one.ended(70.0, 71.0, Outcome.DONE, whole=True)
    assert one.due == 370.0
    one.ended(370.0, 371.0, Outcome.DONE, whole=True)
    assert one.due == 670.0


def test_a_pass_that_fails_is_retried_later_and_later_up_to_the_interval() -> None:
    one = timing()
    pauses = []
    for _ in range(40):
        one.ended(0.0, 0.0, Outcome.FAILED, whole=False)
        pauses.append(one.due)
    for number, pause in enumerate(pauses):
        whole = min(INTERVAL, FIRST_RETRY * 2**number)
        assert 0.8 * whole <= pause <= whole
    one.ended(0.0, 0.0, Outcome.DONE, whole=True)
    assert (one.failures, one.due) == (0, 370.0)


def test_another_processs_instance_is_tried_again_soon() -> None:
    one = timing()
    one.ended(0.0, 1.0, Outcome.SUPERSEDED, whole=True)
    assert one.due == 1.0 + SUPERSEDED_RETRY
    assert one.failures == 0
