"""When the passes of an instance are due: spread over the interval, and sooner or later after a failure.

All times are in seconds on one clock that only goes forward.
"""

import math
import random
from dataclasses import dataclass
from enum import StrEnum

FIRST_RETRY = 10.0  # seconds after a pass that failed; doubled with each further one
RAMP = 0.2  # seconds between the first passes of two instances, if the interval is long enough
SUPERSEDED_RETRY = 15.0  # seconds after which it is tried again to take another process's lease
_JITTER = 0.2  # of the pause after a failure, so that many instances do not come back at once


class Outcome(StrEnum):
    """What became of a pass."""

    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(slots=True)
class Timing:
    """The times of one instance's passes: every `interval`, at its own `slot` in that."""

    interval: float
    slot: float
    due: float
    failures: int = 0

    def ended(self, begun: float, now: float, outcome: Outcome, *, whole: bool) -> None:
        """A pass, of all aggregations or of some, has ended; work out when the next whole one is due."""
        match outcome:
            case Outcome.FAILED:
                self.failures += 1
                self.due = now + self._pause()
            case Outcome.SUPERSEDED:
                self.due = min(self._following(begun, now), now + SUPERSEDED_RETRY)
            case Outcome.DONE:
                self.due = self._following(begun, now) if whole or self.failures else self.due
                self.failures = 0

    def _following(self, begun: float, now: float) -> float:
        """The next of this instance's slots that is not too soon after the last pass."""
        least = max(begun + self.interval / 2, now)
        return self.slot + math.ceil((least - self.slot) / self.interval) * self.interval

    def _pause(self) -> float:
        pause = min(self.interval, FIRST_RETRY * 2.0 ** min(self.failures - 1, 30))
        return pause * random.uniform(1 - _JITTER, 1)  # noqa: S311 (no secret)


def spread(intervals: list[float], now: float, phase: float) -> list[Timing]:
    """The times of several instances: first passes soon, later ones evenly over each one's interval.

    `phase`, from 0 to 1, moves the slots of one process against those of its replicas.
    """
    count = len(intervals)
    return [
        Timing(
            interval,
            slot=(place / count + phase) % 1.0 * interval,
            due=now + min(RAMP * place, interval * place / count),
        )
        for place, interval in enumerate(intervals)
    ]
