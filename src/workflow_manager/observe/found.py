"""Events of reading: what is found in the buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from workflow_manager.core.batches import Malformed
from workflow_manager.core.names import Batch
from workflow_manager.core.report import FOUND, Figures
from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.wording import as_fields, counted, only, parts_of, quote


@dataclass(slots=True)
class AggregationsFound(Event):
    """The aggregations in the ingestion bucket were listed."""

    name: ClassVar[str] = "aggregations.found"
    count: int

    @property
    def message(self) -> str:
        return f"found {counted(self.count, 'aggregation')}"


@dataclass(slots=True)
class ObjectsMalformed(Event):
    """Objects with malformed names were skipped; the first ones are listed."""

    name: ClassVar[str] = "objects.malformed"
    usual: ClassVar[Severity] = Severity.WARNING
    aggregation: str
    buckets: Mapping[str, int]
    examples: tuple[Malformed, ...]

    @property
    def message(self) -> str:
        first = self.examples[0]
        such = f"{quote(first.key)}: {first.problem}"
        places = " and ".join(
            f"{counted(count, 'malformed name')} in {bucket}" for bucket, count in self.buckets.items()
        )
        return f"skipped {places}, such as {such}"

    @property
    def fields(self) -> Mapping[str, object]:
        return {
            **as_fields("aggregation", self.aggregation),
            "count": sum(self.buckets.values()),
            "buckets": dict(self.buckets),
            **as_fields("examples", self.examples),
        }


@dataclass(slots=True)
class AggregationsNone(Event):
    """The ingestion bucket contains no aggregation; it may be the wrong one. The others are tried as well."""

    name: ClassVar[str] = "aggregations.none"
    usual: ClassVar[Severity] = Severity.WARNING
    bucket: str

    @property
    def message(self) -> str:
        return (
            f"found no aggregation in {self.bucket}, so there is nothing to schedule;"
            " if there should be one, check --ingestor-input and the endpoint"
        )


@dataclass(slots=True)
class BatchIncomplete(Event):
    """A batch, or a peer's validation of one, lacks an object; the existing ones are listed."""

    name: ClassVar[str] = "batch.incomplete"
    usual: ClassVar[Severity] = Severity.DEBUG
    aggregation: str
    bucket: str
    batch: Batch
    parts: int

    @property
    def message(self) -> str:
        return (
            f"batch {quote(self.batch.id)} of {quote(self.aggregation)} at {self.batch.time} is incomplete"
            f" in {self.bucket}: it has {only(self.parts)}"
        )

    @property
    def fields(self) -> Mapping[str, object]:
        return {
            "aggregation_id": self.aggregation,
            "bucket": self.bucket,
            "batch_id": self.batch.id,
            "date": self.batch.time,
            "parts": parts_of(self.parts),
        }


@dataclass(slots=True)
class AggregationRead(Event):
    """The counts of one aggregation in all three buckets. DEBUG if nothing was found."""

    name: ClassVar[str] = "aggregation.read"
    aggregation: str
    figures: Figures

    @property
    def severity(self) -> Severity:
        """Others name the aggregations: those without a batch are not worth a line each."""
        return Severity.INFO if any(self._found().values()) else Severity.DEBUG

    @property
    def message(self) -> str:
        of = self.figures
        return (
            f"read {quote(self.aggregation)}: {of.ingestions_found} ready and"
            f" {of.incomplete_ingestions_found} incomplete batches in the intake window;"
            f" {of.aggregate_ingestions_found} ready and"
            f" {of.aggregate_incomplete_ingestions_found} incomplete in the aggregation window;"
            f" peer validations: {of.peer_validations_found} found,"
            f" {of.incomplete_peer_validations_found} incomplete,"
            f" {of.aggregate_ingestions_missing_peer_validation} missing"
        )

    @property
    def fields(self) -> Mapping[str, object]:
        return {"aggregation_id": self.aggregation, **self._found()}

    def _found(self) -> Mapping[str, int]:
        return {name: getattr(self.figures, name) for name in FOUND}
