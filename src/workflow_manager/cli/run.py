"""`workflow-manager run`: one pass over the buckets."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from workflow_manager.assembly import assemble, every_flag, read_flags, run_spec
from workflow_manager.cli.allocator import share_one_arena
from workflow_manager.cli.cpu import one_cpu
from workflow_manager.cli.interrupts import interruptible
from workflow_manager.cli.profiling import cpu_profile, memory_profile
from workflow_manager.config.run_config import RunConfig
from workflow_manager.core.report import RunReport
from workflow_manager.errors import MetricsError
from workflow_manager.flag_types import written
from workflow_manager.observe.event import Severity
from workflow_manager.observe.events import MetricsBounded, MetricsFailed, RunGivenUp
from workflow_manager.observe.logs import Logs
from workflow_manager.pipeline.scheduler import Scheduler
from workflow_manager.ports import Observer

SUMMARY = "Schedule intake and aggregation tasks for the batches in three buckets: one pass, then it ends."


def utc_now() -> datetime:
    """The time of this machine's clock."""
    return datetime.now(UTC)


def run(arguments: Sequence[str]) -> int:
    """Do one pass; the exit status: 0 all scheduled, 1 something failed, 130 or 143 interrupted."""
    environ = dict(os.environ)
    parsed = read_flags("run", SUMMARY, arguments, environ)
    if parsed.wants_help:
        print(every_flag("run", SUMMARY).help(), end="")
        return 0
    share_one_arena()
    with ExitStack() as opened:
        parts = assemble(parsed, environ, utc_now(), opened)
        config = parts.config
        logs = terminal_logs(config)
        queue = None if config.dry_run else parts.queue
        scheduler = Scheduler(parts.buckets, queue, run_spec(config, parts.buckets.ingestion.url), logs)
        with (
            one_cpu(),
            cpu_profile(config.cpuprofile),
            memory_profile(config.memprofile),
            interruptible(
                scheduler.stop,
                lambda: give_up(scheduler, config, logs),
                config.shutdown_grace,
                config.run_timeout,
            ) as interruption,
        ):
            report = scheduler.run()
    # A run that leaves the work to another must not put its own figures in the place of the other's.
    delivered = config.dry_run or report.superseded or deliver_metrics(config, report, logs)
    if sys.stdout.isatty():
        from workflow_manager.cli import summary  # noqa: PLC0415 (rich is for terminals only)

        summary.show(report)
    if interruption.exit_status is not None:
        return interruption.exit_status
    done = report.succeeded or report.left_to_another
    return 0 if done and delivered else 1


def give_up(scheduler: Scheduler, config: RunConfig, observer: Observer) -> None:
    """Say that a run did not end in time, in the logs and in the metrics, before it is ended by force."""
    report = scheduler.progress()
    observer.notify(RunGivenUp(written(config.shutdown_grace)))
    if not config.dry_run:
        deliver_metrics(config, report, observer)


def terminal_logs(config: RunConfig) -> Logs:
    """Where a run's events are written: standard error, as text on a terminal and else as JSON lines."""
    terminal = sys.stderr.isatty()
    return Logs(
        sys.stderr,
        utc_now,
        Severity(config.log_level.upper()),
        json_lines=config.log_format == "json" or (config.log_format == "auto" and not terminal),
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
            labels = {name: value for name, value in grouping.items() if value}
            metrics.write(report, ended, Path(config.metrics_file), labels)
        except MetricsError as error:
            errors.append(error)
    for failure in errors:
        observer.notify(MetricsFailed(str(failure)))
    return not errors
