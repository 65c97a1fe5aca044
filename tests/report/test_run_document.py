"""What `run --json` prints: everything that is known of a run, as the published schema says."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from workflow_manager.core.report import FIGURES, Failure, Figures, Kind, RunReport
from workflow_manager.core.windows import Window
from workflow_manager.report.run_document import VERSION, RunDocument, document, schema

INTAKE = Window(datetime(2026, 11, 22, 4, 20, tzinfo=UTC), datetime(2026, 11, 24, 4, 20, tzinfo=UTC))
AGGREGATION = Window(datetime(2026, 11, 22, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
REPORT = RunReport(
    dry_run=False,
    figures={"kittens-seen": Figures(ingestions_found=3), "\udcff\n": Figures(intake_tasks_failed=1)},
    failures=(Failure("kittens-seen", "could not publish"), Failure("", "could not list")),
    failed=dict.fromkeys(Kind, 1),
    stopped="SIGTERM received",
    runtime_seconds=1.5,
)


def of(report: RunReport, status: int = 1) -> RunDocument:
    return RunDocument(status, "na", "", INTAKE, AGGREGATION, report.succeeded, report.total())


@pytest.mark.parametrize("report", [RunReport(dry_run=True), REPORT])
def test_it_is_what_the_schema_says(report: RunReport) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    printed = json.loads(json.dumps(document(of(report), report)))
    jsonschema.validate(printed, schema(), format_checker=jsonschema.FormatChecker())


def test_it_says_what_the_run_was_told_and_did() -> None:
    told = document(of(REPORT), REPORT)
    assert told["version"] == VERSION
    assert told["exit_status"] == 1
    assert (told["locality"], told["ingestor"]) == ("na", "")
    assert told["aggregation_window"] == {"begin": "2026-11-22T16:00:00Z", "end": "2026-11-23T00:00:00Z"}
    assert told["succeeded"] is told["dry_run"] is told["interrupted"] is False
    assert told["superseded_by"] is None
    assert told["aggregations"]["kittens-seen"]["ingestions_found"] == 3
    assert told["totals"]["ingestions_found"] == 3
    assert told["failures_by_kind"] == {kind.value: 1 for kind in Kind}
    assert told["failures"][0] == {"aggregation": "kittens-seen", "message": "could not publish"}
    assert told["stopped"] == "SIGTERM received"
    assert told["runtime_seconds"] == 1.5


def test_no_field_of_a_report_is_left_out() -> None:
    told = document(of(REPORT), REPORT)
    inner, outer = len(fields(RunReport)), len(fields(RunDocument))
    assert len(told) == inner + outer
    assert set(told["totals"]) == set(FIGURES)


def test_the_schema_allows_nothing_else() -> None:
    told = document(of(REPORT), REPORT)
    for changed in (
        told | {"more": 1},
        told | {"totals": told["totals"] | {"more": 1}},
        told | {"version": 0},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(changed, schema())


def test_the_schema_that_is_published_is_this_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "run-report.md"
    published = page.read_text().partition("```json\n")[2].partition("\n```")[0]
    assert json.loads(published) == schema()
