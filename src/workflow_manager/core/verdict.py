"""What became of a batch and of a window, and why: the one place that says so.

A survey finds the facts. The verdict on them is what a run at `Rules.now` does: what is due
here is what the run schedules.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from workflow_manager.core.names import Batch, BatchIds, path_time
from workflow_manager.core.windows import Window


class BatchState(StrEnum):
    """What became of the intake of a ready batch."""

    SCHEDULED = "scheduled"
    DUE = "due"
    TOO_OLD = "too old"
    TOO_EARLY = "too far in the future"


class WindowState(StrEnum):
    """What became of an aggregation window."""

    FILLING = "filling"
    IN_GRACE = "in grace"
    DUE = "due"
    SCHEDULED = "scheduled"
    MISSED = "missed"
    WAITING = "waiting for the peer"
    EMPTY = "empty"


REASONS = {
    BatchState.SCHEDULED: "its intake marker exists",
    BatchState.DUE: "it is ready and has no marker, so the next run schedules its intake",
    BatchState.TOO_OLD: "it has no marker and lies before the intake window, so no run takes it in",
    BatchState.TOO_EARLY: "its time is more than a day ahead, so no run takes it in yet",
    WindowState.FILLING: "it has not ended yet",
    WindowState.IN_GRACE: "it has ended, and its grace period has not",
    WindowState.DUE: "it is over and has no marker, so the next run schedules it",
    WindowState.SCHEDULED: "its marker exists",
    WindowState.MISSED: "it is over and has no marker, but no run looks at it any more",
    WindowState.WAITING: "the peer has validated none of its batches",
    WindowState.EMPTY: "it has no ready batch",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run with the same flags does at `now`: its two windows, the grace it gives, the IDs it takes."""

    now: datetime
    intake: Window
    aggregation: Window
    grace: timedelta
    batch_ids: BatchIds = BatchIds.UUID


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What there is of a window, in batches.

    `validated` are those of the `ready` ones that the peer has validated; `left_out` are
    those of them that the window's task did not name.
    """

    window: Window
    ready: int = 0
    incomplete: int = 0
    validated: int = 0
    marked: bool = False
    left_out: int = 0


def batch_state(batch: Batch, rules: Rules, *, marked: bool) -> BatchState:
    """What became of a ready batch."""
    if marked:
        return BatchState.SCHEDULED
    if batch.time < path_time(rules.intake.begin):
        return BatchState.TOO_OLD
    return BatchState.DUE if batch.time < path_time(rules.intake.end) else BatchState.TOO_EARLY


def window_state(facts: WindowFacts, rules: Rules) -> WindowState:
    """What became of a window."""
    window = facts.window
    if facts.marked:
        return WindowState.SCHEDULED
    if rules.now < window.end:
        return WindowState.FILLING
    if window != rules.aggregation and rules.now < window.end + rules.grace:
        return WindowState.IN_GRACE
    if not facts.ready:
        return WindowState.EMPTY
    if not facts.validated:
        return WindowState.WAITING
    return WindowState.DUE if window == rules.aggregation else WindowState.MISSED


def described(state: WindowState, left_out: int) -> str:
    """A window's state for a person: `scheduled, 2 left out`."""
    return f"{state}, {left_out} left out" if state is WindowState.SCHEDULED and left_out else str(state)
