"""Surveys of the instances of a process, each from time to time, beside their passes. Read only.

They have stores, threads and circuit breakers of their own, fewer than the passes have, so that a survey
neither delays a pass nor makes one fail.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_manager.assembly import assemble_buckets
from workflow_manager.config.flags import Parsed
from workflow_manager.config.fleet_flags import STATUS_INTERVAL, STATUS_SINCE
from workflow_manager.config.run_config import Given
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.core.windows import Window
from workflow_manager.errors import ConfigError, Mistake, explain
from workflow_manager.fleet import Fleet, InstanceConfig
from workflow_manager.observe.service_events import SurveyFailed
from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.stage import WorkerPool
from workflow_manager.ports import Observer
from workflow_manager.service.hints import Hints
from workflow_manager.service.surveys import InstanceSurvey, Surveys
from workflow_manager.service.timing import Outcome
from workflow_manager.survey.findings import SurveyReport
from workflow_manager.survey.grounds import Grounds, grounds_of, range_of
from workflow_manager.survey.surveyor import Surveyor, SurveyResources

SURVEYS = 2  # at a time
# What is kept of one instance. Others name the aggregations, and each has counts for each of its windows.
MOST_AGGREGATIONS = 200
MOST_WINDOWS = 500
# Names of objects in memory at once, in all surveys together: a quarter of what passes have.
MOST_NAMES = 50_000
# Seconds that a survey lets passes go first while some wait for a thread, and between looks whether any do.
MOST_WAIT = 60.0
PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class SurveyContext:
    """What the surveys of all instances share."""

    surveys: Surveys
    environ: Mapping[str, str]
    resources: SurveyResources
    clock: Callable[[], datetime]
    shard: Shard = WHOLE
    # Whether passes wait for a thread: surveys let them go first.
    behind: Callable[[], bool] = lambda: False

    @classmethod
    def of(
        cls, surveys: Surveys, environ: Mapping[str, str], requests: int, clock: Callable[[], datetime]
    ) -> "SurveyContext":
        """At most so many requests in flight, in all surveys together."""
        resources = SurveyResources(
            WorkerPool("survey", requests), MemoryBudget(MOST_NAMES), MOST_AGGREGATIONS
        )
        return cls(surveys, environ, resources, clock)


class SurveyJob:
    """The surveys of one instance: see dispatcher.Job. `opened` closes the stores in `ground`."""

    def __init__(
        self,
        instance: InstanceConfig,
        ground: Grounds,
        opened: ExitStack,
        observer: Observer,
        context: SurveyContext,
    ) -> None:
        self.name = instance.name
        self.interval = Given(instance.values).get(STATUS_INTERVAL, timedelta).total_seconds()
        self._instance = instance
        self._ground = ground
        self._opened = opened
        self._observer = observer
        self._context = context
        self._lock = threading.Lock()
        self._surveyor: Surveyor | None = None
        self._interrupted = ""
        self._stopping = threading.Event()

    def survey(self) -> InstanceSurvey:
        """What is known before the first survey."""
        return InstanceSurvey(self.name, self._ground.config.labels)

    def perform(self, hints: Hints, *, whole: bool) -> Outcome:  # noqa: ARG002 (see Job; all are whole)
        """See Job."""
        self._let_passes_go_first()
        begun = time.monotonic()
        surveys = self._context.surveys
        try:
            report, times = self._survey()
        except ConfigError as refused:
            return self._failed(str(self._instance.located(refused)))
        except Exception as crash:  # noqa: BLE001 (whatever happens to this instance, the others go on)
            return self._failed(explain(crash))
        if self._interrupted:
            return Outcome.FAILED  # what it could not read tells nothing
        ended, seconds = self._context.clock().timestamp(), time.monotonic() - begun
        if report.failures:
            surveys.change(self.name, lambda last: last.incomplete(report, times, ended, seconds))
            self._observer.notify(SurveyFailed(report.failures[0], len(report.failures)))
            return Outcome.FAILED
        surveys.change(self.name, lambda last: last.succeeded(report, times, ended, seconds))
        return Outcome.DONE

    def interrupt(self, reason: str) -> None:
        """See Job."""
        with self._lock:
            self._interrupted = reason
            surveyor = self._surveyor
        self._stopping.set()
        if surveyor is not None:
            surveyor.interrupt(reason)

    def close(self) -> None:
        """See Job."""
        self._opened.close()

    def _let_passes_go_first(self) -> None:
        until = time.monotonic() + MOST_WAIT
        while self._context.behind() and time.monotonic() < until and not self._stopping.wait(PAUSE):
            pass

    def _survey(self) -> tuple[SurveyReport, Window]:
        now = self._context.clock()
        values = self._instance.values
        ground = self._ground.at(Parsed(dict(values)), now)
        since = Given(values).get(STATUS_SINCE, timedelta)
        times = range_of(now - min(since, ground.period * MOST_WINDOWS), ground.rules, ground.period)
        spec = replace(ground.spec(times, ground.windows(times.begin, times.end)), shard=self._context.shard)
        surveyor = Surveyor(ground.buckets, spec, self._context.resources)
        with self._lock:
            self._surveyor = surveyor
            interrupted = self._interrupted
        if interrupted:
            surveyor.interrupt(interrupted)
        try:
            return surveyor.survey(), times
        finally:
            with self._lock:
                self._surveyor = None

    def _failed(self, error: str) -> Outcome:
        now = self._context.clock().timestamp()
        self._context.surveys.change(self.name, lambda last: last.refused(error, now))
        self._observer.notify(SurveyFailed(error, 1))
        return Outcome.FAILED


def open_survey_jobs(
    fleet: Fleet,
    observers: Callable[[Mapping[str, str]], Observer],
    context: SurveyContext,
    opened: ExitStack,
) -> list[SurveyJob]:
    """The surveys of all instances that have any, to be closed with `opened` or one by one.

    Raises ConfigError with every mistake that can be found without sending a request.
    """
    context = replace(context, shard=fleet.shard if fleet.by_aggregation else WHOLE)
    jobs: list[SurveyJob] = []
    adapters: dict[object, object] = {}
    mistakes: list[Mistake] = []
    for instance in fleet.instances:
        if not Given(instance.values).get(STATUS_INTERVAL, timedelta):
            continue
        own = opened.enter_context(ExitStack())
        parsed, now = Parsed(dict(instance.values)), context.clock()
        try:
            config, buckets = assemble_buckets(parsed, context.environ, now, own, adapters)
        except ConfigError as error:
            mistakes.extend(instance.located(error).mistakes)
            continue
        observer = observers({"instance": instance.name, **config.labels})
        ground = grounds_of(parsed, config, buckets, now)
        jobs.append(SurveyJob(instance, ground, own, observer, context))
    if mistakes:
        raise ConfigError(dict.fromkeys(mistakes))
    return jobs
