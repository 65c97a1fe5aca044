"""The instances of one process at work: their passes, and the notifications that cause some of them."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.fleet import Fleet, InstanceConfig
from workflow_manager.observe.event import Event, Severity
from workflow_manager.observe.events import RunFinished, RunStarted
from workflow_manager.observe.found import AggregationsFound
from workflow_manager.ports import Observer
from workflow_manager.service.dispatcher import Dispatcher
from workflow_manager.service.instance_passes import InstancePasses, Observers, PassContext, open_passes
from workflow_manager.service.listener import Listener
from workflow_manager.service.sources import OpenSource, SourceKey, open_sources
from workflow_manager.service.survey_jobs import SURVEYS, SurveyContext, SurveyJob, open_survey_jobs

# What a process that does one pass after the other cannot be given: its windows would stand still.
_FIXED_TIMES = ("now", "aggregation-override-timestamp")
SURVEY_GRACE = 1.0  # seconds for surveys under way to end in, once the passes have


class QuietPasses:
    """Keeps passes that found nothing to do out of the logs."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def notify(self, *events: Event) -> None:
        """See Observer."""
        told = [event for event in events if not _dull(event)]
        if told:
            self._observer.notify(*told)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service is made of: the environment, and how many passes it does at once.

    `observers` gives one for the labels of an instance.
    """

    environ: Mapping[str, str]
    observers: Observers
    workers: int
    quiet: bool = True


class FleetService:
    """Works on one set of instances after the other; see `use`. Surveys are jobs too, on threads apart."""

    def __init__(self, settings: ServiceSettings, shared: PassContext, surveying: SurveyContext) -> None:
        self._settings = settings
        self._shared = shared
        self._dispatcher = Dispatcher(settings.workers)
        self._surveying = replace(surveying, behind=self._dispatcher.behind)
        self._survey_dispatcher = Dispatcher(SURVEYS)
        self._listeners: dict[SourceKey, Listener] = {}

    def use(self, fleet: Fleet) -> None:
        """Work on these instances from now on, and on no others.

        Raises ConfigError, with all mistakes, before anything has changed. Passes under way end as
        they began; instances that stay keep their times and what is known of them.
        """
        jobs, surveys, sources = self._open(fleet)
        self._shared.records.use({job.name: job.record() for job in jobs})
        self._dispatcher.use(jobs)
        self._surveying.surveys.use({job.name: job.survey() for job in surveys})
        self._survey_dispatcher.use(surveys)
        self._listen(sources)

    def start(self) -> None:
        """Begin to do passes and surveys."""
        self._dispatcher.start()
        self._survey_dispatcher.start()

    def stop(self, reason: str, seconds: float) -> bool:
        """Start no more passes, and end those under way; whether all have ended in time."""
        for listener in self._listeners.values():
            listener.end()
        self._survey_dispatcher.stop(reason, 0.0)
        in_time = self._dispatcher.stop(reason, seconds)
        self._survey_dispatcher.stop(reason, SURVEY_GRACE)  # what they read is lost, and nothing else
        return in_time

    def _open(
        self, fleet: Fleet
    ) -> tuple[list[InstancePasses], list[SurveyJob], dict[SourceKey, OpenSource]]:
        mistakes = [mistake for instance in fleet.instances for mistake in _mistakes(instance)]
        jobs: list[InstancePasses] = []
        surveys: list[SurveyJob] = []
        sources: dict[SourceKey, OpenSource] = {}
        environ = self._settings.environ
        with ExitStack() as undone:
            try:
                jobs = open_passes(fleet, environ, self._observer, self._shared, undone)
            except ConfigError as error:
                mistakes.extend(error.mistakes)
            try:
                surveys = open_survey_jobs(fleet, self._observer, self._surveying, undone)
            except ConfigError as error:
                mistakes.extend(error.mistakes)
            try:
                sources = open_sources(fleet.instances, environ)
            except ConfigError as error:
                mistakes.extend(error.mistakes)
            if mistakes:
                raise ConfigError(dict.fromkeys(mistakes))
            undone.pop_all()
        return jobs, surveys, sources

    def _observer(self, labels: Mapping[str, str]) -> Observer:
        observer = self._settings.observers(labels)
        return QuietPasses(observer) if self._settings.quiet else observer

    def _listen(self, sources: Mapping[SourceKey, OpenSource]) -> None:
        """Listen to these sources, with the listeners that there are where they are the same."""
        for key in self._listeners.keys() - sources.keys():
            self._listeners.pop(key).end()
        for key, opened in sources.items():
            if (listener := self._listeners.get(key)) is not None:
                listener.routes = opened.routes
                opened.source.close()
                continue
            observer = self._settings.observers({})
            listener = Listener(key.url, opened.source, opened.routes, self._dispatcher.hint, observer)
            self._listeners[key] = listener
            listener.start()


def _mistakes(instance: InstanceConfig) -> list[Mistake]:
    found = [
        Mistake(f"--{flag}", "", "cannot be used by serve, whose windows follow the clock")
        for flag in _FIXED_TIMES
        if flag in instance.values
    ]
    return list(instance.located(ConfigError(found)).mistakes)


def _dull(event: Event) -> bool:
    if isinstance(event, RunStarted | AggregationsFound):
        return True
    if not isinstance(event, RunFinished) or event.severity is not Severity.INFO:
        return False
    total = event.report.total()
    return not (total.intake_tasks_scheduled or total.aggregation_tasks_scheduled)
