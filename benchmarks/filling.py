"""What the buckets of a scenario hold, from a description short enough to send in a request."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workflow_manager.core.names import (
    INGESTION,
    Batch,
    aggregate_marker,
    intake_marker,
    object_key,
    path_time,
    suffixes,
    validity_infix,
)
from workflow_manager.core.windows import HOUR, MINUTE, Window, aggregation_window

INGESTION_BUCKET, OWN_BUCKET, PEER_BUCKET = "benchmark-ingestion", "benchmark-own", "benchmark-peer"
BUCKETS = (INGESTION_BUCKET, OWN_BUCKET, PEER_BUCKET)
# A run is made as of this time, with these windows. Its intake window is then 48 whole hours.
NOW = datetime(2026, 11, 23, tzinfo=UTC)
MAX_AGE = 24 * HOUR
PERIOD = 8 * HOUR
GRACE = HOUR


@dataclass(frozen=True, slots=True)
class Filling:
    """Batches in the `hours` whole hours before NOW, as many in each hour of each aggregation.

    All are complete and validated by the peer. `marked` is the share of batches, from 0 to
    1, whose intake is marked as scheduled; `aggregated` says if the aggregation is.
    """

    aggregations: int
    hours: int
    batches_per_hour: int
    marked: float
    aggregated: bool

    @property
    def batches(self) -> int:
        """How many batches there are in all."""
        return self.aggregations * self.hours * self.batches_per_hour

    @property
    def new(self) -> int:
        """How many batches are not marked."""
        return self.batches - round(self.batches * self.marked)


def due() -> Window:
    """The window that is to be aggregated at NOW."""
    return aggregation_window(NOW - GRACE - PERIOD, PERIOD)


def objects(filling: Filling) -> Iterator[tuple[str, str]]:
    """The bucket and the key of each object, the same ones each time."""
    chance = random.Random(1)  # made-up data
    whole = 0.0
    for number in range(filling.aggregations):
        aggregation = f"aggregation-{number:03}"
        if filling.aggregated:
            yield OWN_BUCKET, aggregate_marker(aggregation, due())
        for time in _times(filling, chance):
            batch = Batch(path_time(time), _identifier(chance))
            for suffix in suffixes(INGESTION):
                yield INGESTION_BUCKET, object_key(aggregation, batch, suffix)
            for suffix in suffixes(validity_infix(0)):
                yield PEER_BUCKET, object_key(aggregation, batch, suffix)
            whole += filling.marked
            if whole >= 1:
                whole -= 1
                yield OWN_BUCKET, intake_marker(aggregation, batch)


def _times(filling: Filling, chance: random.Random) -> Iterator[datetime]:
    for hours in range(filling.hours, 0, -1):
        minutes: list[timedelta] = [chance.randrange(60) * MINUTE for _ in range(filling.batches_per_hour)]
        for minute in sorted(minutes):
            yield NOW - hours * HOUR + minute


def _identifier(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
