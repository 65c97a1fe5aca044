"""A run's figures as Prometheus gauges: pushed to a Pushgateway, or written to a file."""

from base64 import b64encode
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway, write_to_textfile
from prometheus_client.exposition import basic_auth_handler, default_handler
from prometheus_client.parser import text_string_to_metric_families

from workflow_manager.core.report import FIGURES, Figures, Kind, RunReport
from workflow_manager.errors import MetricsError

JOB = "workflow-manager"
PREFIX = "workflow_manager_"
LAST_SUCCESS = f"{PREFIX}last_success_seconds"
LAST_FAILURE = f"{PREFIX}last_failure_seconds"
RUNTIME = f"{PREFIX}runtime_seconds"
FAILURES = f"{PREFIX}failures"
OTHERS = "(others)"
# Others name the aggregations, and each name makes a time series of every gauge.
MOST_AGGREGATIONS = 1000
TIMEOUT = 10.0  # seconds that a Pushgateway gets to answer

ABOUT = {
    "ingestions_found": "ready batches in the intake window",
    "incomplete_ingestions_found": "incomplete batches in the intake window",
    "aggregate_ingestions_found": "ready batches in the aggregation window",
    "aggregate_incomplete_ingestions_found": "incomplete batches in the aggregation window",
    "peer_validations_found": "ready peer validations in the aggregation window",
    "incomplete_peer_validations_found": "incomplete peer validations in the aggregation window",
    "aggregate_ingestions_missing_peer_validation": (
        "ready batches in the aggregation window without a ready peer validation"
    ),
    "malformed_objects_found": "objects skipped because their names are malformed",
    "intake_tasks_scheduled": "intake tasks that the queue acknowledged",
    "intake_tasks_skipped_due_to_marker": "intake tasks not scheduled because their marker exists",
    "intake_tasks_failed": "intake tasks that could not be published or marked",
    "intake_tasks_left": "intake tasks not tried because the run stopped early; left for the next run",
    "aggregation_tasks_scheduled": "aggregation tasks that the queue acknowledged",
    "aggregation_tasks_skipped_due_to_marker": "aggregation tasks not scheduled because their marker exists",
    "aggregation_tasks_failed": "aggregation tasks that could not be decided, published or marked",
    "aggregation_tasks_left": (
        "aggregation tasks not decided or not tried because the run stopped early; left for the next run"
    ),
    "number_of_batches_in_aggregation": "batches in the aggregation task that was scheduled",
    "aggregate_batches_left_out": (
        "ready and validated batches that the task of an already scheduled window did not name"
    ),
}
RUN_GAUGES = {
    LAST_SUCCESS: "when a run last ended without failure, in seconds since 1970",
    LAST_FAILURE: "when a run last ended with a failure, in seconds since 1970",
    RUNTIME: "how long the last run without failure took, in seconds",
}


def bounded(figures: Mapping[str, Figures]) -> dict[str, Figures]:
    """The figures of as many aggregations as may become labels; those of the rest summed up as `OTHERS`.

    Those with the most ready batches are kept, as names alone cost nothing to make up.
    """
    if len(figures) <= MOST_AGGREGATIONS:
        return dict(figures)
    ranked = sorted(figures, key=lambda name: (-figures[name].ingestions_found, name))
    kept = {name: figures[name] for name in ranked[:MOST_AGGREGATIONS]}
    others = kept[OTHERS] = Figures()
    for name in ranked[MOST_AGGREGATIONS:]:
        others.add(figures[name])
    return kept


def push(report: RunReport, ended: float, gateway: str, grouping: Mapping[str, str]) -> None:
    """Add the figures to the group of a Pushgateway; gauges that they do not name stay.

    `ended` is in seconds since 1970. Raises MetricsError.
    """
    registry = _registry(report, _outcome(report, ended), {})
    place, credentials = _split(gateway)
    handler = default_handler
    if credentials:
        handler = partial(basic_auth_handler, username=credentials[0], password=credentials[1])
    try:
        pushadd_to_gateway(
            place, job=JOB, registry=registry, grouping_key=dict(grouping), timeout=TIMEOUT, handler=handler
        )
    except (OSError, ValueError, HTTPException) as error:
        raise MetricsError(
            "push metrics to", place, _cause(error), "tasks are not affected; is the Pushgateway up?"
        ) from error


