"""`workflow-manager run --config FILE`: one pass over each of many instances, several at a time."""

import json
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from workflow_manager.cli.allocator import share_one_arena
from workflow_manager.cli.cpu import one_cpu
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.interrupts import interruptible
from workflow_manager.cli.output import discard_output
from workflow_manager.cli.run_output import OUTPUT, SUMMARY, deliver_metrics, logs, run_document
from workflow_manager.config.run_config import Given, RunConfig
from workflow_manager.core.report import RunReport
from workflow_manager.flag_types import written
from workflow_manager.fleet import read_fleet
from workflow_manager.observe.stop_events import RunGivenUp
from workflow_manager.pipeline.shared_workers import SharedWorkers
from workflow_manager.ports import Observer
from workflow_manager.service.hints import Hints
from workflow_manager.service.instance_passes import InstancePasses, PassContext, open_passes
from workflow_manager.service.records import Records
from workflow_manager.service.timing import Outcome

PASSES = 32  # at a time
REQUESTS = {"listing": 64, "publishing": 64, "marking": 96}  # in flight, in all passes together


def run_many(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do one pass over each instance; the exit status is the worst of theirs."""
    fleet = read_fleet("run", SUMMARY, arguments, environ, OUTPUT)
    given = Given(fleet.process.values)
    if not given.get("no-malloc-tuning", bool):
        share_one_arena()
    observer = logs(given.text("log-level"), given.text("log-format"))
    grace = given.get("shutdown-grace", timedelta)
    ended = _Ended()
    with ExitStack() as opened:
        workers = SharedWorkers.of(**REQUESTS)
        shared = PassContext(Records(), ended.add, workers)
        passes = open_passes(fleet, environ, observer.labelled, shared, opened)
        if not given.get("no-cpu-pinning", bool):
            opened.enter_context(one_cpu())
        crew = _Crew(passes)
        interruption = opened.enter_context(
            interruptible(
                crew.interrupt,
                crew.interrupt,
                lambda _: observer.notify(RunGivenUp(written(grace), interrupted=True)),
                grace,
                None,
            )
        )
        failed = crew.work()
        workers.close()
    status = interruption.exit_status
    if status is None:
        status = ExitStatus.FAILED if failed else ended.status
    shown = ended.show([one.name for one in passes], status, as_json=given.get("json", bool))
    return status if shown or status != ExitStatus.DONE else ExitStatus.UNDELIVERED


class _Crew:
    """Threads that take one instance after the other."""

    def __init__(self, passes: Sequence[InstancePasses]) -> None:
        self._passes = passes
        self._left = deque(passes)
        self._failed = 0

    def work(self) -> int:
        """Do all passes; how many of them failed."""
        threads = [
            threading.Thread(target=self._take, name=f"pass_{number}", daemon=True)
            for number in range(min(PASSES, len(self._passes)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._failed

    def interrupt(self, reason: str) -> None:
        """End the passes under way; those that are not yet find out at once that they are to end."""
        for one in self._passes:
            one.interrupt(reason)

    def _take(self) -> None:
        while True:
            try:
                one = self._left.popleft()
            except IndexError:
                return
            if one.perform(Hints(), whole=True) is Outcome.FAILED:
                self._failed += 1


class _Ended:
    """The reports of the passes, by instance."""

    def __init__(self) -> None:
        self.status = ExitStatus.DONE
        self._reports: dict[str, tuple[RunConfig, RunReport]] = {}

    def add(self, name: str, config: RunConfig, report: RunReport, observer: Observer) -> None:
        """A pass has ended; deliver its metrics as those of a run."""
        self._reports[name] = (config, report)
        delivered = config.dry_run or deliver_metrics(config, report, observer)
        if not delivered:
            self.status = ExitStatus.UNDELIVERED

    def show(self, names: Sequence[str], status: int, *, as_json: bool) -> bool:
        """Print the reports, in the order of the file, if someone reads them; whether that went well."""
        try:
            if as_json:
                print(json.dumps(self._document(names, status), indent=2))
            elif sys.stdout.isatty():
                from workflow_manager.cli import summary  # noqa: PLC0415 (rich is for terminals only)

                for name in names:
                    if name in self._reports:
                        print(f"\n{name}")
                        summary.show(self._reports[name][1])
            sys.stdout.flush()
        except OSError as error:
            discard_output(error)
            return False
        return True

    def _document(self, names: Sequence[str], status: int) -> dict[str, Any]:
        ended = {name: self._reports[name] for name in names if name in self._reports}
        documents = {
            name: run_document(config, report, _status_of(report)) for name, (config, report) in ended.items()
        }
        return {"exit_status": status, "instances": documents}


def _status_of(report: RunReport) -> int:
    return ExitStatus.DONE if report.succeeded or report.left_to_another else ExitStatus.FAILED
