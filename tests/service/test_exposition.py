"""What serve tells of its instances' passes."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from workflow_manager.core.lease_names import LeaseHolder
from workflow_manager.core.report import Figures, RunReport
from workflow_manager.service.exposition import ServiceState, exposition
from workflow_manager.service.records import Record, Records
from workflow_manager.service.surveys import InstanceSurvey, Surveys
from workflow_manager.service.timing import Outcome

STARTED, NOW = 1000.0, 2000.0
BEGUN = datetime(1970, 1, 1, 0, 20, tzinfo=UTC)
HOLDER = LeaseHolder("elsewhere", 7, datetime(1970, 1, 1, 1, tzinfo=UTC), BEGUN)


def record(name: str = "one") -> Record:
    return Record(name, {"locality": "na"}, 300.0)


def told(*records: Record, surveys: Surveys | None = None) -> dict[str, dict[str, float]]:
    """The values of each metric, by instance and its further labels."""
    known = Records()
    known.use({one.name: one for one in records})
    text = exposition(ServiceState(known, surveys or Surveys(), STARTED), NOW).decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            more = [value for label, value in sample.labels.items() if label not in ("locality", "ingestor")]
            found.setdefault(sample.name.removeprefix("workflow_manager_"), {})["/".join(more)] = sample.value
    return found


def test_an_instance_without_a_pass_yet_has_an_age_and_no_success() -> None:
    found = told(record())
    assert found["last_pass_age_seconds"] == {"one": NOW - STARTED}
    assert found["pass_interval_seconds"] == {"one": 300}
    assert "last_success_seconds" not in found
    assert found["instances"] == {"": 1}


def test_the_lease_is_held_since_the_pass_under_way_began() -> None:
    one = record()
    one.began, one.running = 1900.0, True
    assert told(one)["lease_held_since_seconds"] == {"one": 1900}
    one.finished(RunReport(dry_run=False), Outcome.DONE, 1950.0, whole=True)
    assert told(one)["lease_held_since_seconds"] == {"one": 0}


def test_a_superseded_pass_tells_since_when_the_other_works_and_keeps_the_figures_of_the_last() -> None:
    one = record()
    figures = {"agg": Figures(ingestions_found=3)}
    one.finished(RunReport(dry_run=False, figures=figures), Outcome.DONE, 1500.0, whole=True)
    superseded = RunReport(dry_run=False, figures={"agg": Figures()}, superseded_by=HOLDER)
    one.finished(superseded, Outcome.SUPERSEDED, 1900.0, whole=True)
    found = told(one)
    assert found["superseded"] == {"one": 1}
    assert found["lease_held_since_seconds"] == {"one": BEGUN.timestamp()}
    assert found["ingestions_found"] == {"agg/one": 3}
    assert found["last_success_seconds"] == {"one": 1500}
    assert found["passes_total"] == {"one/done": 1, "one/failed": 0, "one/superseded": 1}


def test_requests_are_counted_as_they_are_made() -> None:
    one = record()
    one.counts.of("own").requested("write", 10, 2)
    assert told(one)["bucket_requests_total"] == {"own/one/write": 1}
    one.counts.of("own").requested("write", 10, 2, retry=True)
    found = told(one)
    assert found["bucket_requests_total"] == {"own/one/write": 2}
    assert found["bucket_retries_total"] == {"own/one/write": 1}
    assert found["bucket_sent_bytes_total"] == {"own/one/write": 20}


def test_an_instance_keeps_its_passes_when_the_file_is_read_again_and_counts_anew() -> None:
    known = Records()
    before, after = record(), record()
    before.finished(RunReport(dry_run=False), Outcome.DONE, 1500.0, whole=True)
    known.use({"one": before})
    known.use({"one": after})
    (kept,) = known.all()
    assert kept.passes[Outcome.DONE] == 1
    assert kept.counts is after.counts, "the stores of the file that is used now count there"


def test_a_survey_that_could_not_even_begin_is_told() -> None:
    surveys = Surveys()
    surveys.use({"one": InstanceSurvey("one", {"locality": "na"})})
    assert "survey_failures" not in told(record(), surveys=surveys)
    surveys.change("one", lambda survey: survey.refused("no such bucket", 1.0))
    assert told(record(), surveys=surveys)["survey_failures"] == {"one": 1}
