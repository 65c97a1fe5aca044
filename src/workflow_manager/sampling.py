"""Made-up buckets that look like a real deployment's, the same ones for the same seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from workflow_manager.core.names import INGESTION, Batch, object_key, path_time, suffixes, validity_infix
from workflow_manager.core.windows import HOUR, MINUTE, floor

_NAMES = ("kittens-seen", "puppies-heard", "walks-taken")
_MALFORMED = (
    "{hour}/README.txt",
    "{hour}/61/{id}.batch",
    "{hour}/05/{id}/part.batch",
    "not-a-date/{id}.batch",
)


class BucketRole(Enum):
    """Which of the three buckets an object belongs in."""

    INGESTION = "ingestion"
    OWN = "own validation"
    PEER = "peer validation"


class SampleObject(NamedTuple):
    """An object to write."""

    bucket: BucketRole
    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the buckets are to hold.

    Batches lie in the `hours` whole hours before `end` (UTC), `batches_per_hour` in each for
    each aggregation. The shares are of all batches, from 0 to 1: those that lack an object,
    those that the peer has not validated, and malformed names added on top.
    """

    end: datetime
    aggregations: int = 3
    hours: int = 24
    batches_per_hour: int = 5
    incomplete: float = 0.05
    missing_peer: float = 0.1
    malformed: float = 0.02
    seed: int = 1
    is_first: bool = False

    @property
    def batches(self) -> int:
        """How many batches there will be in all, the incomplete ones with them."""
        return self.aggregations * self.hours * self.batches_per_hour


def aggregation_names(count: int) -> list[str]:
    """The IDs of so many aggregations."""
    return [_NAMES[index] if index < len(_NAMES) else f"example-{index + 1:03}" for index in range(count)]


def make(recipe: Recipe) -> Iterator[SampleObject]:
    """The objects of all three buckets, one by one, in the order in which they would appear."""
    chance = random.Random(recipe.seed)  # noqa: S311 (made-up data, the same each time)
    first_hour = floor(recipe.end, HOUR) - recipe.hours * HOUR
    for number in range(recipe.hours):
        for aggregation in aggregation_names(recipe.aggregations):
            for _ in range(recipe.batches_per_hour):
                time = first_hour + number * HOUR + chance.randrange(60) * MINUTE
                batch = Batch(path_time(time), str(UUID(int=chance.getrandbits(128), version=4)))
                yield from _batch(recipe, chance, aggregation, batch)


def _batch(recipe: Recipe, chance: random.Random, aggregation: str, batch: Batch) -> Iterator[SampleObject]:
    complete = chance.random() >= recipe.incomplete
    validated_by_peer = chance.random() >= recipe.missing_peer
    spoiled = chance.random() < recipe.malformed
    left_out = chance.choice(list(suffixes(INGESTION)))
    pattern = chance.choice(_MALFORMED)
    for suffix in suffixes(INGESTION):
        if complete or suffix != left_out:
            yield _object(BucketRole.INGESTION, aggregation, batch, suffix)
    if complete:
        ours = 0 if recipe.is_first else 1
        validations = [(BucketRole.OWN, ours), *([(BucketRole.PEER, 1 - ours)] if validated_by_peer else [])]
        for bucket, index in validations:
            for suffix in suffixes(validity_infix(index)):
                yield _object(bucket, aggregation, batch, suffix)
    if spoiled:
        key = f"{aggregation}/{pattern.format(hour=batch.time[:13], id=batch.id)}"
        yield SampleObject(BucketRole.INGESTION, key, b"an object that nobody should have put here\n")


def _object(bucket: BucketRole, aggregation: str, batch: Batch, suffix: str) -> SampleObject:
    body = f"made-up content of {batch.id}{suffix}\n".encode()
    return SampleObject(bucket, object_key(aggregation, batch, suffix), body)
