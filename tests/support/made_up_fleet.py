"""Surveys of a made-up fleet, for pages: every state of a window occurs."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from workflow_manager.core.names import Batch
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import HOUR, Window, aggregation_window, intake_window
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.survey.findings import (
    AggregationFindings,
    IntakeFindings,
    SurveyReport,
    WindowFindings,
)

NOW = datetime(2026, 11, 19, 16, 30, tzinfo=UTC)
GRACE = 4 * HOUR


def rules(period: timedelta = 8 * HOUR) -> Rules:
    return Rules(NOW, intake_window(NOW, 24 * HOUR), aggregation_window(NOW - GRACE - period, period), GRACE)


def windows(period: timedelta, days: int = 7) -> Iterator[WindowFindings]:
    """The windows that have begun, as if a week had gone well."""
    window = aggregation_window(NOW - timedelta(days=days), period)
    while window.begin <= NOW:
        over = window.end + GRACE <= NOW
        marked = over and window != rules(period).aggregation
        count = 24 if over else 6
        yield WindowFindings(window, count, 0, count if over else 0, marked=marked, recorded=marked)
        window = Window(window.end, window.end + period)


def aggregation(name: str, period: timedelta = 8 * HOUR, seed: int = 0) -> AggregationFindings:
    """One aggregation; counts differ with `seed`."""
    chance = random.Random(seed)
    found = list(windows(period))
    for one in found:
        one.ready = chance.randrange(18, 30)
        one.validated = one.ready if one.validated else 0
    ready = sum(one.ready for one in found)
    intake = IntakeFindings(ready, 0, ready, newest=f"{NOW - timedelta(minutes=20):%Y/%m/%d/%H/%M}")
    return AggregationFindings(name, intake, found)


def every_state(name: str = "kittens-seen") -> AggregationFindings:
    """An aggregation whose windows are in all states there are."""
    found = aggregation(name)
    missed, left_out, waiting, empty, overlapping = found.windows[2:7]
    for one in found.windows[2:7]:
        one.marked = one.recorded = False
    left_out.marked = left_out.recorded = True
    left_out.left_out, left_out.example = 2, Batch("2026/11/13/17/30", "b8a5579a-f984-460a-a42d-2813cbf57771")
    waiting.validated = 0
    empty.ready = empty.validated = 0
    overlapping.overlaps = Window(overlapping.window.begin - HOUR, overlapping.window.begin + HOUR)
    missed.incomplete = 1
    found.intake.due, found.intake.oldest_due = 3, "2026/11/19/14/05"
    found.intake.too_old, found.intake.oldest_too_old = 2, "2026/11/14/03/04"
    found.malformed = 7
    return found


def report(*found: AggregationFindings, period: timedelta = 8 * HOUR) -> SurveyReport:
    return SurveyReport(rules(period), {one.aggregation: one for one in found})


def instance(name: str, *found: AggregationFindings, period: timedelta = 8 * HOUR) -> SurveyedInstance:
    """An instance of a file `fleet.yaml`, or a deployment without a name."""
    target = f"--config fleet.yaml --instance {name}" if name else ""
    labels = {"locality": name.partition("-")[0], "ingestor": name} if name else {}
    times = Window(aggregation_window(NOW - timedelta(days=7), period).begin, rules(period).intake.end)
    return SurveyedInstance(name, labels, report(*found, period=period), times, target=target)


def fleet(count: int, periods: tuple[timedelta, ...] = (3 * HOUR, 8 * HOUR)) -> list[SurveyedInstance]:
    """Instances of three aggregations; something is the matter with one in ten."""
    made = []
    for number in range(count):
        period = periods[number % len(periods)]
        names = ("kittens-seen", "com.example.exposures", "com.example.notifications")
        found = [aggregation(name, period, seed=3 * number + at) for at, name in enumerate(names)]
        if number % 10 == 3:
            for one in found[0].windows[5:8]:
                one.marked = one.recorded = False
        if number % 10 == 7:
            found[1].windows[9].left_out = 1
            for one in found[2].windows[-8:]:
                one.validated, one.marked = 0, False
        made.append(instance(f"locality-{number:03}-ingestor", *found, period=period))
    return made
