"""Runs planned passes one after the other, each as a separate run."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from workflow_manager.assembly import Assembly
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.interrupts import interruptible
from workflow_manager.cli.run_output import terminal_logs
from workflow_manager.core.report import Figures, RunReport
from workflow_manager.flag_types import written
from workflow_manager.observe.stop_events import RunGivenUp
from workflow_manager.observe.wording import counted
from workflow_manager.pipeline.scheduler import RunSpec, Scheduler
from workflow_manager.survey.backfill_plan import PlannedPass

PAUSE = 5.0  # seconds between attempts to take a lease that another run holds
LEASES_WAITED = 10  # how many lease durations to wait for the lease

# Called after each pass with its number of tasks.
Advance = Callable[[int], None]


class Passes:
    """Runs the passes of a plan. If another run holds the lease, retries the pass later."""

    def __init__(
        self,
        parts: Assembly,
        plan: Sequence[PlannedPass],
        spec: RunSpec,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._parts = parts
        self._plan = plan
        self._spec = spec
        self._lock = threading.Lock()
        self._running: Scheduler | None = None
        self._stopped = threading.Event()
        self._total = Figures()
        config = parts.config
        if sys.stderr.isatty() and config.log_level == "info":  # a line per task would hide the progress bar
            config = config._replace(log_level="warning")
        self._logs = terminal_logs(config).labelled(labels or {})
        self._failures = 0

    def carry_out(self) -> int:
        """Run all passes; return the exit status."""
        config = self._parts.config
        with (
            interruptible(
                lambda reason: self._stop(reason, Scheduler.interrupt),
                lambda reason: self._stop(reason, Scheduler.time_out),
                lambda _: self._give_up(),
                config.shutdown_grace,
                config.run_timeout,
            ) as interruption,
            _progress(self._plan) as advance,
        ):
            done = self._all(advance)
        total = self._total
        print(
            f"scheduled {counted(total.intake_tasks_scheduled, 'intake task')} and"
            f" {counted(total.aggregation_tasks_scheduled, 'aggregation task')}"
            + (
                f"; {counted(self._failures, 'failure')}"
                if self._failures
                else self._repeated()
                if done
                else ""
            )
            + ("" if done else "; stopped early: run the same backfill again to continue")
        )
        if interruption.exit_status is not None:
            return interruption.exit_status
        return ExitStatus.DONE if done and not self._failures else ExitStatus.FAILED

    def _repeated(self) -> str:
        """How many of the planned tasks were published again for the same reason before."""
        if self._spec.repetition is None:
            return ""
        planned = sum(one.intake_tasks + one.aggregation_tasks for one in self._plan)
        others = planned - self._total.intake_tasks_scheduled - self._total.aggregation_tasks_scheduled
        return f"; {others} already published again for this reason" if others > 0 else ""

    def _all(self, advance: Advance) -> bool:
        """Whether all passes ran to the end."""
        for planned in self._plan:
            report = self._one(planned)
            if report is None:
                return False
            self._failures += report.failure_count
            self._total.add(report.total())
            if report.stopped or report.queue_full:
                return False
            advance(planned.intake_tasks + planned.aggregation_tasks)
        return True

    def _one(self, planned: PlannedPass) -> RunReport | None:
        """Run a pass once no other run holds the lease; None if that takes too long."""
        spec = self._spec._replace(
            intake=planned.intake,
            aggregation=planned.aggregation,
            aggregations=planned.aggregations,
        )
        until = time.monotonic() + LEASES_WAITED * self._parts.config.lease_duration.total_seconds()
        while not self._stopped.is_set() and time.monotonic() < until:
            scheduler = Scheduler(self._parts.buckets, self._parts.queue, spec, self._logs)
            with self._lock:
                self._running = scheduler
            if self._stopped.is_set():
                return None
            report = scheduler.run()
            if not report.left_to_another:
                return report
            self._stopped.wait(PAUSE)
        return None

    def _stop(self, reason: str, stop: Callable[[Scheduler, str], None]) -> None:
        """Start no more passes, and let the current one finish what is in flight."""
        self._stopped.set()
        with self._lock:
            running = self._running
        if running is not None:
            stop(running, reason)

    def _give_up(self) -> None:
        grace = written(self._parts.config.shutdown_grace)
        self._logs.notify(RunGivenUp(grace, interrupted=True))


@contextmanager
def _progress(plan: Sequence[PlannedPass]) -> Iterator[Advance]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 (for terminals only)
    from rich.progress import (  # noqa: PLC0415 (as above)
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    total = sum(one.intake_tasks + one.aggregation_tasks for one in plan)
    columns = (
        TextColumn("tasks"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("tasks", total=total)
        yield lambda count: progress.advance(bar, count)
