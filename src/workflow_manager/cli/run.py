"""`workflow-manager run`: one pass over the buckets."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace

from workflow_manager.assembly import Assembly, assemble, every_flag, read_flags, run_spec
from workflow_manager.cli.allocator import share_one_arena
from workflow_manager.cli.cpu import one_cpu
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.interrupts import interruptible
from workflow_manager.cli.output import discard_output
from workflow_manager.cli.profiling import cpu_profile, memory_profile
from workflow_manager.cli.run_output import (
    OUTPUT,
    SUMMARY,
    deliver_metrics,
    run_document,
    terminal_logs,
    utc_now,
)
from workflow_manager.config.flags import Flags
from workflow_manager.config.fleet_flags import FLEET, wants_many
from workflow_manager.config.run_config import RunConfig
from workflow_manager.core.report import RunReport
from workflow_manager.flag_types import written
from workflow_manager.observe.stop_events import RunGivenUp
from workflow_manager.pipeline.scheduler import Scheduler
from workflow_manager.ports import Observer


def flags() -> Flags:
    """The flags of `run`."""
    return every_flag("run", SUMMARY, OUTPUT, FLEET)


def run(arguments: Sequence[str]) -> int:
    """Do one pass; its exit status."""
    environ = dict(os.environ)
    if wants_many(arguments, environ):
        from workflow_manager.cli.run_many import run_many  # noqa: PLC0415 (a single run needs none of it)

        return run_many(arguments, environ)
    parsed = read_flags("run", SUMMARY, arguments, environ, OUTPUT)
    with ExitStack() as opened:
        parts = assemble(parsed, environ, utc_now(), opened)
        config = parts.config
        if config.malloc_tuning:
            share_one_arena()
        observer = terminal_logs(config)
        queue = None if config.dry_run else parts.queue
        scheduler = Scheduler(parts.buckets, queue, run_spec(parts), observer)
        delivery = ReportDelivery(config, observer, as_json=parsed.values["json"] is True)
        with (
            one_cpu() if config.cpu_pinning else nullcontext(),
            cpu_profile(config.cpuprofile),
            memory_profile(config.memprofile),
            interruptible(
                scheduler.interrupt,
                scheduler.time_out,
                lambda status: delivery.give_up(_counted(scheduler.progress(), parts), status),
                config.shutdown_grace,
                config.run_timeout,
            ) as interruption,
        ):
            report = _counted(scheduler.run(), parts)
    return delivery.finish(report, interruption.exit_status)


def _counted(report: RunReport, parts: Assembly) -> RunReport:
    """The report with the requests to the buckets."""
    return replace(report, transfers=parts.counts.transfers())


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
        delivered = self._deliver(report)
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
