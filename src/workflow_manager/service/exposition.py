"""The metrics of all instances, as Prometheus scrapes them."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from workflow_manager import __version__
from workflow_manager.core.report import FIGURES, Kind
from workflow_manager.observe.metrics import (
    ABOUT,
    FAILURES,
    LAST_FAILURE,
    LAST_SUCCESS,
    PREFIX,
    RUN_GAUGES,
    RUNTIME,
    bounded,
)
from workflow_manager.service.records import LAG_BOUNDS, Record, Records
from workflow_manager.service.timing import Outcome

LABELS = ("instance_name", "locality", "ingestor")
PASSES = f"{PREFIX}passes"
PASS_AGE = f"{PREFIX}last_pass_age_seconds"
BACKLOG = f"{PREFIX}backlog_tasks"
LAG = f"{PREFIX}upload_to_publication_seconds"
INSTANCES = f"{PREFIX}instances"
BUILD = f"{PREFIX}build_info"
# What is only in a process that serves many instances, with what each says.
SERVED = {
    PASSES: "passes that have ended, by outcome",
    PASS_AGE: "seconds since the last pass over the instance ended, or since the process started",
    BACKLOG: "tasks that were due in the last whole pass and are not scheduled",
    LAG: "seconds from an upload that was announced to the acknowledgement of its intake task",
    INSTANCES: "instances that this process works on",
    BUILD: "always 1; the version is a label",
}


def exposition(records: Records, started: float, now: float) -> bytes:
    """The metrics as text; `started` is when the process began, both in seconds since 1970."""
    registry = CollectorRegistry()
    registry.register(_Collector(records.all(), started, now))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, records: Sequence[Record], started: float, now: float) -> None:
        self._records = records
        self._started = started
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """All metric families."""
        yield from self._figures()
        yield from self._runs()
        yield from self._passes()
        build = GaugeMetricFamily(BUILD, SERVED[BUILD], labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily(INSTANCES, SERVED[INSTANCES], value=len(self._records))

    def _figures(self) -> Iterator[Metric]:
        """The figures of each aggregation in the last whole pass, as a run would push them."""
        families = {
            name: GaugeMetricFamily(PREFIX + name, ABOUT[name], labels=[*LABELS, "aggregation_id"])
            for name in FIGURES
        }
        for record in self._records:
            if record.report is None:
                continue
            for aggregation, figures in bounded(record.report.figures).items():
                for name, family in families.items():
                    family.add_metric([*_labels(record), aggregation], getattr(figures, name))
        yield from families.values()

    def _runs(self) -> Iterator[Metric]:
        gauges = {
            name: GaugeMetricFamily(name, RUN_GAUGES[name], labels=LABELS)
            for name in (LAST_SUCCESS, LAST_FAILURE, RUNTIME)
        }
        failures = GaugeMetricFamily(FAILURES, "failures of the last whole pass", labels=[*LABELS, "kind"])
        for record in self._records:
            if record.succeeded:
                gauges[LAST_SUCCESS].add_metric(_labels(record), record.succeeded)
            if record.failed:
                gauges[LAST_FAILURE].add_metric(_labels(record), record.failed)
            if record.report is None:
                continue
            if record.report.succeeded:
                gauges[RUNTIME].add_metric(_labels(record), record.report.runtime_seconds)
            for kind in Kind:
                failures.add_metric([*_labels(record), kind.value], record.report.failed.get(kind, 0))
        yield from gauges.values()
        yield failures

    def _passes(self) -> Iterator[Metric]:
        passes = CounterMetricFamily(PASSES, SERVED[PASSES], labels=[*LABELS, "outcome"])
        age = GaugeMetricFamily(PASS_AGE, SERVED[PASS_AGE], labels=LABELS)
        backlog = GaugeMetricFamily(BACKLOG, SERVED[BACKLOG], labels=LABELS)
        lag = HistogramMetricFamily(LAG, SERVED[LAG], labels=LABELS)
        for record in self._records:
            labels = _labels(record)
            for outcome in Outcome:
                passes.add_metric([*labels, outcome.value], record.passes[outcome])
            age.add_metric(labels, max(0.0, self._now - (record.ended or self._started)))
            backlog.add_metric(labels, record.backlog())
            if any(record.lag.counts):
                lag.add_metric(labels, _buckets(record), record.lag.sum)
        yield from (passes, age, backlog, lag)


def _labels(record: Record) -> list[str]:
    return [record.name, record.labels.get("locality", ""), record.labels.get("ingestor", "")]


def _buckets(record: Record) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in LAG_BOUNDS), "+Inf"]
    so_far = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, record.lag.counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    return buckets
