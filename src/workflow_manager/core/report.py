"""What a run found and did, as figures: one set for each aggregation, and the failures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from workflow_manager.core.lease_names import LeaseHolder


@dataclass(slots=True)
class Figures:
    """The figures of one aggregation; each field is the metric `workflow_manager_{field}`."""

    ingestions_found: int = 0
    incomplete_ingestions_found: int = 0
    aggregate_ingestions_found: int = 0
    aggregate_incomplete_ingestions_found: int = 0
    peer_validations_found: int = 0
    incomplete_peer_validations_found: int = 0
    aggregate_ingestions_missing_peer_validation: int = 0
    malformed_objects_found: int = 0
    intake_tasks_scheduled: int = 0
    intake_tasks_skipped_due_to_marker: int = 0
    intake_tasks_failed: int = 0
    intake_tasks_left: int = 0
    aggregation_tasks_scheduled: int = 0
    aggregation_tasks_skipped_due_to_marker: int = 0
    aggregation_tasks_failed: int = 0
    aggregation_tasks_left: int = 0
    number_of_batches_in_aggregation: int = 0
    aggregate_batches_left_out: int = 0

    def add(self, other: "Figures") -> None:
        """Add the other's figures to these."""
        for name in FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


FIGURES = tuple(figure.name for figure in fields(Figures))
# What was found in the buckets, which is known when an aggregation has been read.
FOUND = FIGURES[: FIGURES.index("malformed_objects_found")]


class Kind(StrEnum):
    """What failed.

    A bucket could not be read, a task could not be published, a published one could not be marked, the
    lease could not be written or read, the run took longer than it may, or the window of an aggregation
    overlaps one that is marked.
    """

    LISTING = "listing"
    PUBLISH = "publish"
    MARKER = "marker"
    LEASE = "lease"
    TIMEOUT = "timeout"
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that this run could not do. `aggregation` is empty if it concerns the whole run."""

    aggregation: str
    message: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """The outcome of a run.

    `failures` holds the first of them for people to read, `failed` says how many of each
    kind there were. `stopped` is why the run ended before everything was looked at, if it did;
    `interrupted` says that it was told to, by a signal, and did not stop for a failure.
    `queue_full` is why the queue took no more tasks, if it did: they are left for the next run, which is no
    failure. `superseded_by` is who holds the lease, if that is another run: everything was left to it. Of
    very many aggregations, those of which all figures are 0 are not in `figures`; `unnamed` says how many.
    """

    dry_run: bool
    figures: dict[str, Figures] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    failed: Mapping[Kind, int] = field(default_factory=dict)
    stopped: str = ""
    runtime_seconds: float = 0.0
    interrupted: bool = False
    superseded_by: LeaseHolder | None = None
    unnamed: int = 0
    queue_full: str = ""

    @property
    def superseded(self) -> bool:
        """Whether everything was left to another run, which holds the lease."""
        return self.superseded_by is not None

    @property
    def aggregations(self) -> int:
        """How many aggregations there were, with those that have nothing to tell."""
        return len(self.figures.keys() - {""}) + self.unnamed

    @property
    def failure_count(self) -> int:
        """How many failures there were, of all kinds."""
        return sum(self.failed.values())

    @property
    def succeeded(self) -> bool:
        """Whether everything that was due has been published and marked, as far as the queue takes it."""
        return not self.failure_count and not self.stopped

    @property
    def left_to_another(self) -> bool:
        """Whether nothing was done because another run holds the lease, and nothing failed either."""
        return self.superseded and not self.failure_count

    def total(self) -> Figures:
        """The figures of all aggregations together."""
        total = Figures()
        for figures in self.figures.values():
            total.add(figures)
        return total
