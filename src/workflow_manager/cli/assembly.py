"""A command line -> a checked configuration and the parts that it names, or all its mistakes at once."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from workflow_manager.cli import wiring
from workflow_manager.cli.flags import Flags, Parsed
from workflow_manager.config import Config, configure, patience
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.options import BUCKETS, GROUPS, Group
from workflow_manager.pipeline.scheduler import Buckets
from workflow_manager.ports import ObjectStore, Settings, TaskQueue

KIND = "task-queue-kind"


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that a command needs to work on the buckets and the queue."""

    config: Config
    buckets: Buckets[ObjectStore]
    queue: TaskQueue


def read_flags(
    command: str, summary: str, arguments: Sequence[str], environ: Mapping[str, str], *more: Group
) -> Parsed:
    """Read the flags of a run, those that the chosen kind of queue adds, and the command's own.

    Flags of other kinds are known too, and left aside: one deployment's template often
    gives all of them. Those kinds are loaded only if such a flag is there.
    """
    chosen = Flags(command, summary, GROUPS).parse(arguments, environ).values.get(KIND)
    first = [str(chosen)] if chosen and wiring.is_queue_kind(str(chosen)) else []
    parsed = flags_of_kinds(command, summary, first, first, *more).parse(arguments, environ)
    if parsed.unknown:
        parsed = flags_of_kinds(command, summary, wiring.queue_kinds(), first, *more).parse(
            arguments, environ
        )
    if chosen and not first:
        problem = f"there is no such kind of queue; there are {', '.join(wiring.queue_kinds())}"
        parsed.mistakes.append(Mistake(f"--{KIND}", str(chosen), problem))
    return parsed


def flags_of_kinds(
    command: str, summary: str, kinds: Sequence[str], needed: Sequence[str], *more: Group
) -> Flags:
    """The flags of a run with those of `kinds` and `more`; only the `needed` kinds may require any."""
    groups = [*GROUPS, *more]
    for kind in kinds:
        options = tuple(
            option if kind in needed else replace(option, required=False)
            for option in wiring.queue_options(kind)
        )
        if options:
            groups.append(Group(f"Task queue: {kind}", options))
    return Flags(command, summary, groups)


def assemble(parsed: Parsed, environ: Mapping[str, str], clock_time: datetime, opened: ExitStack) -> Assembly:
    """The parts that the flags name, to be closed with `opened`.

    Raises ConfigError with every mistake that can be found without sending a request.
    """
    mistakes = parsed.all_mistakes()
    config, queue = None, None
    try:
        config = configure(parsed.values, clock_time)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    stores = open_stores(parsed, environ, opened, mistakes)
    if not mistakes:
        try:
            settings = Settings(parsed.values, environ=environ, patience=patience(parsed.values))
            queue = wiring.open_queue(str(parsed.values[KIND]), settings, opened)
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes or config is None or queue is None:
        raise ConfigError(mistakes)
    return Assembly(config, Buckets(*stores.values()), queue)


def open_stores(
    parsed: Parsed, environ: Mapping[str, str], opened: ExitStack, mistakes: list[Mistake]
) -> dict[str, ObjectStore]:
    """The buckets that URLs are given for, by their flags, to be closed with `opened`.

    Mistakes are added to `mistakes`.
    """
    stores = {}
    for bucket, identity in BUCKETS:
        if bucket not in parsed.values:
            continue
        url, role = str(parsed.values[bucket]), str(parsed.values.get(identity, ""))
        settings = Settings(identity=role, environ=environ, patience=patience(parsed.values))
        try:
            stores[bucket] = wiring.open_store(f"--{bucket}", url, settings, opened)
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    return stores
