"""What notifications have asked for and no pass has looked at yet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workflow_manager.notices import ANY_KEY

# Aggregations that are looked at one by one. Others name them, and may make up any number.
MOST_AGGREGATIONS = 50


class Held(Protocol):
    """A notice that is not acknowledged yet."""

    @property
    def settles(self) -> "Callable[[Sequence[Held], bool], None]":
        """What to call with all notices of one source whose pass is over; True if it succeeded."""
        ...


@dataclass(slots=True)
class Hints:
    """Which aggregations of an instance to look at, with the time of each one's newest upload (or 0).

    `everything` is set when they were too many.
    """

    aggregations: dict[str, float] = field(default_factory=dict)
    everything: bool = False
    held: list[Held] = field(default_factory=list)

    def add(self, aggregation: str, time: float, held: Held | None = None) -> None:
        """Something was uploaded to an aggregation (or ANY_KEY) at a `time`, in seconds since 1970."""
        if held is not None:
            self.held.append(held)
        if aggregation == ANY_KEY:
            self.everything = True
        elif aggregation in self.aggregations or len(self.aggregations) < MOST_AGGREGATIONS:
            self.aggregations[aggregation] = max(time, self.aggregations.get(aggregation, 0.0))
        else:
            self.everything = True

    def chosen(self) -> tuple[str, ...] | None:
        """The aggregations to look at; None for all."""
        return None if self.everything or not self.aggregations else tuple(sorted(self.aggregations))

    def returned(self, unlooked: "Hints") -> None:
        """Take back those that a pass has not looked at; what they came with is settled already."""
        self.everything = self.everything or unlooked.everything
        for aggregation, time in unlooked.aggregations.items():
            self.add(aggregation, time)


def settle(held: Iterable[Held], *, done: bool) -> None:
    """The pass that was to look at these is over; if it is not `done`, they shall come again."""
    together: dict[object, list[Held]] = {}
    for one in held:
        together.setdefault(one.settles, []).append(one)
    for same in together.values():
        same[0].settles(same, done)
