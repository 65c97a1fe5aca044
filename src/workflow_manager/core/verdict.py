"""The states of batches and windows, and the reasons for them.

A survey collects the facts. The states match what a run at `Rules.now` does: it schedules what is
due here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from workflow_manager.core.names import Batch, BatchIds, path_time
from workflow_manager.core.windows import Window


class BatchState(StrEnum):
    """The intake state of a ready batch."""

    SCHEDULED = "scheduled"
    DUE = "due"
    TOO_OLD = "too old"
    TOO_EARLY = "too far in the future"


class WindowState(StrEnum):
    """The state of an aggregation window."""

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
    BatchState.TOO_OLD: "it has no marker and is older than the intake window, so runs no longer schedule it",
    BatchState.TOO_EARLY: "its time is more than a day in the future, so runs do not schedule it yet",
    WindowState.FILLING: "it has not ended yet",
    WindowState.IN_GRACE: "it has ended, but its grace period has not",
    WindowState.DUE: "it has ended and has no marker, so the next run schedules it",
    WindowState.SCHEDULED: "its marker exists",
    WindowState.MISSED: "it has ended and has no marker, and runs no longer check it",
    WindowState.WAITING: "the peer has not validated any of its batches",
    WindowState.EMPTY: "it has no ready batches",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run with the same flags uses at `now`: its two windows, grace period and batch ID format.

    With `allow_overlapping_windows` it schedules a window although it overlaps a scheduled one.
    """

    now: datetime
    intake: Window
    aggregation: Window
    grace: timedelta
    batch_ids: BatchIds = BatchIds.UUID
    allow_overlapping_windows: bool = False


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Batch counts of a window.

    `validated` counts the `ready` batches that the peer has validated; `left_out` counts the
    validated batches that the window's task did not name.
    """

    window: Window
    ready: int = 0
    incomplete: int = 0
    validated: int = 0
    marked: bool = False
    left_out: int = 0


def batch_state(batch: Batch, rules: Rules, *, marked: bool) -> BatchState:
    """The intake state of a ready batch."""
    if marked:
        return BatchState.SCHEDULED
    if batch.time < path_time(rules.intake.begin):
        return BatchState.TOO_OLD
    return BatchState.DUE if batch.time < path_time(rules.intake.end) else BatchState.TOO_EARLY


def window_state(facts: WindowFacts, rules: Rules) -> WindowState:
    """The state of a window."""
    window = facts.window
    next_run = window == rules.aggregation  # which has not ended only with --allow-unfinished-window
    if facts.marked:
        return WindowState.SCHEDULED
    if not next_run and rules.now < window.end:
        return WindowState.FILLING
    if not next_run and rules.now < window.end + rules.grace:
        return WindowState.IN_GRACE
    if not facts.ready:
        return WindowState.EMPTY
    if not facts.validated:
        return WindowState.WAITING
    return WindowState.DUE if next_run else WindowState.MISSED


def described(state: WindowState, left_out: int) -> str:
    """A window's state as text: `scheduled, 2 left out`."""
    return f"{state}, {left_out} left out" if state is WindowState.SCHEDULED and left_out else str(state)
