"""What metrics tell of a survey."""

from datetime import UTC, datetime, timedelta

import pytest

from support.harness import Harness
from support.survey import survey
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import HOUR, Window
from workflow_manager.observe import samples as collected
from workflow_manager.observe.metric_definitions import (
    SURVEY_BATCHES,
    SURVEY_FAILURES,
    SURVEY_LEFT_OUT,
    SURVEY_MALFORMED,
    SURVEY_METRICS,
    SURVEY_NEWEST,
    SURVEY_OLDEST_DUE,
    SURVEY_TIMESTAMP,
    SURVEY_WINDOWS,
    Definition,
)
from workflow_manager.observe.samples import Samples
from workflow_manager.survey.findings import AggregationFindings, IntakeFindings, SurveyReport, WindowFindings
from workflow_manager.survey.survey_samples import survey_samples

NOW = datetime(2026, 11, 23, 4, 20, tzinfo=UTC)
OLD, RECENT = "2026/11/21/10/00", "2026/11/22/18/00"


def values(samples: Samples, definition: Definition, aggregation: str = "agg") -> dict[str, float]:
    """The values of one aggregation, by state if the metric has states."""
    found = {}
    for labels, value in samples.by_metric[definition]:
        assert isinstance(value, int | float)
        if labels.get("aggregation_id", aggregation) == aggregation:
            found[labels.get("state", "")] = value
    return found


def test_a_survey_of_buckets_is_told_by_state() -> None:
    harness = Harness()
    harness.ingest("agg", OLD, "missed-and-too-old")
    harness.validate("agg", OLD, "missed-and-too-old")
    harness.ingest("agg", RECENT, "due")
    harness.ingest("agg", RECENT, "incomplete", parts=("",))
    harness.ingest("agg", RECENT, "bad\x01name")
    report = survey(harness, NOW)
    told = survey_samples(report)
    assert values(told, SURVEY_BATCHES) == {
        "scheduled": 0,
        "due": 1,
        "too_old": 1,
        "too_early": 0,
        "incomplete": 1,
    }
    windows = values(told, SURVEY_WINDOWS)
    assert windows["missed"] == 1
    assert windows["waiting"] == 1
    assert sum(windows.values()) == len(report.aggregations["agg"].windows)
    assert values(told, SURVEY_MALFORMED) == {"": 3}
    assert values(told, SURVEY_NEWEST) == {"": datetime(2026, 11, 22, 18, tzinfo=UTC).timestamp()}
    assert values(told, SURVEY_OLDEST_DUE) == {"": datetime(2026, 11, 22, 18, tzinfo=UTC).timestamp()}
    assert values(told, SURVEY_TIMESTAMP) == {"": NOW.timestamp()}
    assert values(told, SURVEY_FAILURES) == {"": 0}


def test_a_survey_that_could_not_read_everything_says_so_and_keeps_the_time_of_an_earlier_one() -> None:
    harness = Harness()
    harness.ingest("agg", RECENT, "one")
    harness.ingestion.fails = lambda operation, name: operation == "list" and name.startswith("agg")
    told = survey_samples(survey(harness, NOW))
    assert values(told, SURVEY_FAILURES)[""] > 0
    assert SURVEY_TIMESTAMP not in told.by_metric


def test_a_survey_that_finds_nothing_delivers_every_metric_so_that_none_of_an_earlier_one_stays() -> None:
    assert set(survey_samples(survey(Harness(), NOW)).by_metric) == set(SURVEY_METRICS)


def test_of_very_many_aggregations_the_smallest_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected, "MOST_AGGREGATIONS", 1)
    window = Window(NOW - 8 * HOUR, NOW)
    report = SurveyReport(Rules(NOW + 20 * HOUR, window, window, timedelta()))
    for number, ready in enumerate((1, 9, 2)):
        missed = WindowFindings(
            Window(NOW - 24 * HOUR, NOW - 16 * HOUR), ready=1, validated=1, left_out=number
        )
        intake = IntakeFindings(ready, too_old=ready, newest=f"2026/11/22/18/0{number}")
        report.aggregations[str(number)] = AggregationFindings(str(number), intake, [missed], malformed=1)
    told = survey_samples(report)
    assert values(told, SURVEY_BATCHES, "1")["too_old"] == 9
    assert values(told, SURVEY_BATCHES, "(others)")["too_old"] == 3
    assert values(told, SURVEY_WINDOWS, "(others)")["missed"] == 2
    assert values(told, SURVEY_LEFT_OUT, "(others)") == {"": 2}
    assert values(told, SURVEY_MALFORMED, "(others)") == {"": 2}
    newest = datetime(2026, 11, 22, 18, 2, tzinfo=UTC).timestamp()
    assert values(told, SURVEY_NEWEST, "(others)") == {"": newest}
