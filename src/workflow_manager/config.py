"""The configuration of a run: one frozen record, made from the values of flags and checked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from workflow_manager.core.windows import FUTURE, HOUR, MINUTE, Window, aggregation_window, intake_window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Patience

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a run was told. Times are UTC; an empty text means that a flag was not given."""

    intake_tasks_topic: str
    aggregate_tasks_topic: str
    intake: Window
    aggregation: Window
    is_first: bool = False
    dry_run: bool = False
    max_enqueue_workers: int = 100
    max_list_workers: int = 24
    max_marker_workers: int = 64
    lease: bool = True
    lease_duration: timedelta = timedelta(minutes=2)
    shutdown_grace: timedelta = timedelta(seconds=20)
    run_timeout: timedelta | None = None
    request_timeout: timedelta = timedelta(minutes=2)
    push_gateway: str = ""
    k8s_namespace: str = ""
    ingestor_label: str = ""
    metrics_file: str = ""
    log_level: str = "info"
    log_format: str = "auto"
    cpuprofile: str = ""
    memprofile: str = ""


class Given:
    """The values of flags, by name; each is of the type that the flag's parser makes."""

    def __init__(self, parsed: Mapping[str, object]) -> None:
        self._parsed = parsed

    def get(self, name: str, kind: type[T], default: T) -> T:
        """The value of a flag, or `default` if it has none."""
        value = self._parsed.get(name, default)
        if not isinstance(value, kind):
            raise TypeError(f"--{name} is a {type(value).__name__}, not a {kind.__name__}")
        return value

    def text(self, name: str) -> str:
        """The value of a flag that is text; empty if it was not given."""
        return self.get(name, str, "")


def configure(parsed: Mapping[str, object], clock_time: datetime) -> Config:
    """The configuration from the values of flags, by their names; raises ConfigError.

    The windows are worked out here, so that impossible ones are found before any work.
    """
    given = Given(parsed)
    intake, aggregation = _windows(given, clock_time)
    return Config(
        intake=intake,
        aggregation=aggregation,
        is_first=given.get("is-first", bool, default=False),
        dry_run=given.get("dry-run", bool, default=False),
        intake_tasks_topic=given.text("intake-tasks-topic"),
        aggregate_tasks_topic=given.text("aggregate-tasks-topic"),
        max_enqueue_workers=given.get("max-enqueue-workers", int, 100),
        max_list_workers=given.get("max-list-workers", int, 24),
        max_marker_workers=given.get("max-marker-workers", int, 64),
        lease=not given.get("no-lease", bool, default=False),
        lease_duration=given.get("lease-duration", timedelta, timedelta(minutes=2)),
        shutdown_grace=given.get("shutdown-grace", timedelta, timedelta(seconds=20)),
        run_timeout=given.get("run-timeout", timedelta, timedelta(0)) or None,
        request_timeout=given.get("request-timeout", timedelta, timedelta(minutes=2)),
        push_gateway=given.text("push-gateway"),
        k8s_namespace=given.text("k8s-namespace"),
        ingestor_label=given.text("ingestor-label"),
        metrics_file=given.text("metrics-file"),
        log_level=given.text("log-level"),
        log_format=given.text("log-format"),
        cpuprofile=given.text("cpuprofile"),
        memprofile=given.text("memprofile"),
    )


def patience(parsed: Mapping[str, object]) -> Patience:
    """How long requests may take, from the values of flags."""
    given = Given(parsed)
    usual = Patience()

    def seconds(name: str, default: float) -> float:
        return given.get(name, timedelta, timedelta(seconds=default)).total_seconds()

    return Patience(
        seconds("connect-timeout", usual.connect_timeout),
        seconds("read-timeout", usual.read_timeout),
        given.get("request-tries", int, usual.tries),
        seconds("request-timeout", usual.total_timeout),
    )


def _windows(given: Given, clock_time: datetime) -> tuple[Window, Window]:
    now = given.get("now", datetime, clock_time)
    max_age = given.get("intake-max-age", timedelta, HOUR)
    period = given.get("aggregation-period", timedelta, HOUR)
    grace = given.get("grace-period", timedelta, HOUR)
    mistakes = []
    if period < MINUTE or period % MINUTE:
        mistakes.append(Mistake("--aggregation-period", str(period), "must be one or more whole minutes"))
    if max_age < -FUTURE:
        mistakes.append(Mistake("--intake-max-age", str(max_age), "no time would lie in the window"))
    if mistakes:
        raise ConfigError(mistakes)
    try:
        time = given.get("aggregation-override-timestamp", datetime, now - grace - period)
        return intake_window(now, max_age), aggregation_window(time, period)
    except OverflowError:
        raise ConfigError(
            [Mistake("--now", now.isoformat(), "the windows would lie outside all time")]
        ) from None
