"""`workflow-manager backfill`: schedule what runs have missed, in passes planned from a survey."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from workflow_manager.assembly import every_flag, run_spec
from workflow_manager.cli.backfill_order import Order, read_order
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.passes import Passes
from workflow_manager.cli.surveying import (
    Deployment,
    Deployments,
    open_deployments,
    show,
    show_name,
    tell_failures,
    tell_unmatched,
)
from workflow_manager.config.backfill_flags import BACKFILL
from workflow_manager.config.flags import Flags, Parsed
from workflow_manager.config.fleet_flags import FLEET
from workflow_manager.config.run_config import Given
from workflow_manager.core.marker_record import MarkerRecord, marker_name
from workflow_manager.core.windows import Window
from workflow_manager.errors import ConfigError, Mistake, StorageError
from workflow_manager.errors import explain as explained
from workflow_manager.observe.wording import counted, quote, span
from workflow_manager.pipeline.recorded import MarkerReader
from workflow_manager.survey.backfill_plan import BackfillRange, Only, PlannedPass
from workflow_manager.survey.findings import SurveyReport
from workflow_manager.survey.surveyor import Surveyor

SUMMARY = """\
Schedule every task in a range of time that is due and has no marker: intake of ready batches, however old,
and aggregation windows that have ended. Prints the plan, then schedules tasks as runs do, with the same lease
and markers. If it is stopped or killed, run it again to continue. Pushes no metrics. With --config, plans for
all instances first, asks once, and then works on one instance after the other.

With --again, publishes tasks that already have markers again instead. --dry-run stops after the plan."""


@dataclass(frozen=True, slots=True)
class _Findings:
    """What the buckets of a deployment say: about a range (`report`), or about one marker (`record`)."""

    order: Order
    report: SurveyReport | None = None
    record: MarkerRecord | None = None
    failures: Sequence[str] = ()


def flags() -> Flags:
    """The flags of `backfill`."""
    return Flags("backfill", SUMMARY, [BACKFILL, *every_flag("backfill", SUMMARY, FLEET).groups])


def backfill(arguments: Sequence[str]) -> int:
    """Plan, ask for confirmation, and schedule; 0 if everything planned is scheduled."""
    environ = dict(os.environ)
    with ExitStack() as opened:
        wanted = open_deployments(("backfill", SUMMARY, BACKFILL), arguments, environ, opened, queue=True)
        plans: list[tuple[Deployment, Order, list[PlannedPass]]] = []
        reports: list[SurveyReport] = []
        marker_exists = not wanted.given.values.get("marker")
        status = ExitStatus.DONE
        for deployment, findings in wanted.each(partial(_find, wanted)):
            show_name(deployment)
            if findings.report is not None:
                reports.append(findings.report)
            marker_exists = marker_exists or findings.record is not None
            plan = _plan(deployment, findings)
            if plan is None:
                status = ExitStatus.FAILED
            elif plan and not deployment.ground.config.dry_run:
                plans.append((deployment, findings.order, plan))
        if reports:
            tell_unmatched(wanted.given, reports)
        if not marker_exists:
            status = ExitStatus.FAILED
        if not plans or not _agreed(wanted.given, plans):
            return status
        return _carry_out(plans, status)


def _find(wanted: Deployments, deployment: Deployment) -> _Findings:
    ground = deployment.ground
    order = read_order(deployment.parsed, ground.rules)
    if order.times is not None:
        begin, end = ground.around(order.times)
        spec = deployment.spec(order.times, Window(begin, end))
        report = Surveyor(ground.buckets, spec, wanted.resources).survey()
        return _Findings(order, report, failures=report.failures)
    failures: list[str] = []
    reader = MarkerReader(ground.buckets.own, lambda error: failures.append(explained(error)))
    try:
        return _Findings(order, record=reader.read(order.marker), failures=failures)
    except StorageError as error:
        return _Findings(order, failures=[explained(error)])


def _plan(deployment: Deployment, findings: _Findings) -> list[PlannedPass] | None:
    """Print and return the passes; None if there is no complete plan."""
    order, report = findings.order, findings.report
    if report is not None:
        show(report)
    tell_failures(deployment.name, findings.failures)
    if findings.failures:
        tell_failures(deployment.name, ["nothing was scheduled, because the plan is incomplete"])
        return None
    if report is None:
        return _marker_plan(deployment, order, findings.record)
    only = Given(deployment.parsed.values).text("only")
    assert order.times is not None
    wanted = BackfillRange(order.times, Only(only) if only else None, order.repetition is not None)
    for refused in wanted.refused(report):
        print(f"not planned: window {span(refused.window)} of {quote(refused.aggregation)}: {refused.reason}")
    return _told(order, wanted.plan(report))


def _marker_plan(deployment: Deployment, order: Order, record: MarkerRecord | None) -> list[PlannedPass]:
    assert order.only is not None
    assert order.repetition is not None
    name = quote(marker_name(order.marker))
    if record is None:
        print(f"not planned: there is no marker {name} in {deployment.ground.buckets.own.url}")
        return []
    if not order.repetition.wants(order.marker, record):
        print(f"the task of {name} was already published again for this reason; give another --reason")
        return []
    return _told(order, [order.only])


def _told(order: Order, plan: list[PlannedPass]) -> list[PlannedPass]:
    print(f"planned{' to publish again' if order.repetition else ''}: {_tasks(plan)}")
    return plan


def _tasks(plan: Sequence[PlannedPass]) -> str:
    intake, aggregation = (
        sum(one.intake_tasks for one in plan),
        sum(one.aggregation_tasks for one in plan),
    )
    passes = counted(len(plan), "step")
    return f"{counted(intake, 'intake task')} and {counted(aggregation, 'aggregation task')} in {passes}"


def _agreed(parsed: Parsed, plans: Sequence[tuple[Deployment, Order, list[PlannedPass]]]) -> bool:
    """Whether to continue; asks on a terminal."""
    if parsed.values["yes"]:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError([Mistake("--yes", "", "is required unless stdin and stdout are a terminal")])
    if len(plans) > 1:
        every = [planned for _, _, plan in plans for planned in plan]
        print(f"\n{counted(len(plans), 'instance')}: {_tasks(every)}")
    return input("Schedule these tasks? [y/N] ").strip().lower() in ("y", "yes")


def _carry_out(plans: Sequence[tuple[Deployment, Order, list[PlannedPass]]], status: int) -> int:
    """Do the passes of one deployment after the other. One that fails does not stop the others."""
    for deployment, order, plan in plans:
        show_name(deployment)
        parts = deployment.parts
        assert parts is not None
        spec = run_spec(parts, deployment.shard)._replace(repetition=order.repetition)
        labels = {"instance": deployment.name} if deployment.name else {}
        ended = Passes(parts, plan, spec, labels).carry_out()
        if ended > ExitStatus.FOUND:  # a signal ended it, and is meant for all
            return ended
        status = max(status, ended)
    return status
