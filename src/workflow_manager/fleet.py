"""Many instances: the file of `--config` and the command line -> what each instance is configured with.

An instance is what a single run works on: three buckets, a queue and its windows. The command line
goes before the file, an instance before the file's defaults, and all of them before the environment.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from workflow_manager.assembly import Assembly, assemble, every_flag, flags_of_kind
from workflow_manager.config.flags import (
    Flags,
    FlagText,
    Parsed,
    environment_twin,
    misspelt_variables,
    strange_variables,
)
from workflow_manager.config.fleet_flags import (
    AUTO,
    BY_AGGREGATION,
    CONFIG,
    FLEET,
    INSTANCE,
    SERVED,
    SHARD,
    SHARD_BY,
    SHARD_COUNT,
    shard_of_pod,
)
from workflow_manager.config.instances_file import DEFAULTS, Entry, InstancesFile, read_instances_file
from workflow_manager.config.run_config import Given
from workflow_manager.config.run_flags import BUCKETS, Group
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.flag_types import did_you_mean
from workflow_manager.queue_flags import KIND
from workflow_manager.survey.commands import quoted

# These hold for the process, whatever its instances are.
PROCESS_FLAGS = frozenset(
    {
        *(option.name for option in FLEET.options),
        *("cpuprofile", "log-format", "log-level", "memprofile", "shutdown-grace"),
        *("no-cpu-pinning", "no-malloc-tuning"),
    }
)


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """One instance: the values of its flags, and where each was given, for mistakes found later."""

    name: str
    values: Mapping[str, object]
    sources: Mapping[str, str] = field(compare=False)
    place: str = field(compare=False)

    def located(self, error: ConfigError) -> ConfigError:
        """The same mistakes, with the places in the file instead of the names of flags."""
        return ConfigError(mistake._replace(flag=self._where(mistake.flag)) for mistake in error.mistakes)

    def _where(self, flag: str) -> str:
        name = flag.removeprefix("--")
        return self.sources.get(name) or (f"{self.place}: {name}" if name else self.place)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a command with `--config` works on: the values of its own flags, and the chosen instances."""

    process: Parsed
    instances: tuple[InstanceConfig, ...] = ()
    shard: Shard = WHOLE
    by_aggregation: bool = False


def read_fleet(
    command: str,
    summary: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *more: Group,
    queue: bool = True,
    words: bool = False,
) -> Fleet:
    """The instances that a command line chooses; raises ConfigError with every mistake in all of them.

    For a command that uses no `queue`, instances need not have one. A command may take `words`.
    """
    known = flags_of_kind(command, summary, "", FLEET, SERVED, *more)
    process = Parsed()
    line = known.command_line(arguments, process)
    own = {*PROCESS_FLAGS, *(option.name for group in more for option in group.options)}
    known.take({name: text for name, text in line.items() if name in own}, environ, process)
    taken, process.words = (process.words, []) if words else ([], process.words)
    mistakes = process.all_mistakes()
    path = Given(process.values).text(CONFIG)
    if not path:
        raise ConfigError([*mistakes, Mistake(f"--{CONFIG}", "", "is required")])
    try:
        file = read_instances_file(path, environ)
    except ConfigError as error:
        raise ConfigError([*mistakes, *error.mistakes]) from error
    reading = _Reading(command, known, own, file, environ, queue=queue)
    mistakes += misspelt_variables(strange_variables(environ, known), known)
    instances = [reading.instance(name, line) for name in file.instances]
    mistakes += [*file.mistakes, *reading.mistakes, *_shared_buckets(instances)]
    chosen = _chosen(instances, Given(process.values).optional(INSTANCE, tuple) or (), mistakes)
    share = _share(Given(process.values), environ, mistakes)
    if mistakes:
        raise ConfigError(dict.fromkeys(mistakes))
    process.words = taken
    by_aggregation = process.values.get(SHARD_BY) == BY_AGGREGATION
    ours = [one for one in chosen if by_aggregation or share.owns(one.name)]
    return Fleet(process, tuple(ours), share, by_aggregation=by_aggregation)


def open_instance(
    instance: InstanceConfig,
    environ: Mapping[str, str],
    clock_time: datetime,
    opened: ExitStack,
    shared: dict[object, object] | None = None,
) -> Assembly:
    """The buckets and the queue of an instance, to be closed with `opened`; raises ConfigError.

    Instances with the same `shared` have tokens and the like in common.
    """
    try:
        return assemble(Parsed(dict(instance.values)), environ, clock_time, opened, shared)
    except ConfigError as error:
        raise instance.located(error) from error


def target_flags(fleet: Fleet, instance: str) -> str:
    """The flags that make a command work on one instance of the file, for people to copy."""
    path = Given(fleet.process.values).text(CONFIG)
    return f"--{CONFIG} {quoted(path)} --{INSTANCE} {quoted(instance)}"