def probe(gateway: str) -> str:
    """Find out whether a Pushgateway answers, with the user and password of its URL; raises MetricsError.

    Nothing is pushed. What answers only /metrics, as some of its look-alikes do, will do.
    """
    place, credentials = _split(gateway)
    headers = {}
    if credentials:
        token = b64encode(":".join(credentials).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    for path in ("/-/ready", "/metrics"):
        request = UrlRequest(place.rstrip("/") + path, headers=headers)  # noqa: S310 (the flag takes only http(s))
        try:
            with urlopen(request, timeout=TIMEOUT):  # noqa: S310 (as above)
                return f"answers {path}"
        except (OSError, ValueError, HTTPException) as error:
            status = error.code if isinstance(error, HTTPError) else 0
            if status == HTTPStatus.NOT_FOUND:
                cause = f"neither /-/ready nor /metrics answers: {error}"
                continue
            refused = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
            advice = (
                "correct the user and password in --push-gateway" if refused else "is the Pushgateway up?"
            )
            raise MetricsError("reach", place, _cause(error), advice) from error
    raise MetricsError("reach", place, cause, "correct --push-gateway")


def without_password(gateway: str) -> str:
    """A Pushgateway's URL as it may be shown."""
    return _split(gateway)[0]


def _split(gateway: str) -> tuple[str, tuple[str, str] | None]:
    """A Pushgateway's URL without user and password, and these if there are any."""
    parts = urlsplit(gateway)
    place = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.username is None:
        return place, None
    return place, (unquote(parts.username), unquote(parts.password or ""))


def _cause(error: Exception) -> str:
    return str(error.reason if type(error) is URLError else error)


def write(report: RunReport, ended: float, path: Path, labels: Mapping[str, str]) -> None:
    """Write the figures to a file, at once or not at all; see `push`.

    As on a Pushgateway, a failed run keeps the file's last success and its run time,
    and a successful one keeps the last failure. Raises MetricsError.
    """
    outcome = _previous(path) | _outcome(report, ended)
    try:
        write_to_textfile(str(path), _registry(report, outcome, labels))
    except (OSError, ValueError) as error:
        raise MetricsError(
            "write metrics to", str(path), str(error), "tasks are not affected; check --metrics-file"
        ) from error


def _outcome(report: RunReport, ended: float) -> dict[str, float]:
    """The gauges of a run's end; of one that a signal ended without any failure, none."""
    if report.succeeded:
        return {LAST_SUCCESS: ended, RUNTIME: report.runtime_seconds}
    return {LAST_FAILURE: ended} if report.failure_count else {}


def _registry(
    report: RunReport, outcome: Mapping[str, float], labels: Mapping[str, str]
) -> CollectorRegistry:
    registry = CollectorRegistry()
    by_aggregation = bounded(report.figures)
    for name in FIGURES:
        gauge = Gauge(PREFIX + name, ABOUT[name], [*labels, "aggregation_id"], registry=registry)
        for aggregation, figures in by_aggregation.items():
            gauge.labels(*labels.values(), aggregation).set(getattr(figures, name))
    failures = Gauge(FAILURES, "failures of the last run", [*labels, "kind"], registry=registry)
    for kind in Kind:  # all of them, so that none of an earlier run stays
        failures.labels(*labels.values(), kind.value).set(report.failed.get(kind, 0))
    for name, value in outcome.items():
        gauge = Gauge(name, RUN_GAUGES[name], list(labels), registry=registry)
        (gauge.labels(*labels.values()) if labels else gauge).set(value)
    return registry


def _previous(path: Path) -> dict[str, float]:
    """The outcome gauges of an earlier run's file, if there is one."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")  # noqa: TRY301 (told as the others are)
        text = path.read_text("utf-8") if path.exists() else ""
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in RUN_GAUGES
        }
    except (OSError, ValueError) as error:
        advice = "tasks are not affected; delete the file if it is damaged, or correct --metrics-file"
        raise MetricsError("read the metrics of the run before in", str(path), str(error), advice) from error
