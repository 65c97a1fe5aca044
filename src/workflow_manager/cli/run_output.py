"""What commands that make runs share: their output, their logs, and the delivery of metrics."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workflow_manager import flag_types
from workflow_manager.config.run_config import RunConfig
from workflow_manager.config.run_flags import Group
from workflow_manager.core.report import RunReport
from workflow_manager.errors import MetricsError
from workflow_manager.observe.event import Severity
from workflow_manager.observe.events import MetricsBounded, MetricsFailed
from workflow_manager.observe.logs import Logs
from workflow_manager.ports import Observer, Option

SUMMARY = "Schedule intake and aggregation tasks for the batches in three buckets, in one pass."
OUTPUT = Group(
    "Output",
    (
        Option(
            "json",
            "print a report of the run as one JSON document",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
    ),
)


def utc_now() -> datetime:
    """The time of this machine's clock."""
    return datetime.now(UTC)


def run_document(config: RunConfig, report: RunReport, status: int) -> dict[str, Any]:
    """The report as the JSON document that `--json` prints."""
    from workflow_manager.report.run_document import RunDocument, document  # noqa: PLC0415 (for --json only)

    around = RunDocument(
        status,
        config.k8s_namespace,
        config.ingestor_label,
        config.intake,
        config.aggregation,
        report.succeeded,
        report.total(),
    )
    return document(around, report)


def terminal_logs(config: RunConfig) -> Logs:
    """Where a run's events are written: standard error, as text on a terminal and else as JSON lines."""
    return logs(config.log_level, config.log_format).labelled(config.labels)


def logs(level: str, form: str) -> Logs:
    """Where events of this level or above are written; `form` is as --log-format has it."""
    terminal = sys.stderr.isatty()
    return Logs(
        sys.stderr,
        utc_now,
        Severity(level.upper()),
        json_lines=form == "json" or (form == "auto" and not terminal),
        colour=terminal and not os.environ.get("NO_COLOR"),
    )


def deliver_metrics(config: RunConfig, report: RunReport, observer: Observer) -> bool:
    """Push and write the metrics, as far as that was asked for; whether all of it went well."""
    if not config.push_gateway and not config.metrics_file:
        return True
    from workflow_manager.observe import metrics  # noqa: PLC0415 (its import costs more than a small run)

    if report.aggregations > metrics.MOST_AGGREGATIONS:
        observer.notify(MetricsBounded(report.aggregations, metrics.MOST_AGGREGATIONS))
    ended = time.time()
    grouping = {"locality": config.k8s_namespace, "ingestor": config.ingestor_label}
    errors = []
    if config.push_gateway:
        try:
            metrics.push(report, ended, config.push_gateway, grouping)
        except MetricsError as error:
            errors.append(error)
    if config.metrics_file:
        try:
            metrics.write(report, ended, Path(config.metrics_file), config.labels)
        except MetricsError as error:
            errors.append(error)
    for failure in errors:
        observer.notify(MetricsFailed(str(failure)))
    return not errors
