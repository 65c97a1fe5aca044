"""Shared code of the commands that survey the buckets."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime

from workflow_manager.assembly import assemble_buckets
from workflow_manager.config.flags import Parsed
from workflow_manager.config.survey_flags import STATUS
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.fleet import Fleet, InstanceConfig, target_flags
from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.stage import WorkerPool
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.survey.grounds import Grounds, grounds_of, range_since
from workflow_manager.survey.surveyor import ALONE, Surveyor, SurveyResources

INSTANCES = 16  # that are surveyed at a time
REQUESTS = 64  # in flight, in all surveys together


def grounds(parsed: Parsed, environ: Mapping[str, str], clock_time: datetime, opened: ExitStack) -> Grounds:
    """Open the buckets, which `opened` closes; raises ConfigError."""
    config, buckets = assemble_buckets(parsed, environ, clock_time, opened)
    return grounds_of(parsed, config, buckets, clock_time)


def survey_one(parsed: Parsed, environ: Mapping[str, str], clock_time: datetime) -> SurveyedInstance:
    """Survey the range that the flags select in the buckets that they name; raises ConfigError."""
    with ExitStack() as opened:
        return _survey(parsed, grounds(parsed, environ, clock_time, opened))


def survey_many(fleet: Fleet, environ: Mapping[str, str], clock_time: datetime) -> list[SurveyedInstance]:
    """Survey the range that the command's flags select in each instance; raises ConfigError."""
    with ExitStack() as opened:
        prepared = list(_prepare(fleet, environ, clock_time, opened))
        pool = WorkerPool("survey", REQUESTS)
        opened.callback(pool.close)
        resources = SurveyResources(pool, MemoryBudget())

        def survey(one: tuple[InstanceConfig, Parsed, Grounds]) -> SurveyedInstance:
            instance, parsed, ground = one
            return _survey(parsed, ground, instance.name, target_flags(fleet, instance.name), resources)

        with ThreadPoolExecutor(INSTANCES) as executor:
            return list(executor.map(survey, prepared))


def _prepare(
    fleet: Fleet, environ: Mapping[str, str], clock_time: datetime, opened: ExitStack
) -> Iterator[tuple[InstanceConfig, Parsed, Grounds]]:
    """The buckets of each instance, with the flags of the command beside those of the instance."""
    names = {option.name for option in STATUS.options}
    own = {name: value for name, value in fleet.process.values.items() if name in names}
    mistakes: list[Mistake] = []
    adapters: dict[object, object] = {}
    for instance in fleet.instances:
        parsed = Parsed({**instance.values, **own})
        try:
            config, buckets = assemble_buckets(parsed, environ, clock_time, opened, adapters)
        except ConfigError as error:
            mistakes.extend(instance.located(error).mistakes)
            continue
        yield instance, parsed, grounds_of(parsed, config, buckets, clock_time)
    if mistakes:
        raise ConfigError(dict.fromkeys(mistakes))


def _survey(
    parsed: Parsed, ground: Grounds, name: str = "", target: str = "", resources: SurveyResources = ALONE
) -> SurveyedInstance:
    times = range_since(parsed, ground.rules, ground.period)
    spec = ground.spec(times, ground.windows(times.begin, times.end))
    report = Surveyor(ground.buckets, spec, resources).survey()
    return SurveyedInstance(name, ground.config.labels, report, times, report.failures, target, ground.config)
