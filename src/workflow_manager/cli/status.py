"""`workflow-manager status`: the state of all batches and windows. Read only."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from workflow_manager.assembly import flags_without_queue
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.surveying import (
    Deployment,
    open_deployments,
    show_name,
    tell_failures,
    tell_unmatched,
)
from workflow_manager.config.flags import Flags
from workflow_manager.config.fleet_flags import FLEET
from workflow_manager.config.survey_flags import STATUS
from workflow_manager.core.windows import Window
from workflow_manager.report.survey_rows import report_lines
from workflow_manager.survey.as_json import report_json
from workflow_manager.survey.findings import SurveyReport
from workflow_manager.survey.grounds import range_since
from workflow_manager.survey.surveyor import Surveyor

SUMMARY = """\
Show the state of each aggregation's batches and windows: scheduled, due, missed and so on. Takes the flags
of a run, or with --config the instances of a file; queue flags are accepted but not required. Writes nothing.

Exits with status 1 if the buckets could not be read completely, and with 4 if --fail-on finds something."""


def flags() -> Flags:
    """The flags of `status`."""
    return flags_without_queue("status", SUMMARY, STATUS, FLEET)


def status(arguments: Sequence[str]) -> int:
    """Survey the range that the flags select, and print the findings."""
    environ = dict(os.environ)
    with ExitStack() as opened:
        wanted = open_deployments(("status", SUMMARY, STATUS), arguments, environ, opened)

        def survey(deployment: Deployment) -> tuple[SurveyReport, Window]:
            ground = deployment.ground
            period = range_since(deployment.parsed, ground.rules, ground.period)
            spec = deployment.spec(period, ground.windows(period.begin, period.end))
            return Surveyor(ground.buckets, spec, wanted.resources).survey(), period

        given, as_json = wanted.given, bool(wanted.given.values["json"])
        reports: list[SurveyReport] = []
        documents = {}
        for deployment, (report, period) in wanted.each(survey):
            reports.append(report)
            if as_json:
                documents[deployment.name] = report_json(report, period)
            else:
                show_name(deployment)
                show(report)
            tell_failures(deployment, report.failures)
    if as_json:
        print(json.dumps({"instances": documents} if wanted.many else documents[""], indent=2))
    tell_unmatched(given, reports)
    if any(report.failures for report in reports):
        return ExitStatus.FAILED
    fail_on = given.values.get("fail-on", ())
    assert isinstance(fail_on, tuple)
    found = any(_found(report, what) for report in reports for what in fail_on)
    return ExitStatus.FOUND if found else ExitStatus.DONE


def show(report: SurveyReport) -> None:
    """Print a survey, as tables on a terminal."""
    if sys.stdout.isatty():
        from workflow_manager.cli import survey_table  # noqa: PLC0415 (rich is for terminals only)

        survey_table.show(report)
    else:
        print("\n".join(report_lines(report)))


def _found(report: SurveyReport, what: str) -> bool:
    match what:
        case "missed":
            return any(True for _ in report.missed())
        case "left-out":
            return any(True for _ in report.with_batches_left_out())
        case _:
            return report.too_old > 0
