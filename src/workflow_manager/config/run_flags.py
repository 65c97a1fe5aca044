"""The flags of a run, in the groups that `--help` shows."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from workflow_manager import flag_types
from workflow_manager.core.lease_names import LONGEST
from workflow_manager.ports import Option


class Group(NamedTuple):
    """Flags that belong together, as `--help` shows them."""

    title: str
    options: tuple[Option, ...]


def _bucket_url(text: str) -> str:
    if not urlsplit(text).scheme or "://" not in text:
        raise ValueError(
            "not a valid bucket URL: use s3://{region}/{name}, gs://{name} or file:///{directory}"
        )
    return text


def _gateway_url(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False  # the port is no number, or too large a one
    if not good or not text.isprintable() or " " in text:
        raise ValueError("not a valid Pushgateway URL, such as http://pushgateway:9091")
    return parts.geturl()


def _lease_duration(text: str) -> timedelta:
    duration = flag_types.positive_duration(text)
    if duration.total_seconds() > LONGEST:
        raise ValueError("must not exceed 1h: other runs ignore longer leases as signs of a wrong clock")
    return duration


BUCKET_FLAGS = Group(
    "Buckets",
    (
        Option("ingestor-input", "bucket of ingestion batches", parse=_bucket_url, required=True),
        Option("ingestor-identity", "role to assume for reading the ingestion bucket"),
        Option(
            "own-validation-input",
            "bucket of our own validations, where markers are kept",
            parse=_bucket_url,
            required=True,
        ),
        Option("own-validation-identity", "role to assume for reading and writing our own validation bucket"),
        Option("peer-validation-input", "bucket of the peer's validations", parse=_bucket_url, required=True),
        Option("peer-validation-identity", "role to assume for reading the peer's validation bucket"),
    ),
)
_WINDOWS = Group(
    "What to schedule",
    (
        Option(
            "is-first",
            'whether we are the "first" data share processor (the PHA server, index 0)',
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option(
            "intake-max-age",
            "maximum age of batches to schedule for intake",
            "1h",
            flag_types.non_negative_duration,
        ),
        Option("aggregation-period", "length of an aggregation window", "3h", flag_types.duration),
        Option(
            "grace-period",
            "how long to wait after a window ends before aggregating it",
            "1h",
            flag_types.duration,
        ),
        Option(
            "aggregation-override-timestamp",
            "aggregate the window that contains this time (YYYYMMDDHHmm, UTC) instead of the latest due one",
            parse=flag_types.minute,
        ),
        Option(
            "allow-unfinished-window",
            "aggregate a window that has not ended yet; batches that arrive later are left out of its sum",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option(
            "allow-overlapping-windows",
            "schedule an aggregation even if its window overlaps one that is already scheduled",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option(
            "batch-ids",
            "batch IDs to accept: uuid, or any (facilitator workers crash on an ID that is not a UUID)",
            "uuid",
            flag_types.one_of("uuid", "any"),
        ),
        Option(
            "now",
            "compute the windows for this time (RFC 3339) instead of the current time",
            parse=flag_types.instant,
        ),
        Option(
            "dry-run",
            "log what a run would do, without any side effects",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
    ),
)
TASK_FLAGS = Group(
    "Task queue",
    (
        Option("task-queue-kind", "kind of queue to publish tasks to", required=True),
        Option("intake-tasks-topic", "topic for intake tasks", required=True),
        Option("aggregate-tasks-topic", "topic for aggregation tasks", required=True),
        Option(
            "max-enqueue-workers",
            "maximum number of concurrent publish requests",
            "100",
            flag_types.at_least_one,
        ),
    ),
)
_WORKERS = Group(
    "Requests to buckets",
    (
        Option("max-list-workers", "maximum number of concurrent listings", "24", flag_types.at_least_one),
        Option(
            "max-marker-workers", "maximum number of concurrent marker writes", "64", flag_types.at_least_one
        ),
    ),
)
_OUTPUT = Group(
    "Metrics and logs",
    (
        Option(
            "push-gateway",
            "URL of a Prometheus Pushgateway to push metrics to; may contain a user and password",
            parse=_gateway_url,
            secret=True,
        ),
        Option("k8s-namespace", "grouping key `locality` of pushed metrics; field of log lines"),
        Option("ingestor-label", "grouping key `ingestor` of pushed metrics; field of log lines"),
        Option(
            "metrics-file",
            "file to write the metrics to, for node-exporter's textfile collector",
            parse=flag_types.path,
        ),
        Option(
            "log-level",
            "minimum severity to log: debug, info, warning or error",
            "info",
            flag_types.one_of("debug", "info", "warning", "error"),
        ),
        Option(
            "log-format",
            "json, text, or auto: text on a terminal and JSON elsewhere",
            "auto",
            flag_types.one_of("auto", "json", "text"),
        ),
    ),
)
RETRY_FLAGS = Group(
    "Timeouts and retries",
    (
        Option(
            "connect-timeout", "timeout for establishing a connection", "5s", flag_types.positive_duration
        ),
        Option(
            "read-timeout", "how long to wait for data from a service", "30s", flag_types.positive_duration
        ),
        Option("request-tries", "maximum number of tries per request", "6", flag_types.at_least_one),
        Option(
            "request-timeout",
            "timeout of a request, including all its tries and the pauses between them",
            "2m",
            flag_types.positive_duration,
        ),
    ),
)
_SAFETY = Group(
    "Concurrent runs and shutdown",
    (
        Option(
            "no-lease",
            "do not prevent other runs on the same buckets from working at the same time",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option(
            "lease-duration",
            "how long the lease of a killed run blocks other runs; at most 1h",
            "2m",
            _lease_duration,
        ),
        Option(
            "shutdown-grace",
            "how long to wait at shutdown until the tasks in flight are published and marked",
            "20s",
            flag_types.positive_duration,
        ),
        Option(
            "run-timeout", "shut down gracefully if a run takes longer", parse=flag_types.positive_duration
        ),
    ),
)
_PROCESS = Group(
    "The process",
    (
        Option(
            "no-cpu-pinning",
            "do not pin the threads of a run to one CPU (Linux only)",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option(
            "no-malloc-tuning",
            "do not limit the C library to one memory arena (glibc only)",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
        Option("cpuprofile", "file to write a CPU profile to", parse=flag_types.path),
        Option("memprofile", "file to write a memory profile to", parse=flag_types.path),
    ),
)
# The flags of each bucket: its URL, and the role to use it with.
BUCKETS = (
    ("ingestor-input", "ingestor-identity"),
    ("own-validation-input", "own-validation-identity"),
    ("peer-validation-input", "peer-validation-identity"),
)
GROUPS: Sequence[Group] = (
    BUCKET_FLAGS,
    _WINDOWS,
    TASK_FLAGS,
    _WORKERS,
    _OUTPUT,
    RETRY_FLAGS,
    _SAFETY,
    _PROCESS,
)
