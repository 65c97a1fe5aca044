"""A survey -> samples of the defined metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflow_manager.core.names import batch_timestamp
from workflow_manager.core.verdict import Rules, WindowState
from workflow_manager.observe.metric_definitions import (
    AGGREGATION,
    SURVEY_BATCHES,
    SURVEY_FAILURES,
    SURVEY_LEFT_OUT,
    SURVEY_MALFORMED,
    SURVEY_METRICS,
    SURVEY_NEWEST,
    SURVEY_OLDEST_DUE,
    SURVEY_TIMESTAMP,
    SURVEY_WINDOWS,
)
from workflow_manager.observe.samples import Samples, bounded
from workflow_manager.survey.findings import AggregationFindings, IntakeFindings, SurveyReport

# The intake states of batches, as values of the label `state`; fields of IntakeFindings.
BATCH_STATES = ("scheduled", "due", "too_old", "too_early", "incomplete")


@dataclass(slots=True)
class _Counts:
    """What metrics tell of one aggregation, or of several together."""

    intake: IntakeFindings = field(default_factory=IntakeFindings)
    windows: dict[WindowState, int] = field(default_factory=lambda: dict.fromkeys(WindowState, 0))
    left_out: int = 0
    malformed: int = 0

    def add(self, other: "_Counts") -> None:
        self.intake.add(other.intake)
        for state, count in other.windows.items():
            self.windows[state] += count
        self.left_out += other.left_out
        self.malformed += other.malformed


def survey_samples(report: SurveyReport) -> Samples:
    """What `status` delivers."""
    samples = Samples()
    for definition in SURVEY_METRICS:
        if definition is not SURVEY_TIMESTAMP:  # that of an earlier one stays if this one is incomplete
            samples.define(definition)
    add_survey(samples, report, len(report.failures), {})
    return samples


def add_survey(samples: Samples, report: SurveyReport, failures: int, labels: Mapping[str, str]) -> None:
    """Add the findings of a survey; `failures` are those of the last attempt, which may be a later one."""
    counts = {name: _counts(found, report.rules) for name, found in report.aggregations.items()}
    for aggregation, count in bounded(counts, lambda one: one.intake.ready, _together).items():
        _add_counts(samples, count, {**labels, AGGREGATION: aggregation})
    samples.add(SURVEY_FAILURES, failures, labels)
    if not report.failures:
        samples.add(SURVEY_TIMESTAMP, report.surveyed_at.timestamp(), labels)


def _add_counts(samples: Samples, count: _Counts, labels: Mapping[str, str]) -> None:
    for state in BATCH_STATES:
        samples.add(SURVEY_BATCHES, getattr(count.intake, state), {**labels, "state": state})
    for window_state, windows in count.windows.items():
        samples.add(SURVEY_WINDOWS, windows, {**labels, "state": window_state.name.lower()})
    samples.add(SURVEY_LEFT_OUT, count.left_out, labels)
    samples.add(SURVEY_MALFORMED, count.malformed, labels)
    samples.add(SURVEY_NEWEST, batch_timestamp(count.intake.newest), labels)
    samples.add(SURVEY_OLDEST_DUE, batch_timestamp(count.intake.oldest_due), labels)


def _counts(found: AggregationFindings, rules: Rules) -> _Counts:
    counts = _Counts(found.intake, left_out=sum(one.left_out for one in found.windows))
    counts.malformed = found.malformed
    for window in found.windows:
        counts.windows[window.state(rules)] += 1
    return counts


def _together(all_counts: list[_Counts]) -> _Counts:
    total = _Counts()
    for counts in all_counts:
        total.add(counts)
    return total
