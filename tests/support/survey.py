"""Surveys of the buckets of a harness."""

from datetime import datetime

from support.harness import Harness
from workflow_manager.core.selection import Selection
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import HOUR, Window, aggregation_window, intake_window
from workflow_manager.pipeline.scheduler import Buckets
from workflow_manager.survey.findings import SurveyReport, WindowFindings
from workflow_manager.survey.surveyor import Surveyor, SurveySpec

PERIOD, GRACE = 8 * HOUR, 4 * HOUR


def rules(now: datetime) -> Rules:
    """What the harness's runs do at a time."""
    return Rules(now, intake_window(now, 24 * HOUR), aggregation_window(now - GRACE - PERIOD, PERIOD), GRACE)


def survey(
    harness: Harness, now: datetime, days: int = 3, selection: Selection | None = None
) -> SurveyReport:
    """A survey of the last days, and of what a run at `now` looks at."""
    begin = aggregation_window(now - days * 24 * HOUR, PERIOD).begin
    end = aggregation_window(now + 24 * HOUR, PERIOD).end
    buckets = Buckets(harness.ingestion, harness.own, harness.peer)
    spec = SurveySpec(
        rules(now),
        Window(begin, rules(now).intake.end),
        Window(begin, end),
        PERIOD,
        is_first=False,
        selection=selection or Selection(),
        workers=4,
    )
    return Surveyor(buckets, spec).survey()


def window(report: SurveyReport, aggregation: str, begin: datetime) -> WindowFindings:
    """One of the windows that were surveyed."""
    (found,) = [one for one in report.aggregations[aggregation].windows if one.window.begin == begin]
    return found
