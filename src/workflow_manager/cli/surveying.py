"""Shared code of the commands that survey buckets: those of one deployment, or of the instances of a file."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from workflow_manager.assembly import Assembly, assemble, assemble_buckets, read_flags
from workflow_manager.cli.run_output import utc_now
from workflow_manager.config.flags import Parsed
from workflow_manager.config.fleet_flags import wants_many
from workflow_manager.config.run_config import Given
from workflow_manager.config.run_flags import Group
from workflow_manager.core.patterns import matcher
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.core.windows import Window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.observe.logs import printable
from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.stage import WorkerPool
from workflow_manager.report.survey_rows import report_lines
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.survey.findings import SurveyReport
from workflow_manager.survey.grounds import Grounds, grounds_of, range_since
from workflow_manager.survey.surveyor import ALONE, Surveyor, SurveyResources, SurveySpec

if TYPE_CHECKING:
    from workflow_manager.fleet import Fleet

SIDE_BY_SIDE = 16  # instances surveyed at a time
REQUESTS = 64  # in flight, in all of them together

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment: its flags and buckets, and for a command that uses a queue, all its `parts`.

    `name` is that of the instance, and `target` the flags that choose it in a command; both are empty
    without a file of instances.
    """

    parsed: Parsed
    ground: Grounds
    parts: Assembly | None = None
    name: str = ""
    target: str = ""
    shard: Shard = WHOLE

    def spec(self, batches: Window, windows: Window) -> SurveySpec:
        """The spec of a survey of these batches and windows."""
        return replace(self.ground.spec(batches, windows), shard=self.shard)


@dataclass(frozen=True, slots=True)
class Deployments:
    """What a command is about; its own flags are in `given`. `many` if there is a file of instances."""

    given: Parsed
    chosen: Sequence[Deployment]
    many: bool = False
    resources: SurveyResources = ALONE

    def each(self, work: Callable[[Deployment], T]) -> Iterator[tuple[Deployment, T]]:
        """What the work gives for each deployment, in the order of the file; some are worked on at a time."""
        if not self.many:
            yield from ((one, work(one)) for one in self.chosen)
            return
        with ThreadPoolExecutor(SIDE_BY_SIDE) as executor:
            yield from zip(self.chosen, executor.map(work, self.chosen), strict=True)


def open_deployments(
    command: tuple[str, str, Group],
    arguments: Sequence[str],
    environ: Mapping[str, str],
    opened: ExitStack,
    *,
    queue: bool = False,
    words: bool = False,
) -> Deployments:
    """Open what a command line names, to be closed with `opened`; raises ConfigError with all mistakes.

    `command` is the command's name, its summary and its own flags. If it takes `words`, they are in `given`.
    """
    name, summary, group = command
    if wants_many(arguments, environ):
        from workflow_manager.fleet import read_fleet  # noqa: PLC0415 (for files of instances only)

        fleet = read_fleet(name, summary, arguments, environ, group, queue=queue, words=words)
        return _open_instances(fleet, environ, opened, queue=queue)
    parsed = read_flags(name, summary, arguments, environ, group, queue=queue)
    taken, parsed.words = (parsed.words, []) if words else ([], parsed.words)
    ground, parts = _opened(parsed, environ, utc_now(), opened, {}, queue=queue)
    parsed.words = taken
    return Deployments(parsed, [Deployment(parsed, ground, parts)])


def grounds(parsed: Parsed, environ: Mapping[str, str], clock_time: datetime, opened: ExitStack) -> Grounds:
    """Open the buckets, which `opened` closes; raises ConfigError."""
    config, buckets = assemble_buckets(parsed, environ, clock_time, opened)
    return grounds_of(parsed, config, buckets, clock_time)


def show(report: SurveyReport) -> None:
    """Print a survey, as tables on a terminal."""
    if sys.stdout.isatty():
        from workflow_manager.cli import survey_table  # noqa: PLC0415 (rich is for terminals only)

        survey_table.show(report)
    else:
        print("\n".join(report_lines(report)))


def show_name(deployment: Deployment) -> None:
    """Print which instance the following is about."""
    if deployment.name:
        print(f"\n{deployment.name}")


def tell_failures(instance: str, failures: Sequence[str]) -> None:
    """Print why something could not be read; `instance` is empty if there is one deployment only."""
    instance = f"{instance}: " if instance else ""
    for failure in failures:
        print(f"workflow-manager: {instance}{printable(failure)}", file=sys.stderr)


def survey(deployment: Deployment, resources: SurveyResources) -> SurveyedInstance:
    """Survey the range that the flags select; raises ConfigError."""
    ground = deployment.ground
    times = range_since(deployment.parsed, ground.rules, ground.period)
    spec = deployment.spec(times, ground.windows(times.begin, times.end))
    report = Surveyor(ground.buckets, spec, resources).survey()
    config = ground.config
    return SurveyedInstance(
        deployment.name, config.labels, report, times, report.failures, deployment.target, config
    )


def survey_one(parsed: Parsed, environ: Mapping[str, str], clock_time: datetime) -> SurveyedInstance:
    """Survey the one deployment that the flags describe; raises ConfigError."""
    with ExitStack() as opened:
        return survey(Deployment(parsed, grounds(parsed, environ, clock_time, opened)), ALONE)


def tell_unmatched(given: Parsed, reports: Sequence[SurveyReport]) -> None:
    """Warn of each --aggregation-id that matches nothing: it is probably misspelt."""
    names = {name for report in reports for name in report.aggregations}
    for pattern in Given(given.values).optional("aggregation-id", tuple) or ():
        if not any(map(matcher([pattern]), names)):
            what = f"--aggregation-id={printable(pattern)}"
            print(f"workflow-manager: {what}: matches no aggregation", file=sys.stderr)


def _open_instances(
    fleet: "Fleet", environ: Mapping[str, str], opened: ExitStack, *, queue: bool
) -> Deployments:
    from workflow_manager.fleet import target_flags  # noqa: PLC0415 (for files of instances only)

    now = utc_now()
    shared: dict[object, object] = {}
    chosen: list[Deployment] = []
    mistakes: list[Mistake] = []
    for one in fleet.instances:
        parsed = Parsed({**fleet.process.values, **one.values})
        try:
            ground, parts = _opened(parsed, environ, now, opened, shared, queue=queue)
        except ConfigError as error:
            mistakes.extend(one.located(error).mistakes)
            continue
        shard = fleet.shard if fleet.by_aggregation else WHOLE
        chosen.append(Deployment(parsed, ground, parts, one.name, target_flags(fleet, one.name), shard))
    if mistakes:
        raise ConfigError(dict.fromkeys(mistakes))
    pool = WorkerPool("survey", REQUESTS)
    opened.callback(pool.close)
    return Deployments(fleet.process, chosen, many=True, resources=SurveyResources(pool, MemoryBudget()))


def _opened(
    parsed: Parsed,
    environ: Mapping[str, str],
    now: datetime,
    opened: ExitStack,
    shared: dict[object, object],
    *,
    queue: bool,
) -> tuple[Grounds, Assembly | None]:
    if queue:
        parts = assemble(parsed, environ, now, opened, shared)
        return grounds_of(parsed, parts.config, parts.buckets, now), parts
    config, buckets = assemble_buckets(parsed, environ, now, opened, shared)
    return grounds_of(parsed, config, buckets, now), None
