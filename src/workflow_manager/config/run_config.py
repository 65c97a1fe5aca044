"""The configuration of a run: one frozen record, made from the values of flags and checked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from workflow_manager.core.names import BatchIds
from workflow_manager.core.windows import FUTURE, MINUTE, Window, aggregation_window, intake_window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.flag_types import written
from workflow_manager.ports import RetryPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunConfig:
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
    cpuprofile: str
    memprofile: str


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
    intake, aggregation = _windows(given, clock_time)
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


def _windows(given: Given, clock_time: datetime) -> tuple[Window, Window]:
    now = given.optional("now", datetime) or clock_time
    max_age = given.get("intake-max-age", timedelta)
    period = given.get("aggregation-period", timedelta)
    grace = given.get("grace-period", timedelta)
    mistakes = []
    if period < MINUTE or period % MINUTE:
        mistakes.append(Mistake("--aggregation-period", written(period), "must be one or more whole minutes"))
    if max_age < -FUTURE:
        mistakes.append(Mistake("--intake-max-age", written(max_age), "no time would lie in the window"))
    if mistakes:
        raise ConfigError(mistakes)
    try:
        time = given.optional("aggregation-override-timestamp", datetime) or now - grace - period
        return intake_window(now, max_age), aggregation_window(time, period)
    except OverflowError:
        raise ConfigError(
            [Mistake("--now", now.isoformat(), "the windows would lie outside all time")]
        ) from None
