"""The configuration of a run: its flags, and one frozen record made from them and checked once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from workflow_manager import values
from workflow_manager.core.windows import FUTURE, HOUR, MINUTE, Window, aggregation_window, intake_window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Option

T = TypeVar("T")


class Group(NamedTuple):
    """Flags that belong together, as `--help` shows them."""

    title: str
    options: tuple[Option, ...]


def _bucket_url(text: str) -> str:
    if not urlsplit(text).scheme or "://" not in text:
        raise ValueError("not a bucket's URL: s3://{region}/{name}, gs://{name} or file:///{directory}")
    return text


def _gateway_url(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not the URL of a Pushgateway, such as http://pushgateway:9091")
    return parts.geturl()


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return text

    return parse


BUCKET_FLAGS = Group(
    "Buckets",
    (
        Option("ingestor-input", "bucket of ingestion batches", parse=_bucket_url, required=True),
        Option("ingestor-identity", "role to read the ingestion bucket with"),
        Option(
            "own-validation-input",
            "bucket of our own validations, where markers are kept",
            parse=_bucket_url,
            required=True,
        ),
        Option("own-validation-identity", "role to read and write our own validation bucket with"),
        Option("peer-validation-input", "bucket of the peer's validations", parse=_bucket_url, required=True),
        Option("peer-validation-identity", "role to read the peer's validation bucket with"),
    ),
)
_WINDOWS = Group(
    "What to schedule",
    (
        Option(
            "is-first",
            'whether we are the "first" data share processor (the PHA server, index 0)',
            "false",
            values.boolean,
            is_switch=True,
        ),
        Option("intake-max-age", "how far back batches are taken in", "1h", values.duration),
        Option("aggregation-period", "length of an aggregation window", "3h", values.duration),
        Option("grace-period", "how long a window is left to fill after its end", "1h", values.duration),
        Option(
            "aggregation-override-timestamp",
            "aggregate the window that holds this time (YYYYMMDDHHmm, UTC) instead of the latest due",
            parse=values.minute,
        ),
        Option(
            "now",
            "evaluate the windows as of this time (RFC 3339) instead of the clock's",
            parse=values.instant,
        ),
        Option(
            "dry-run", "only say what would be done: no side effects", "false", values.boolean, is_switch=True
        ),
    ),
)
_TASKS = Group(
    "Task queue",
    (
        Option("task-queue-kind", "kind of queue that tasks are published to", required=True),
        Option("intake-tasks-topic", "topic for intake tasks", required=True),
        Option("aggregate-tasks-topic", "topic for aggregation tasks", required=True),
        Option("max-enqueue-workers", "most publish requests in flight", "100", values.at_least_one),
    ),
)
_OUTPUT = Group(
    "Metrics and logs",
    (
        Option("push-gateway", "URL of a Prometheus Pushgateway to push metrics to", parse=_gateway_url),
        Option("k8s-namespace", "grouping key `locality` of pushed metrics"),
        Option("ingestor-label", "grouping key `ingestor` of pushed metrics"),
        Option("metrics-file", "file to write the metrics to, for node-exporter's textfile collector"),
        Option(
            "log-level",
            "least severity to log: debug, info, warning or error",
            "info",
            _one_of("debug", "info", "warning", "error"),
        ),
        Option(
            "log-format",
            "json, text, or auto: text on a terminal and JSON elsewhere",
            "auto",
            _one_of("auto", "json", "text"),
        ),
    ),
)
_PROFILING = Group(
    "Profiling",
    (
        Option("cpuprofile", "file to write a CPU profile to"),
        Option("memprofile", "file to write a memory profile to"),
    ),
)
# The flags of each bucket: its URL, and the role to use it with.
BUCKETS = (
    ("ingestor-input", "ingestor-identity"),
    ("own-validation-input", "own-validation-identity"),
    ("peer-validation-input", "peer-validation-identity"),
)
GROUPS: Sequence[Group] = (BUCKET_FLAGS, _WINDOWS, _TASKS, _OUTPUT, _PROFILING)


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
        push_gateway=given.text("push-gateway"),
        k8s_namespace=given.text("k8s-namespace"),
        ingestor_label=given.text("ingestor-label"),
        metrics_file=given.text("metrics-file"),
        log_level=given.text("log-level"),
        log_format=given.text("log-format"),
        cpuprofile=given.text("cpuprofile"),
        memprofile=given.text("memprofile"),
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
