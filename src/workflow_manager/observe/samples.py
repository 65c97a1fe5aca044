"""Reports -> samples of the defined metrics. Knows nothing of how they are delivered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from workflow_manager import __version__
from workflow_manager.core.names import batch_timestamp
from workflow_manager.core.report import BatchTimes, Figures, Kind, RunReport
from workflow_manager.observe.metric_definitions import (
    AGGREGATION,
    BUILD,
    FAILURES,
    FIGURE_METRICS,
    LAST_FAILURE,
    LAST_SUCCESS,
    LEASE_HELD_SINCE,
    NEWEST,
    OLDEST_UNSCHEDULED,
    RUNTIME,
    STAGE_SECONDS,
    SUPERSEDED,
    TRANSFERS,
    Definition,
)

OTHERS = "(others)"
# Others name the aggregations, and each name makes a time series of every gauge.
MOST_AGGREGATIONS = 1000

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Histogram:
    """The value of a histogram: for each upper bound the number of observations up to it, and their sum."""

    buckets: tuple[tuple[str, float], ...]
    sum: float


class Samples:
    """Samples by metric, each with its own labels."""

    def __init__(self) -> None:
        self.by_metric: dict[Definition, list[tuple[Mapping[str, str], float | Histogram]]] = {}

    def define(self, definition: Definition) -> None:
        """Deliver this metric even if it has no samples: its old ones are gone."""
        self.by_metric.setdefault(definition, [])

    def add(self, definition: Definition, value: float | Histogram, labels: Mapping[str, str]) -> None:
        """Add one sample."""
        self.by_metric.setdefault(definition, []).append((labels, value))


def run_samples(report: RunReport, ended: float) -> Samples:
    """What a run that ended at `ended`, in seconds since 1970, delivers.

    One that left everything to another run tells only that: the figures of the other stay.
    """
    samples = Samples()
    add_lease(samples, report, {})
    if report.superseded:
        return samples
    add_report(samples, report, {})
    if report.succeeded:
        samples.add(LAST_SUCCESS, ended, {})
        samples.add(RUNTIME, report.runtime_seconds, {})
    elif report.failure_count:  # one that a signal ended without any failure is neither
        samples.add(LAST_FAILURE, ended, {})
    for bucket, operations in report.transfers.items():
        for operation, transfers in operations.items():
            labels = {"bucket": bucket, "operation": operation}
            for name, definition in TRANSFERS.items():
                samples.add(definition, getattr(transfers, name), labels)
    samples.add(BUILD, 1, {"version": __version__})
    return samples


def add_report(samples: Samples, report: RunReport, labels: Mapping[str, str]) -> None:
    """Add what a run found and did."""
    for definition in (*FIGURE_METRICS.values(), NEWEST, OLDEST_UNSCHEDULED):
        samples.define(definition)
    kept = bounded(report.figures, lambda figures: figures.ingestions_found, _sum)
    for aggregation, figures in kept.items():
        of = {**labels, AGGREGATION: aggregation}
        for name, definition in FIGURE_METRICS.items():
            samples.add(definition, getattr(figures, name), of)
    _add_times(samples, report, kept.keys() - {OTHERS}, labels)
    for kind in Kind:  # all of them, so that none of an earlier run stays
        samples.add(FAILURES, report.failed.get(kind, 0), {**labels, "kind": kind.value})
    for stage, seconds in report.stage_seconds.items():
        samples.add(STAGE_SECONDS, seconds, {**labels, "stage": stage.value})


def _add_times(samples: Samples, report: RunReport, kept: "set[str]", labels: Mapping[str, str]) -> None:
    """Add the batch times of the kept aggregations, and the extremes of the others."""
    none = BatchTimes()
    others = [times for name, times in report.batch_times.items() if name not in kept]
    by_aggregation = {name: report.batch_times.get(name, none) for name in sorted(kept) if name}
    if len(report.figures) > len(kept):
        unscheduled = [times.oldest_unscheduled for times in others if times.oldest_unscheduled]
        newest = max((times.newest for times in others), default="")
        by_aggregation[OTHERS] = BatchTimes(newest, min(unscheduled, default=""))
    for aggregation, times in by_aggregation.items():
        of = {**labels, AGGREGATION: aggregation}
        samples.add(NEWEST, batch_timestamp(times.newest), of)
        samples.add(OLDEST_UNSCHEDULED, batch_timestamp(times.oldest_unscheduled), of)


def add_lease(samples: Samples, report: RunReport, labels: Mapping[str, str]) -> None:
    """Add whether the run left everything to another, and since when that one has been running."""
    samples.add(SUPERSEDED, report.superseded, labels)
    holder = report.superseded_by
    samples.add(LEASE_HELD_SINCE, holder.begun.timestamp() if holder else 0, labels)


def bounded(
    values: Mapping[str, V], weight: Callable[[V], int], together: Callable[[list[V]], V]
) -> dict[str, V]:
    """The values of as many aggregations as may become labels; those of the rest `together` as `OTHERS`.

    The heaviest are kept, as names alone cost nothing to make up.
    """
    if len(values) <= MOST_AGGREGATIONS:
        return dict(values)
    ranked = sorted(values, key=lambda name: (-weight(values[name]), name))
    kept = {name: values[name] for name in ranked[:MOST_AGGREGATIONS]}
    kept[OTHERS] = together([values[name] for name in ranked[MOST_AGGREGATIONS:]])
    return kept


def _sum(figures: list[Figures]) -> Figures:
    total = Figures()
    for one in figures:
        total.add(one)
    return total
