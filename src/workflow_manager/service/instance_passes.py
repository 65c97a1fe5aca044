"""The passes of one instance, over what was opened for it once."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from workflow_manager.assembly import Assembly, run_spec
from workflow_manager.config.fleet_flags import INTERVAL
from workflow_manager.config.run_config import Given, RunConfig, configure
from workflow_manager.core.report import RunReport
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.errors import ConfigError, Mistake, explain
from workflow_manager.flag_types import written
from workflow_manager.fleet import Fleet, InstanceConfig, open_instance
from workflow_manager.observe.service_events import PassCrashed
from workflow_manager.pipeline.scheduler import Scheduler
from workflow_manager.pipeline.shared_workers import OWN_WORKERS, SharedWorkers
from workflow_manager.ports import Observer
from workflow_manager.service.hints import Hints
from workflow_manager.service.records import Record, Records
from workflow_manager.service.timing import Outcome

# Gets the name of an instance, and the configuration and report of a pass of it that has ended.
Finished = Callable[[str, RunConfig, RunReport, Observer], object]
# Gives an observer for what happens under these labels.
Observers = Callable[[Mapping[str, str]], Observer]


def utc_now() -> datetime:
    """The time of this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PassContext:
    """What the passes of all instances share."""

    records: Records
    finished: Finished
    workers: SharedWorkers = OWN_WORKERS
    shard: Shard = WHOLE
    clock: Callable[[], datetime] = utc_now


class InstancePasses:
    """One instance, opened: see dispatcher.Job. `opened` closes what `parts` has."""

    def __init__(
        self,
        instance: InstanceConfig,
        parts: Assembly,
        opened: ExitStack,
        observer: Observer,
        shared: PassContext,
    ) -> None:
        self.name = instance.name
        self.interval = Given(instance.values).get(INTERVAL, timedelta).total_seconds()
        self._instance = instance
        self._parts = parts
        self._opened = opened
        self._observer = observer
        self._shared = shared
        self._lock = threading.Lock()
        self._scheduler: Scheduler | None = None
        self._interrupted = ""

    def record(self) -> Record:
        """An empty record of this instance."""
        return Record(self.name, self._parts.config.labels, self.interval, counts=self._parts.counts)

    def perform(self, hints: Hints, *, whole: bool) -> Outcome:
        """See Job."""
        begun = self._shared.clock().timestamp()
        self._shared.records.change(self.name, lambda record: _begin(record, begun))
        report, error = None, ""
        outcome = Outcome.FAILED
        try:
            report = self._pass(None if whole else hints.chosen())
            outcome = _outcome(report)
        except ConfigError as refused:
            error = str(self._instance.located(refused))
        except Exception as crash:  # noqa: BLE001 (whatever happens to this instance, the others go on)
            error = explain(crash)
        if report is None:
            self._observer.notify(PassCrashed(error))
        now = self._shared.clock().timestamp()

        def finish(record: Record) -> None:
            record.finished(report, outcome, now, whole=whole, error=error)
            if report is not None:
                _observe_lag(record, hints, report, now)

        self._shared.records.change(self.name, finish)
        return outcome

    def interrupt(self, reason: str) -> None:
        """See Job."""
        with self._lock:
            self._interrupted = reason
            scheduler = self._scheduler
        if scheduler is not None:
            scheduler.interrupt(reason)

    def close(self) -> None:
        """See Job."""
        self._opened.close()

    def _pass(self, only: tuple[str, ...] | None) -> RunReport:
        before = self._parts.counts.transfers()
        config = configure(self._instance.values, self._shared.clock())
        parts = self._parts._replace(config=config)
        spec = run_spec(parts, self._shared.shard)._replace(aggregations=only)
        queue = None if config.dry_run else parts.queue
        scheduler = Scheduler(parts.buckets, queue, spec, self._observer, self._shared.workers)
        with self._lock:
            self._scheduler = scheduler
            interrupted = self._interrupted
        if interrupted:
            scheduler.interrupt(interrupted)
        with ExitStack() as ending:
            ending.callback(self._forget)
            if config.run_timeout is not None:
                timer = threading.Timer(
                    config.run_timeout.total_seconds(),
                    scheduler.time_out,
                    (f"--run-timeout of {written(config.run_timeout)} is over",),
                )
                timer.daemon = True
                timer.start()
                ending.callback(timer.cancel)
            report = replace(scheduler.run(), transfers=self._parts.counts.transfers(since=before))
        self._shared.finished(self.name, config, report, self._observer)
        return report

    def _forget(self) -> None:
        with self._lock:
            self._scheduler = None


def open_passes(
    fleet: Fleet, environ: Mapping[str, str], observers: Observers, shared: PassContext, opened: ExitStack
) -> list[InstancePasses]:
    """The passes of all instances, to be closed with `opened` or one by one.

    Raises ConfigError with every mistake that can be found without sending a request.
    """
    shared = replace(shared, shard=fleet.shard if fleet.by_aggregation else WHOLE)
    mistakes: list[Mistake] = []
    passes: list[InstancePasses] = []
    adapters: dict[object, object] = {}
    for instance in fleet.instances:
        own = opened.enter_context(ExitStack())
        try:
            parts = open_instance(instance, environ, shared.clock(), own, adapters)
        except ConfigError as error:
            mistakes.extend(error.mistakes)
            continue
        observer = observers({"instance": instance.name, **parts.config.labels})
        passes.append(InstancePasses(instance, parts, own, observer, shared))
    if mistakes:
        raise ConfigError(dict.fromkeys(mistakes))
    return passes


def _begin(record: Record, now: float) -> None:
    record.running, record.began = True, now


def _outcome(report: RunReport) -> Outcome:
    if report.left_to_another:
        return Outcome.SUPERSEDED
    return Outcome.DONE if report.succeeded else Outcome.FAILED


def _observe_lag(record: Record, hints: Hints, report: RunReport, now: float) -> None:
    """Count how long ago the newest uploads were of which this pass has published the intake."""
    for aggregation, uploaded in hints.aggregations.items():
        figures = report.figures.get(aggregation)
        if uploaded and figures is not None and figures.intake_tasks_scheduled:
            record.lag.observe(now - uploaded)
