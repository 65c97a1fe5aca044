"""The composition root: a command line -> the configuration, and the stores and queue that it names.

Nothing else asks the registry for stores and queues.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from workflow_manager import registry
from workflow_manager.config.flags import Flags, Parsed, misspelt_variables, strange_variables
from workflow_manager.config.run_config import RunConfig, configure, retry_policy
from workflow_manager.config.run_flags import BUCKETS, GROUPS, TASK_FLAGS, Group
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.hashes import sha256
from workflow_manager.notices import NotificationSource
from workflow_manager.observe.request_counts import BUCKET_NAMES, BucketCounts
from workflow_manager.pipeline.lease import LeaseExpiry
from workflow_manager.pipeline.publish import Topics
from workflow_manager.pipeline.scheduler import Buckets, LeaseTerms, RunSpec, Workers
from workflow_manager.ports import ObjectStore, Settings, TaskQueue
from workflow_manager.queue_flags import KIND, flags_of_kinds, unknown_kind

WITHOUT_QUEUE = [
    group._replace(options=tuple(option._replace(required=False) for option in group.options))
    if group is TASK_FLAGS
    else group
    for group in GROUPS
]


class Assembly(NamedTuple):
    """Everything that a command needs to work on the buckets and the queue.

    The queue tries to publish only until `lease_expiry`. `counts` has the requests to the buckets.
    """

    config: RunConfig
    buckets: Buckets[ObjectStore]
    queue: TaskQueue
    lease_expiry: LeaseExpiry
    counts: BucketCounts


def read_flags(
    command: str,
    summary: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *more: Group,
    queue: bool = True,
) -> Parsed:
    """Read the flags of a run, those that the chosen kind of queue adds, and the command's own.

    A command that uses no `queue` requires none of the flags of one.
    Flags of other kinds are known too, and left aside: one deployment's template often
    gives all of them. Those kinds are loaded only if such a flag is there, or a variable that
    may be one of theirs, or a misspelt one.
    """
    chosen = Flags(command, summary, GROUPS).parse(arguments, environ).values.get(KIND)
    first = [str(chosen)] if chosen and registry.is_queue_kind(str(chosen)) else []
    needed = first if queue else []
    groups = [*(GROUPS if queue else WITHOUT_QUEUE), *more]
    parsed = flags_of_kinds(command, summary, needed, needed, groups).parse(arguments, environ)
    if parsed.unknown:
        parsed = flags_of_kinds(command, summary, registry.queue_kinds(), needed, groups).parse(
            arguments, environ
        )
    kinds = flags_of_kinds(command, summary, needed, needed, groups)
    strange = strange_variables(environ, kinds)
    if strange:
        every = flags_of_kinds(command, summary, registry.queue_kinds(), needed, groups)
        parsed.mistakes.extend(misspelt_variables(strange, every))
    if queue and chosen and not first:
        parsed.mistakes.append(Mistake(f"--{KIND}", str(chosen), unknown_kind(str(chosen))))
    return parsed


def queue_kinds() -> list[str]:
    """The kinds of queue that are installed."""
    return registry.queue_kinds()


def every_flag(command: str, summary: str, *more: Group) -> Flags:
    """The flags of a run with those of all kinds of queue, for help and the reference."""
    kinds = registry.queue_kinds()
    return flags_of_kinds(command, summary, kinds, kinds, [*GROUPS, *more])


def flags_without_queue(command: str, summary: str, *more: Group, usage: str = "") -> Flags:
    """The flags of a command that uses no queue, for help: the others are accepted, and left aside."""
    shown = [group for group in GROUPS if group is not TASK_FLAGS]
    return Flags(command, summary, [*more, *shown], usage)


def flags_of_kind(command: str, summary: str, kind: str, *more: Group) -> Flags:
    """The flags of a run as `every_flag` has them, but only those of this `kind` of queue may be required.

    Raises ConfigError if there is no such kind. Without a kind no flag is required at all.
    """
    if not kind:
        groups = [
            Group(title, tuple(option._replace(required=False) for option in options))
            for title, options in every_flag(command, summary, *more).groups
        ]
        return Flags(command, summary, groups)
    if not registry.is_queue_kind(kind):
        raise ConfigError([Mistake(f"--{KIND}", kind, unknown_kind(kind))])
    return flags_of_kinds(command, summary, registry.queue_kinds(), [kind], [*GROUPS, *more])


def assemble(
    parsed: Parsed,
    environ: Mapping[str, str],
    clock_time: datetime,
    opened: ExitStack,
    shared: dict[object, object] | None = None,
) -> Assembly:
    """The parts that the flags name, to be closed with `opened`.

    Raises ConfigError with every mistake that can be found without sending a request.
    """
    mistakes = parsed.all_mistakes()
    queue, expiry, counts = None, LeaseExpiry(), BucketCounts()
    config = _configured(parsed, clock_time, mistakes)
    shared = {} if shared is None else shared
    stores = open_stores(parsed, environ, opened, mistakes, shared, counts)
    mistakes.extend(_same_buckets(stores))
    if not mistakes:
        try:
            policy = retry_policy(parsed.values)._replace(until=expiry)
            settings = Settings(
                parsed.values,
                environ=environ,
                retry_policy=policy,
                shared=shared,
                labels=config.labels if config else {},
                marker_bucket=stores[BUCKETS[1][0]].url,
            )
            queue = open_queue(str(parsed.values[KIND]), settings, opened)
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes or config is None or queue is None:
        raise ConfigError(mistakes)
    return Assembly(config, Buckets(*stores.values()), queue, expiry, counts)


def assemble_buckets(
    parsed: Parsed,
    environ: Mapping[str, str],
    clock_time: datetime,
    opened: ExitStack,
    shared: dict[object, object] | None = None,
) -> tuple[RunConfig, Buckets[ObjectStore]]:
    """The configuration and the buckets for a command that uses no queue; see `assemble`."""
    mistakes = parsed.all_mistakes()
    config = _configured(parsed, clock_time, mistakes)
    stores = open_stores(parsed, environ, opened, mistakes, shared)
    if mistakes or config is None:
        raise ConfigError(mistakes)
    return config, Buckets(*stores.values())


def _configured(parsed: Parsed, clock_time: datetime, mistakes: list[Mistake]) -> RunConfig | None:
    try:
        return configure(parsed.values, clock_time)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
        return None


def open_stores(
    parsed: Parsed,
    environ: Mapping[str, str],
    opened: ExitStack,
    mistakes: list[Mistake],
    shared: dict[object, object] | None = None,
    counts: BucketCounts | None = None,
) -> dict[str, ObjectStore]:
    """The buckets that URLs are given for, by their flags, to be closed with `opened`.

    Mistakes are added to `mistakes`; `shared` is what adapters have in common; `counts` gets their requests.
    """
    stores, counted, kept = {}, counts or BucketCounts(), {} if shared is None else shared
    for name, (bucket, identity) in zip(BUCKET_NAMES, BUCKETS, strict=True):
        if bucket not in parsed.values:
            continue
        url, role = str(parsed.values[bucket]), str(parsed.values.get(identity, ""))
        settings = Settings({}, role, environ, retry_policy(parsed.values), kept, counted.of(name))
        try:
            stores[bucket] = open_store(f"--{bucket}", url, settings, opened)
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    return stores


def _same_buckets(stores: Mapping[str, ObjectStore]) -> Iterator[Mistake]:
    """Buckets that are given twice: markers and validations would mix with the batches."""
    first: dict[str, str] = {}
    for flag, store in stores.items():
        other = first.setdefault(store.url, flag)
        if other != flag:
            yield Mistake(f"--{flag}", store.url, f"is also the bucket of --{other}; use different buckets")


def open_store(flag: str, url: str, settings: Settings, opened: ExitStack) -> ObjectStore:
    """The bucket at a URL given with `flag`, to be closed with `opened`; raises ConfigError."""
    with _naming(flag, url):
        store = registry.store(urlsplit(url).scheme).open(url, settings)
    opened.callback(store.close)
    return store


def open_queue(kind: str, settings: Settings, opened: ExitStack) -> TaskQueue:
    """The queue of a kind, to be closed with `opened`; raises ConfigError."""
    with _naming("--task-queue-kind", kind):
        queue = registry.queue(kind).open(settings)
    opened.callback(queue.close)
    return queue


def open_source(url: str, settings: Settings) -> NotificationSource:
    """The source of notifications at a URL; raises ConfigError."""
    return registry.source(urlsplit(url).scheme).open(url, settings)


def run_spec(parts: Assembly, shard: Shard = WHOLE) -> RunSpec:
    """What the run is to do. Runs over the same ingestion bucket exclude each other.

    Those of several shards do not, as they share out its aggregations.
    """
    config, ingestion = parts.config, parts.buckets.ingestion.url
    if shard != WHOLE:
        ingestion += f" shard {shard}"
    scope = sha256(ingestion.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    lease = LeaseTerms(scope, config.lease_duration.total_seconds(), parts.lease_expiry)
    return RunSpec(
        config.intake,
        config.aggregation,
        Topics(config.intake_tasks_topic, config.aggregate_tasks_topic),
        config.is_first,
        Workers(config.max_list_workers, config.max_enqueue_workers, config.max_marker_workers),
        lease if config.lease else None,
        # One request that nobody answers is no reason yet, but a few side by side are.
        config.request_timeout.total_seconds() / 2,
        batch_ids=config.batch_ids,
        allow_overlapping_windows=config.allow_overlapping_windows,
        names_incomplete=config.log_level == "debug",
        shard=shard,
    )


@contextmanager
def _naming(flag: str, value: str) -> Iterator[None]:
    """Name the flag in mistakes that an adapter, which knows nothing of flags, has found."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            mistake if mistake.flag else Mistake(flag, value, mistake.problem) for mistake in error.mistakes
        ) from None