class _Reading:
    """Turns what the file gives for each instance into values, and notes down the mistakes."""

    def __init__(
        self,
        command: str,
        known: Flags,
        own: set[str],
        file: InstancesFile,
        environ: Mapping[str, str],
        *,
        queue: bool,
    ) -> None:
        self.mistakes: list[Mistake] = []
        self._command = command
        self._known = known
        self._own = own
        self._file = file
        self._environ = environ
        self._queue = queue
        self._kinds: dict[str, Flags] = {}
        self._defaults = self._texts(DEFAULTS, file.defaults)

    def instance(self, name: str, over: Mapping[str, FlagText]) -> InstanceConfig:
        file = self._file
        given = {**self._defaults, **self._texts(name, file.instances[name]), **over}
        parsed = Parsed()
        owner = file.place(file.lines[name], name)
        try:
            flags = self._flags_of(given)
        except ConfigError as error:
            flags = self._known
            source = given[KIND].source if KIND in given else environment_twin(KIND)
            parsed.mistakes += [mistake._replace(flag=source) for mistake in error.mistakes]
        flags.take(given, self._environ, parsed, owner)
        # A mistake in the defaults, or on the command line, is one for all instances.
        self.mistakes += [mistake for mistake in parsed.mistakes if mistake not in self.mistakes]
        sources = {flag: text.source for flag, text in given.items()}
        return InstanceConfig(name, parsed.values, sources, owner)

    def _texts(self, owner: str, entries: Mapping[str, Entry]) -> dict[str, FlagText]:
        texts: dict[str, FlagText] = {}
        for key, entry in entries.items():
            place = self._file.place(entry.line, owner, key)
            option = self._known.option(key)
            if option is None:
                close = self._known.suggestion(key)
                problem = f"unknown key; did you mean {close}?" if close else "unknown key"
            elif option.name in self._own:
                problem = "belongs to the process, not to an instance; set it on the command line"
            elif option.name in texts:
                problem = f"is given twice; {option.name} is the same flag"
            else:
                texts[option.name] = FlagText(place, (entry.text,), entry.hidden)
                continue
            self.mistakes.append(Mistake(place, "", problem))
        return texts

    def _flags_of(self, given: Mapping[str, FlagText]) -> Flags:
        if not self._queue:
            return self._without_queue
        kind = given[KIND].texts[-1] if KIND in given else ""
        kind = kind or self._environ.get(environment_twin(KIND), "")
        if kind not in self._kinds:
            self._kinds[kind] = flags_of_kind(self._command, "", kind, FLEET, SERVED) if kind else self._run
        return self._kinds[kind]

    @cached_property
    def _without_queue(self) -> Flags:
        """The flags of an instance of which only the buckets are used: none of its queue is required."""
        buckets = {flag for flag, _ in BUCKETS}
        groups = every_flag(self._command, "", FLEET, SERVED).groups
        return Flags(
            self._command,
            "",
            [
                Group(
                    title,
                    tuple(one._replace(required=one.required and one.name in buckets) for one in options),
                )
                for title, options in groups
            ],
        )

    @cached_property
    def _run(self) -> Flags:
        """The flags of an instance that names no kind of queue, which is what will be said of it."""
        return flags_of_kind(self._command, "", "memory", FLEET, SERVED)


def _chosen(
    instances: Sequence[InstanceConfig], patterns: Iterable[str], mistakes: list[Mistake]
) -> list[InstanceConfig]:
    wanted = [pattern.strip() for given in patterns for pattern in given.split(",") if pattern.strip()]
    if not wanted:
        return list(instances)
    names = [instance.name for instance in instances]
    found: set[str] = set()
    for pattern in wanted:
        matching = set(_matching(pattern, names))
        if not matching:
            problem = f"no instance has this name{did_you_mean(pattern, names)}"
            mistakes.append(Mistake(f"--{INSTANCE}", pattern, problem))
        found |= matching
    return [instance for instance in instances if instance.name in found]


def _matching(pattern: str, names: Iterable[str]) -> Iterator[str]:
    """The names that a pattern matches. `*` stands for any characters; nothing else is special."""
    expression = re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
    return (name for name in names if expression.fullmatch(name))


def _share(given: Given, environ: Mapping[str, str], mistakes: list[Mistake]) -> Shard:
    wanted = given.optional(SHARD, object)
    if isinstance(wanted, Shard):
        return wanted
    if wanted != AUTO:
        return WHOLE
    count = given.optional(SHARD_COUNT, int)
    if count is None:
        mistakes.append(Mistake(f"--{SHARD}", AUTO, f"requires --{SHARD_COUNT}"))
        return WHOLE
    pod = environ.get("POD_NAME") or environ.get("HOSTNAME", "")
    found = shard_of_pod(count, environ.get("JOB_COMPLETION_INDEX", ""), pod)
    if found is None:
        mistakes.append(
            Mistake(
                f"--{SHARD}",
                AUTO,
                f"neither JOB_COMPLETION_INDEX nor the pod's name {pod!r} ends in an index below "
                f"--{SHARD_COUNT}={count}; set --{SHARD}=I/{count}",
            )
        )
    return found or WHOLE


def _shared_buckets(instances: Sequence[InstanceConfig]) -> Iterator[Mistake]:
    """Instances that keep their markers in one bucket would take each other's for their own."""
    first: dict[object, str] = {}
    flag = "own-validation-input"
    for instance in instances:
        if (url := instance.values.get(flag)) is None:
            continue
        other = first.setdefault(str(url).rstrip("/"), instance.name)
        if other != instance.name:
            source = instance.sources.get(flag, instance.place)
            yield Mistake(source, str(url), f"is the bucket of {other} too; give each instance its own")
