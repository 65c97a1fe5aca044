"""`workflow-manager run`: one pass over the buckets."""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workflow_manager import flag_types
from workflow_manager.assembly import assemble, every_flag, read_flags, run_spec
from workflow_manager.cli.allocator import share_one_arena
from workflow_manager.cli.cpu import one_cpu
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.interrupts import interruptible
from workflow_manager.cli.output import discard_output
from workflow_manager.cli.profiling import cpu_profile, memory_profile
from workflow_manager.config.run_config import RunConfig
from workflow_manager.config.run_flags import Group
from workflow_manager.core.report import RunReport
from workflow_manager.errors import MetricsError
from workflow_manager.flag_types import written
from workflow_manager.observe.event import Severity
from workflow_manager.observe.events import MetricsBounded, MetricsFailed
from workflow_manager.observe.logs import Logs
from workflow_manager.observe.stop_events import RunGivenUp
from workflow_manager.pipeline.scheduler import Scheduler
from workflow_manager.ports import Observer, Option

SUMMARY = "Schedule intake and aggregation tasks for the batches in three buckets: one pass, then it ends."
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


def run(arguments: Sequence[str]) -> int:
    """Do one pass; its exit status."""
    environ = dict(os.environ)
    parsed = read_flags("run", SUMMARY, arguments, environ, OUTPUT)
    if parsed.wants_help:
        print(every_flag("run", SUMMARY, OUTPUT).help(), end="")
        return ExitStatus.DONE
    with ExitStack() as opened:
        parts = assemble(parsed, environ, utc_now(), opened)
        config = parts.config
        if config.malloc_tuning:
            share_one_arena()
        logs = terminal_logs(config)
        queue = None if config.dry_run else parts.queue
        scheduler = Scheduler(parts.buckets, queue, run_spec(parts), logs)
        delivery = ReportDelivery(config, logs, as_json=parsed.values["json"] is True)
        with (
            one_cpu() if config.cpu_pinning else nullcontext(),
            cpu_profile(config.cpuprofile),
            memory_profile(config.memprofile),
            interruptible(
                scheduler.interrupt,
                scheduler.time_out,
                lambda status: delivery.give_up(scheduler.progress(), status),
                config.shutdown_grace,
                config.run_timeout,
            ) as interruption,
        ):
            report = scheduler.run()
    return delivery.finish(report, interruption.exit_status)


class ReportDelivery:
    """What is done with the report of a run: the metrics, the exit status, and what is printed."""

    def __init__(self, config: RunConfig, observer: Observer, *, as_json: bool) -> None:
        self._config = config
        self._observer = observer
        self._as_json = as_json

    def finish(self, report: RunReport, interrupted: int | None) -> int:
        """Deliver and print the report of a run that has ended; its exit status.

        `interrupted` is the status of the signal that stopped it, if one did.
        """
        # A run that leaves the work to another must not replace the other's figures with its own.
        delivered = report.superseded or self._deliver(report)
        if interrupted is not None:
            status = interrupted
        elif not (report.succeeded or report.left_to_another):
            status = ExitStatus.FAILED
        else:
            status = ExitStatus.DONE if delivered else ExitStatus.UNDELIVERED
        if not self._print(report, status) and status == ExitStatus.DONE:
            return ExitStatus.UNDELIVERED
        return status

    def give_up(self, report: RunReport, status: int) -> None:
        """Say that a run did not end in time, before it is ended by force with this exit status."""
        self._observer.notify(RunGivenUp(written(self._config.shutdown_grace), report.interrupted))
        self._deliver(report)
        self._print(report, status)

    def _deliver(self, report: RunReport) -> bool:
        return self._config.dry_run or deliver_metrics(self._config, report, self._observer)

    def _print(self, report: RunReport, status: int) -> bool:
        """Print the report if someone is there to read it; whether that went well."""
        try:
            if self._as_json:
                print(json.dumps(run_document(self._config, report, status), indent=2))
            elif sys.stdout.isatty():
                from workflow_manager.cli import summary  # noqa: PLC0415 (rich is for terminals only)

                summary.show(report)
            sys.stdout.flush()
        except OSError as error:
            discard_output(error)
            return False
        return True


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
    terminal = sys.stderr.isatty()
    return Logs(
        sys.stderr,
        utc_now,
        Severity(config.log_level.upper()),
        json_lines=config.log_format == "json" or (config.log_format == "auto" and not terminal),
        colour=terminal and not os.environ.get("NO_COLOR"),
        labels=config.labels,
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
