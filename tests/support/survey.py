"""Surveys of the buckets of a harness."""

from datetime import datetime

from support.harness import Harness, run_spec
from workflow_manager.core.names import BatchIds
from workflow_manager.core.repetition import Repetition
from workflow_manager.core.selection import Selection
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import HOUR, MINUTE, Window, aggregation_window, intake_window
from workflow_manager.pipeline.scheduler import Buckets, Scheduler
from workflow_manager.survey.backfill_plan import BackfillRange, Only, PlannedPass
from workflow_manager.survey.findings import SurveyReport, WindowFindings
from workflow_manager.survey.surveyor import Surveyor, SurveySpec

PERIOD, GRACE = 8 * HOUR, 4 * HOUR


def rules(now: datetime) -> Rules:
    """What the harness's runs do at a time."""
    return Rules(
        now,
        intake_window(now, 24 * HOUR),
        aggregation_window(now - GRACE - PERIOD, PERIOD),
        GRACE,
        BatchIds.ANY,
    )


def survey(
    harness: Harness,
    now: datetime,
    days: int = 3,
    selection: Selection | None = None,
    by: Rules | None = None,
) -> SurveyReport:
    """A survey of the last days, and of what a run at `now` looks at, by its rules or by others."""
    begin = aggregation_window(now - days * 24 * HOUR, PERIOD).begin
    end = aggregation_window(now + 24 * HOUR, PERIOD).end
    buckets = Buckets(harness.ingestion, harness.own, harness.peer)
    spec = SurveySpec(
        by or rules(now),
        Window(begin, rules(now).intake.end),
        Window(begin, end),
        PERIOD,
        is_first=False,
        selection=selection or Selection(),
        workers=4,
    )
    return Surveyor(buckets, spec).survey()


def backfill(
    harness: Harness,
    now: datetime,
    times: Window,
    only: Only | None = None,
    repetition: Repetition | None = None,
) -> list[PlannedPass]:
    """Plan what is to be mended in a range, and carry it out by passes of the scheduler."""
    buckets = Buckets(harness.ingestion, harness.own, harness.peer)
    begin = aggregation_window(times.begin, PERIOD).begin
    end = aggregation_window(times.end - MINUTE, PERIOD).end
    spec = SurveySpec(rules(now), times, Window(begin, end), PERIOD, is_first=False, selection=Selection())
    report = Surveyor(buckets, spec).survey()
    assert report.failures == []
    plan = BackfillRange(times, only, repetition is not None).plan(report)
    for planned in plan:
        of_pass = run_spec()._replace(
            intake=planned.intake,
            aggregation=planned.aggregation,
            aggregations=planned.aggregations,
            repetition=repetition,
        )
        done = Scheduler(buckets, harness.queue, of_pass, harness.events).run()
        assert done.succeeded
        total = done.total()
        if repetition is None:
            assert total.intake_tasks_scheduled == planned.intake_tasks
            assert total.aggregation_tasks_scheduled == planned.aggregation_tasks
    return plan


def window(report: SurveyReport, aggregation: str, begin: datetime) -> WindowFindings:
    """One of the windows that were surveyed."""
    (found,) = [one for one in report.aggregations[aggregation].windows if one.window.begin == begin]
    return found
