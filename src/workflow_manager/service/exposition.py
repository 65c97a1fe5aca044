"""The metrics of all instances, as Prometheus scrapes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from workflow_manager import __version__
from workflow_manager.observe.metric_definitions import (
    BACKLOG,
    BUILD,
    INSTANCES,
    LAG,
    LAST_FAILURE,
    LAST_SUCCESS,
    LEASE_HELD_SINCE,
    PASS_AGE,
    PASS_INTERVAL,
    PASSES,
    RUNTIME,
    SUPERSEDED,
    SURVEY_FAILURES,
    TRANSFER_COUNTERS,
)
from workflow_manager.observe.metrics import registry
from workflow_manager.observe.samples import Histogram, Samples, add_report
from workflow_manager.service.records import LAG_BOUNDS, Record, Records
from workflow_manager.service.surveys import InstanceSurvey, Surveys
from workflow_manager.service.timing import Outcome
from workflow_manager.survey.survey_samples import add_survey

# What each sample of an instance has besides its own labels; the two others are empty if not given.
LABELS = ("instance_name", "locality", "ingestor")
OPENMETRICS = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What metrics are made from; `started` is when the process began, in seconds since 1970."""

    records: Records
    surveys: Surveys
    started: float


def exposition(state: ServiceState, now: float, *, openmetrics: bool = False) -> bytes:
    """The metrics in Prometheus' text format or in OpenMetrics; `now` is in seconds since 1970."""
    samples = service_samples(state.records.all(), state.started, now)
    for survey in state.surveys.all():
        _add_survey(samples, survey)
    write = generate_openmetrics if openmetrics else generate_latest
    return write(registry(samples))


def service_samples(records: Sequence[Record], started: float, now: float) -> Samples:
    """The samples of all instances and of the process."""
    samples = Samples()
    for record in records:
        labels = _labels(record.name, record.labels)
        if record.report is not None:
            add_report(samples, record.report, labels)
        _add_outcome(samples, record, labels)
        _add_passes(samples, record, labels, now - (record.ended or started))
        _add_transfers(samples, record, labels)
    samples.add(INSTANCES, len(records), {})
    samples.add(BUILD, 1, {"version": __version__})
    return samples


def _add_outcome(samples: Samples, record: Record, labels: Mapping[str, str]) -> None:
    if record.succeeded:
        samples.add(LAST_SUCCESS, record.succeeded, labels)
    if record.failed:
        samples.add(LAST_FAILURE, record.failed, labels)
    if record.report is not None and record.report.succeeded:
        samples.add(RUNTIME, record.report.runtime_seconds, labels)
    superseded = record.last is Outcome.SUPERSEDED
    samples.add(SUPERSEDED, superseded, labels)
    held_since = record.began if record.running else record.held_since if superseded else 0
    samples.add(LEASE_HELD_SINCE, held_since, labels)


def _add_passes(samples: Samples, record: Record, labels: Mapping[str, str], age: float) -> None:
    for outcome in Outcome:
        samples.add(PASSES, record.passes[outcome], {**labels, "outcome": outcome.value})
    samples.add(PASS_AGE, max(0.0, age), labels)
    samples.add(PASS_INTERVAL, record.interval, labels)
    samples.add(BACKLOG, record.backlog(), labels)
    samples.define(LAG)
    if any(record.lag.counts):
        samples.add(LAG, _lag(record), labels)


def _add_transfers(samples: Samples, record: Record, labels: Mapping[str, str]) -> None:
    for bucket, operations in record.counts.transfers().items():
        for operation, transfers in operations.items():
            of = {**labels, "bucket": bucket, "operation": operation}
            for name, definition in TRANSFER_COUNTERS.items():
                samples.add(definition, getattr(transfers, name), of)


def _add_survey(samples: Samples, survey: InstanceSurvey) -> None:
    labels = _labels(survey.name, survey.labels)
    if survey.report is not None:
        add_survey(samples, survey.report, len(survey.failures), labels)
    elif survey.failures:
        samples.add(SURVEY_FAILURES, len(survey.failures), labels)


def _labels(name: str, given: Mapping[str, str]) -> dict[str, str]:
    values = (name, given.get("locality", ""), given.get("ingestor", ""))
    return dict(zip(LABELS, values, strict=True))


def _lag(record: Record) -> Histogram:
    bounds = [*(str(bound) for bound in LAG_BOUNDS), "+Inf"]
    so_far = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, record.lag.counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    return Histogram(tuple(buckets), record.lag.sum)
