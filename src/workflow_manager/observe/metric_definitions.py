"""The metrics of `run`, `serve` and `status`: names, help texts and labels, each defined once."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from workflow_manager.core.report import FIGURES

PREFIX = "workflow_manager_"
AGGREGATION = "aggregation_id"


class MetricType(StrEnum):
    """The types of metrics that Prometheus knows and we use."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """The commands that deliver metrics."""

    RUN = "run"
    SERVE = "serve"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. The name of a counter is without `_total`, which its samples have."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    sources: frozenset[Source] = frozenset({Source.RUN, Source.SERVE})
    type: MetricType = MetricType.GAUGE

    @property
    def exposed_name(self) -> str:
        """The name as queries have it; those of a histogram also have a suffix."""
        return f"{self.name}_total" if self.type is MetricType.COUNTER else self.name


def _by_aggregation(name: str, about: str) -> Definition:
    return Definition(PREFIX + name, about, (AGGREGATION,))


def _of(source: Source, name: str, about: str, *labels: str) -> Definition:
    return Definition(PREFIX + name, about, labels, frozenset({source}))


def _counter(name: str, about: str, *labels: str) -> Definition:
    return Definition(PREFIX + name, about, labels, frozenset({Source.SERVE}), MetricType.COUNTER)


_FIGURES_HELP = {
    "ingestions_found": "ready batches in the intake window",
    "incomplete_ingestions_found": "incomplete batches in the intake window",
    "aggregate_ingestions_found": "ready batches in the aggregation window",
    "aggregate_incomplete_ingestions_found": "incomplete batches in the aggregation window",
    "peer_validations_found": "ready peer validations in the aggregation window",
    "incomplete_peer_validations_found": "incomplete peer validations in the aggregation window",
    "aggregate_ingestions_missing_peer_validation": (
        "ready batches in the aggregation window without a ready peer validation"
    ),
    "malformed_objects_found": "objects skipped because their names are not valid batch names",
    "intake_tasks_scheduled": "intake tasks that the queue acknowledged",
    "intake_tasks_skipped_due_to_marker": "intake tasks skipped because their marker exists",
    "intake_tasks_failed": "intake tasks that could not be published or marked",
    "intake_tasks_left": (
        "due intake tasks that were not tried because the run stopped early; left for the next run"
    ),
    "aggregation_tasks_scheduled": "aggregation tasks that the queue acknowledged",
    "aggregation_tasks_skipped_due_to_marker": "aggregation tasks skipped because their marker exists",
    "aggregation_tasks_failed": "aggregation tasks that could not be evaluated, published or marked",
    "aggregation_tasks_left": (
        "aggregation tasks that were not evaluated or not tried because the run stopped early; left for the"
        " next run"
    ),
    "number_of_batches_in_aggregation": "batches in the scheduled aggregation task",
    "aggregate_batches_left_out": (
        "ready and validated batches that the task of an already scheduled window did not name"
    ),
}
# One gauge for each field of core.report.Figures, by its name.
FIGURE_METRICS = {name: _by_aggregation(name, _FIGURES_HELP[name]) for name in FIGURES}
NEWEST = _by_aggregation(
    "newest_batch_timestamp_seconds",
    "time of the newest ready batch in the intake window, in seconds since 1970; 0 if there is none",
)
OLDEST_UNSCHEDULED = _by_aggregation(
    "oldest_unscheduled_batch_timestamp_seconds",
    "time of the oldest ready batch whose intake is due but failed, was not marked or was left for the next"
    " run, in seconds since 1970; 0 if there is none",
)

LAST_SUCCESS = Definition(
    f"{PREFIX}last_success_seconds", "time of the last run without failures, in seconds since 1970"
)
LAST_FAILURE = Definition(
    f"{PREFIX}last_failure_seconds", "time of the last run with a failure, in seconds since 1970"
)
RUNTIME = Definition(f"{PREFIX}runtime_seconds", "duration of the last run without failures, in seconds")
FAILURES = Definition(f"{PREFIX}failures", "failures of the last run, by kind", ("kind",))
SUPERSEDED = Definition(
    f"{PREFIX}superseded", "1 if the last run left everything to another run that held the lease, else 0"
)
LEASE_HELD_SINCE = Definition(
    f"{PREFIX}lease_held_since_seconds",
    "start of the run that was last seen holding the lease, in seconds since 1970; 0 if none was",
)
STAGE_SECONDS = Definition(
    f"{PREFIX}stage_duration_seconds",
    "seconds from the start of a stage's first call to the end of its last, in the last run",
    ("stage",),
)
BUILD = Definition(f"{PREFIX}build_info", "always 1; the version is a label", ("version",))
RUN_METRICS = (
    *(LAST_SUCCESS, RUNTIME, LAST_FAILURE, FAILURES, SUPERSEDED, LEASE_HELD_SINCE, STAGE_SECONDS, BUILD),
)

# The fields of core.report.Transfers: a run tells those of the last run, and serve counts them.
_TRANSFERS_HELP = {
    "requests": "requests to a bucket, with all tries",
    "retries": "requests to a bucket that repeat a failed one",
    "sent_bytes": "bytes of the bodies of requests to a bucket",
    "received_bytes": "bytes of the bodies of responses from a bucket",
}
TRANSFERS = {
    name: _of(Source.RUN, f"bucket_{name}", f"{about}, in the last run", "bucket", "operation")
    for name, about in _TRANSFERS_HELP.items()
}
TRANSFER_COUNTERS = {
    name: _counter(f"bucket_{name}", f"{about}, since the process opened it", "bucket", "operation")
    for name, about in _TRANSFERS_HELP.items()
}

PASSES = _counter("passes", "passes that have ended, by outcome", "outcome")
PASS_AGE = _of(
    Source.SERVE,
    "last_pass_age_seconds",
    "seconds since the last pass over the instance ended, or since the process began",
)
PASS_INTERVAL = _of(
    Source.SERVE, "pass_interval_seconds", "configured seconds from the start of one pass to the next"
)
BACKLOG = _of(
    Source.SERVE,
    "backlog_tasks",
    "tasks that were due in the last pass over all aggregations and are not scheduled",
)
LAG = Definition(
    f"{PREFIX}upload_to_publication_seconds",
    "seconds from an upload that was announced to the acknowledgement of its intake task",
    (),
    frozenset({Source.SERVE}),
    MetricType.HISTOGRAM,
)
INSTANCES = _of(Source.SERVE, "instances", "instances that this process works on")
SERVE_METRICS = (PASSES, PASS_AGE, PASS_INTERVAL, BACKLOG, LAG, INSTANCES)


def _survey(name: str, about: str, *labels: str) -> Definition:
    return Definition(f"{PREFIX}survey_{name}", about, labels, frozenset({Source.STATUS, Source.SERVE}))


SURVEY_BATCHES = _survey(
    "batches",
    "batches in the surveyed range, by state: incomplete, or the intake state of a ready batch",
    *(AGGREGATION, "state"),
)
SURVEY_WINDOWS = _survey(
    "windows", "aggregation windows in the surveyed range, by state", AGGREGATION, "state"
)
SURVEY_LEFT_OUT = _survey(
    "batches_left_out",
    "ready and validated batches that the tasks of scheduled windows did not name",
    AGGREGATION,
)
SURVEY_MALFORMED = _survey("malformed_objects", "objects whose names are not valid batch names", AGGREGATION)
SURVEY_NEWEST = _survey(
    "newest_batch_timestamp_seconds",
    "time of the newest ready batch in the surveyed range, in seconds since 1970; 0 if there is none",
    AGGREGATION,
)
SURVEY_OLDEST_DUE = _survey(
    "oldest_due_batch_timestamp_seconds",
    "time of the oldest ready batch that is due and not scheduled, in seconds since 1970; 0 if there is none",
    AGGREGATION,
)
SURVEY_TIMESTAMP = _survey(
    "timestamp_seconds", "time of the last survey that read everything, in seconds since 1970"
)
SURVEY_FAILURES = _survey("failures", "errors that make the last survey incomplete")
SURVEY_METRICS = (
    *(SURVEY_BATCHES, SURVEY_WINDOWS, SURVEY_LEFT_OUT, SURVEY_MALFORMED),
    *(SURVEY_NEWEST, SURVEY_OLDEST_DUE, SURVEY_TIMESTAMP, SURVEY_FAILURES),
)

ALL: tuple[Definition, ...] = (
    *FIGURE_METRICS.values(),
    *(NEWEST, OLDEST_UNSCHEDULED),
    *RUN_METRICS,
    *TRANSFERS.values(),
    *TRANSFER_COUNTERS.values(),
    *SERVE_METRICS,
    *SURVEY_METRICS,
)


def delivered_by(source: Source) -> Iterable[Definition]:
    """The metrics that a command delivers."""
    return (definition for definition in ALL if source in definition.sources)
