"""`workflow-manager backfill`: schedule what runs have missed, in passes planned from a survey."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_manager.assembly import Assembly, assemble, every_flag, read_flags, run_spec
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.passes import Passes
from workflow_manager.cli.run_output import utc_now
from workflow_manager.cli.survey_text import report_lines
from workflow_manager.cli.surveying import Grounds, grounds_of
from workflow_manager.config.backfill_flags import BACKFILL
from workflow_manager.config.flags import Flags, Parsed
from workflow_manager.config.run_config import Given
from workflow_manager.core.names import aggregate_marker, intake_marker
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import MINUTE, Window, floor
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted, quote, span
from workflow_manager.pipeline.scheduler import RunSpec
from workflow_manager.survey.backfill_plan import BackfillRange, Only, PlannedPass
from workflow_manager.survey.findings import SurveyReport
from workflow_manager.survey.subject import BatchSubject, WindowSubject, batch_time, parse_subject
from workflow_manager.survey.surveyor import Surveyor

SUMMARY = """\
Schedule every task in a range of time that is due and has no marker: intake of ready batches, however old,
and aggregation windows that have ended. Prints the plan, then schedules tasks as runs do, with the same lease
and markers. If it is stopped or killed, run it again to continue. Pushes no metrics.

With --again, publishes tasks that already have markers again instead. --dry-run stops after the plan."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to schedule: a range, or the task of one marker (`only`)."""

    repetition: Repetition | None
    times: Window | None = None
    only: PlannedPass | None = None


def flags() -> Flags:
    """The flags of `backfill`."""
    return Flags("backfill", SUMMARY, [BACKFILL, *every_flag("backfill", SUMMARY).groups])


def backfill(arguments: Sequence[str]) -> int:
    """Plan, ask for confirmation, and schedule; 0 if everything planned is scheduled."""
    environ = dict(os.environ)
    parsed = read_flags("backfill", SUMMARY, arguments, environ, BACKFILL)
    with ExitStack() as opened:
        parts = assemble(parsed, environ, utc_now(), opened)
        ground = grounds_of(parsed, parts.config, parts.buckets, utc_now())
        order = _order(parsed, ground.rules)
        plan = _plan(parsed, ground, order)
        if plan is None:
            return ExitStatus.FAILED
        if not plan or parts.config.dry_run or not _agreed(parsed):
            return 0
        return Passes(parts, plan, _spec(parts, order)).carry_out()


def _spec(parts: Assembly, order: Order) -> RunSpec:
    return replace(run_spec(parts), repetition=order.repetition)


def _order(parsed: Parsed, rules: Rules) -> Order:
    given = Given(parsed.values)
    again, reason, marker = given.get("again", bool), given.text("reason"), given.text("marker")
    times = [parsed.values.get(name) for name in ("from", "to")]
    mistakes = [
        Mistake(flag, "", problem)
        for flag, wrong, problem in (
            ("--reason", again and not reason, "is required with --again"),
            ("--again", not again and bool(reason or marker), "is required with --reason and --marker"),
            ("--again", not again and given.get("recompute", bool), "is required with --recompute"),
            ("--from", not marker and times[0] is None, "is required unless --marker is set"),
            ("--to", not marker and times[1] is None, "is required unless --marker is set"),
            ("--marker", bool(marker) and any(times), "cannot be combined with --from and --to"),
            ("--marker", bool(marker) and "only" in parsed.values, "cannot be combined with --only"),
        )
        if wrong
    ]
    if mistakes:
        raise ConfigError(mistakes)
    repetition = Repetition(reason, given.get("recompute", bool)) if again else None
    if marker and repetition is not None:
        return _one_marker(marker, repetition)
    return Order(repetition, _times(times, rules))


def _times(given: Sequence[object], rules: Rules) -> Window:
    try:
        begin, end = (
            floor(one if isinstance(one, datetime) else rules.now - _duration(one), MINUTE) for one in given
        )
    except OverflowError:
        raise ConfigError([Mistake("--from", "", "falls outside years 1 to 9999")]) from None
    if end <= begin:
        raise ConfigError([Mistake("--to", f"{end:%Y-%m-%dT%H:%M:%SZ}", "must be after --from")])
    return Window(begin, end)


def _duration(value: object) -> timedelta:
    assert isinstance(value, timedelta)
    return value


def _one_marker(name: str, repetition: Repetition) -> Order:
    """A pass that publishes the task of one marker again."""
    try:
        subject = parse_subject([name])
    except ValueError as error:
        raise ConfigError([Mistake("--marker", name, str(error))]) from None
    match subject:
        case BatchSubject(aggregation=aggregation, batch=batch, problem="") if "/" not in name.removeprefix(
            "task-markers/"
        ):
            begin = batch_time(batch)
            only = PlannedPass((aggregation,), Window(begin, begin + MINUTE), Window(begin, begin), 1, 0)
            return Order(replace(repetition, only_marker=intake_marker(aggregation, batch)), only=only)
        case WindowSubject(aggregation=aggregation, begin=begin, end=datetime() as end):
            window = Window(begin, end)
            only = PlannedPass((aggregation,), Window(begin, begin), window, 0, 1)
            return Order(replace(repetition, only_marker=aggregate_marker(aggregation, window)), only=only)
    raise ConfigError([Mistake("--marker", name, "is not a valid marker name")])


def _plan(parsed: Parsed, ground: Grounds, order: Order) -> list[PlannedPass] | None:
    """Print and return the passes; None if the buckets could not be surveyed completely."""
    if order.only is not None:
        print(f"planned to publish again: {_tasks([order.only])}")
        return [order.only]
    assert order.times is not None
    only = Given(parsed.values).text("only")
    wanted = BackfillRange(order.times, Only(only) if only else None, order.repetition is not None)
    begin, end = ground.around(order.times)
    report = Surveyor(ground.buckets, ground.spec(order.times, Window(begin, end))).survey()
    _show(report)
    for failure in report.failures:
        print(f"workflow-manager: {printable(failure)}", file=sys.stderr)
    if report.failures:
        print("workflow-manager: nothing was scheduled, because the plan is incomplete", file=sys.stderr)
        return None
    for refused in wanted.refused(report):
        print(f"not planned: window {span(refused.window)} of {quote(refused.aggregation)}: {refused.reason}")
    plan = wanted.plan(report)
    print(f"planned{' to publish again' if order.repetition else ''}: {_tasks(plan)}")
    return plan


def _show(report: SurveyReport) -> None:
    if sys.stdout.isatty():
        from workflow_manager.cli import survey_table  # noqa: PLC0415 (rich is for terminals only)

        survey_table.show(report)
    else:
        print("\n".join(report_lines(report)))


def _tasks(plan: Sequence[PlannedPass]) -> str:
    intake, aggregation = (
        sum(one.intake_tasks for one in plan),
        sum(one.aggregation_tasks for one in plan),
    )
    passes = counted(len(plan), "step")
    return f"{counted(intake, 'intake task')} and {counted(aggregation, 'aggregation task')} in {passes}"


def _agreed(parsed: Parsed) -> bool:
    """Whether to continue; asks on a terminal."""
    if parsed.values["yes"]:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError([Mistake("--yes", "", "is required unless stdin and stdout are a terminal")])
    return input("Schedule these tasks? [y/N] ").strip().lower() in ("y", "yes")
