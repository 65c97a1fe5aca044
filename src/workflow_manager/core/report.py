"""What a run found and did, as figures: one set for each aggregation, and the failures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import NamedTuple

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


class StageName(StrEnum):
    """The stages of a run that wait for other services: list and decide, publish, mark."""

    LIST = "list"
    PUBLISH = "publish"
    MARK = "mark"


class BatchTimes(NamedTuple):
    """Batch times of one aggregation in the intake window (`YYYY/MM/DD/HH/MM`, UTC), or empty.

    `newest` is that of the newest ready batch, `oldest_unscheduled` of the oldest one whose intake is due
    but failed, was not marked, or is left for the next run.
    """

    newest: str = ""
    oldest_unscheduled: str = ""


class Transfers(NamedTuple):
    """Requests to a bucket. `retries` counts those that repeat a failed one; bytes are of bodies."""

    requests: int = 0
    retries: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def minus(self, earlier: "Transfers") -> "Transfers":
        """What was added since."""
        return Transfers(
            self.requests - earlier.requests,
            self.retries - earlier.retries,
            self.sent_bytes - earlier.sent_bytes,
            self.received_bytes - earlier.received_bytes,
        )


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


class Failure(NamedTuple):
    """Something that this run could not do. `aggregation` is empty if it concerns the whole run."""

    aggregation: str
    message: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """The outcome of a run.

    `failures` contains the first failures, for people to read; `failed` counts all of them by kind.
    `stopped` is the reason why the run ended early, if it did; `interrupted` says that this was a signal
    and not a failure. `superseded_by` is the holder of the lease if another run holds it: this run then
    schedules nothing. `queue_full` is why the queue took no more tasks, if it did: the next run takes those,
    and it is no failure. Of very many aggregations, those whose figures are all 0 are not in `figures`;
    `unnamed` is their number. `batch_times` are by aggregation. `stage_seconds` is the time from the start of
    a stage's first call to the end of its last. `transfers` are by bucket (`ingestion`, `own`, `peer`) and
    operation.
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
    batch_times: Mapping[str, BatchTimes] = field(default_factory=dict)
    stage_seconds: Mapping[StageName, float] = field(default_factory=dict)
    transfers: Mapping[str, Mapping[str, Transfers]] = field(default_factory=dict)
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
