"""What commands that make runs share: their output, their logs, and the delivery of metrics."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_manager import flag_types
from workflow_manager.config.run_config import RunConfig
from workflow_manager.config.run_flags import Group
from workflow_manager.core.report import RunReport
from workflow_manager.errors import MetricsError
from workflow_manager.observe.event import Severity
from workflow_manager.observe.events import MetricsBounded, MetricsFailed
from workflow_manager.observe.logs import Logs
from workflow_manager.ports import Observer, Option

if TYPE_CHECKING:
    from workflow_manager.observe.samples import Samples
    from workflow_manager.report.surveyed import SurveyedInstance

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
    """Deliver the metrics of a run; see `deliver_samples`."""
    if not config.push_gateway and not config.metrics_file:
        return True
    from workflow_manager.observe.samples import (  # noqa: PLC0415 (not every run delivers metrics)
        MOST_AGGREGATIONS,
        run_samples,
    )

    if report.aggregations > MOST_AGGREGATIONS:
        observer.notify(MetricsBounded(report.aggregations, MOST_AGGREGATIONS))
    return deliver_samples(config, run_samples(report, time.time()), observer)


def deliver_survey(surveyed: "SurveyedInstance") -> bool:
    """Deliver the metrics of a survey, unless in a dry run; see `deliver_samples`."""
    config, report = surveyed.config, surveyed.report
    if config is None or report is None or config.dry_run or not (config.push_gateway or config.metrics_file):
        return True
    from workflow_manager.observe.samples import MOST_AGGREGATIONS  # noqa: PLC0415 (as above)
    from workflow_manager.survey.survey_samples import survey_samples  # noqa: PLC0415 (as above)

    observer = terminal_logs(config)
    if len(report.aggregations) > MOST_AGGREGATIONS:
        observer.notify(MetricsBounded(len(report.aggregations), MOST_AGGREGATIONS))
    return deliver_samples(config, survey_samples(report), observer)


def deliver_samples(config: RunConfig, samples: "Samples", observer: Observer) -> bool:
    """Push and write metrics, as far as that was asked for; whether all of it went well."""
    from workflow_manager.observe import metrics  # noqa: PLC0415 (its import costs more than a small run)

    grouping = {"locality": config.k8s_namespace, "ingestor": config.ingestor_label}
    errors = []
    if config.push_gateway:
        try:
            metrics.push(samples, config.push_gateway, grouping)
        except MetricsError as error:
            errors.append(error)
    if config.metrics_file:
        try:
            metrics.write(samples, Path(config.metrics_file), config.labels)
        except MetricsError as error:
            errors.append(error)
    for failure in errors:
        observer.notify(MetricsFailed(str(failure)))
    return not errors
