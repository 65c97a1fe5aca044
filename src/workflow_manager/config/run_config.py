"""The configuration of a run: one frozen record, made from the values of flags and checked once."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from workflow_manager.core.names import BatchIds
from workflow_manager.core.windows import MINUTE, Window, aggregation_window, intake_window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.flag_types import written
from workflow_manager.ports import RetryPolicy

T = TypeVar("T")

_OUTSIDE = "fall outside years 1 to 9999"
_ALLOWED = (
    ": batches that arrive later would be left out of the sum for good"
    " (--allow-unfinished-window aggregates it all the same)"
)


class RunConfig(NamedTuple):
    """Everything that a run was told. Times are UTC; an empty text means that a flag was not given."""

    intake_tasks_topic: str
    aggregate_tasks_topic: str
    intake: Window
    aggregation: Window
    is_first: bool
    batch_ids: BatchIds
    allow_overlapping_windows: bool
    dry_run: bool
    max_enqueue_workers: int
    max_list_workers: int
    max_marker_workers: int
    lease: bool
    lease_duration: timedelta
    shutdown_grace: timedelta
    run_timeout: timedelta | None
    request_timeout: timedelta
    push_gateway: str
    k8s_namespace: str
    ingestor_label: str
    metrics_file: str
    log_level: str
    log_format: str
    cpu_pinning: bool
    malloc_tuning: bool
    cpuprofile: str
    memprofile: str

    @property
    def labels(self) -> dict[str, str]:
        """What tells this deployment from others, as far as it was given: `locality` and `ingestor`."""
        labels = {"locality": self.k8s_namespace, "ingestor": self.ingestor_label}
        return {name: value for name, value in labels.items() if value}


class Given:
    """The values of flags, by name; each is of the type that the flag's parser makes."""

    def __init__(self, parsed: Mapping[str, object]) -> None:
        self._parsed = parsed

    def get(self, name: str, kind: type[T]) -> T:
        """The value of a flag that has a default."""
        value = self._parsed[name]
        if not isinstance(value, kind):
            raise TypeError(f"--{name} is a {type(value).__name__}, not a {kind.__name__}")
        return value

    def optional(self, name: str, kind: type[T]) -> T | None:
        """The value of a flag; None if it was not given."""
        return self.get(name, kind) if name in self._parsed else None

    def text(self, name: str) -> str:
        """The value of a flag that is text; empty if it was not given."""
        return self.optional(name, str) or ""


def configure(parsed: Mapping[str, object], clock_time: datetime) -> RunConfig:
    """The configuration from the values of flags, by their names; raises ConfigError.

    The windows are worked out here, so that impossible ones are found before any work.
    """
    given = Given(parsed)
    mistakes = _topic_mistakes(given)
    try:
        intake, aggregation = _windows(given, clock_time)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return RunConfig(
        intake=intake,
        aggregation=aggregation,
        is_first=given.get("is-first", bool),
        batch_ids=BatchIds(given.text("batch-ids")),
        allow_overlapping_windows=given.get("allow-overlapping-windows", bool),
        dry_run=given.get("dry-run", bool),
        intake_tasks_topic=given.text("intake-tasks-topic"),
        aggregate_tasks_topic=given.text("aggregate-tasks-topic"),
        max_enqueue_workers=given.get("max-enqueue-workers", int),
        max_list_workers=given.get("max-list-workers", int),
        max_marker_workers=given.get("max-marker-workers", int),
        lease=not given.get("no-lease", bool),
        lease_duration=given.get("lease-duration", timedelta),
        shutdown_grace=given.get("shutdown-grace", timedelta),
        run_timeout=given.optional("run-timeout", timedelta),
        request_timeout=given.get("request-timeout", timedelta),
        push_gateway=given.text("push-gateway"),
        k8s_namespace=given.text("k8s-namespace"),
        ingestor_label=given.text("ingestor-label"),
        metrics_file=given.text("metrics-file"),
        log_level=given.text("log-level"),
        log_format=given.text("log-format"),
        cpu_pinning=not given.get("no-cpu-pinning", bool),
        malloc_tuning=not given.get("no-malloc-tuning", bool),
        cpuprofile=given.text("cpuprofile"),
        memprofile=given.text("memprofile"),
    )


def retry_policy(parsed: Mapping[str, object]) -> RetryPolicy:
    """How long requests may take, from the values of flags."""
    given = Given(parsed)
    return RetryPolicy(
        given.get("connect-timeout", timedelta).total_seconds(),
        given.get("read-timeout", timedelta).total_seconds(),
        given.get("request-tries", int),
        given.get("request-timeout", timedelta).total_seconds(),
    )


def _topic_mistakes(given: Given) -> list[Mistake]:
    topic = given.text("aggregate-tasks-topic")
    if not topic or topic != given.text("intake-tasks-topic"):
        return []
    problem = "is also the topic for intake tasks; use one topic for each kind of task"
    return [Mistake("--aggregate-tasks-topic", topic, problem)]


def _windows(given: Given, clock_time: datetime) -> tuple[Window, Window]:
    now = given.optional("now", datetime) or clock_time
    max_age = given.get("intake-max-age", timedelta)
    mistakes = []
    try:
        intake = intake_window(now, max_age)
    except OverflowError:
        mistakes.append(Mistake("--now", now.isoformat(), f"the intake window would {_OUTSIDE}"))
    try:
        aggregation = _aggregation(given, now)
    except ConfigError as error:
        mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return intake, aggregation


def _aggregation(given: Given, now: datetime) -> Window:
    """The window to aggregate; raises ConfigError, also if it has not ended and that is not allowed."""
    override = given.optional("aggregation-override-timestamp", datetime)
    period, grace = given.get("aggregation-period", timedelta), given.get("grace-period", timedelta)
    unfinished = given.get("allow-unfinished-window", bool)
    if period < MINUTE or period % MINUTE:
        raise _mistake("aggregation-period", written(period), "must be one or more whole minutes")
    if grace < timedelta(0) and not unfinished:
        raise _mistake("grace-period", written(grace), f"must not be negative{_ALLOWED}")
    try:
        window = aggregation_window(override or now - grace - period, period)
    except OverflowError:
        problem = f"the aggregation window would {_OUTSIDE}"
        if override:
            raise _mistake("aggregation-override-timestamp", f"{override:%Y%m%d%H%M}", problem) from None
        raise _mistake("now", now.isoformat(), problem) from None
    if override and window.end > now and not unfinished:
        ends = (
            f"its window ends at {window.end:%Y-%m-%dT%H:%MZ}, and it is {now:%Y-%m-%dT%H:%MZ} now{_ALLOWED}"
        )
        raise _mistake("aggregation-override-timestamp", f"{override:%Y%m%d%H%M}", ends)
    return window


def _mistake(flag: str, value: str, problem: str) -> ConfigError:
    return ConfigError([Mistake(f"--{flag}", value, problem)])
