"""`workflow-manager status`: the state of all batches and windows. Read only."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from workflow_manager.assembly import flags_without_queue
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.run_output import deliver_survey
from workflow_manager.cli.surveying import open_deployments, survey, tell_failures, tell_unmatched
from workflow_manager.config.flags import Flags, Parsed
from workflow_manager.config.fleet_flags import FLEET
from workflow_manager.config.run_config import Given
from workflow_manager.config.survey_flags import STATUS
from workflow_manager.observe.logs import printable
from workflow_manager.report.survey_rows import report_lines
from workflow_manager.report.surveyed import SurveyedInstance
from workflow_manager.survey.as_json import report_json
from workflow_manager.survey.findings import SurveyReport

SUMMARY = """\
Show the state of each aggregation's batches and windows: scheduled, due, missed and so on. Takes the flags
of a run, or --config for many instances; queue flags are accepted but not required. Writes nothing to the
buckets. --html writes a page; --push-gateway and --metrics-file deliver the findings as metrics.

Exits with status 1 if the buckets could not be read completely, with 4 if --fail-on finds something, and
with 3 if only the metrics could not be delivered."""


def flags() -> Flags:
    """The flags of `status`."""
    return flags_without_queue("status", SUMMARY, STATUS, FLEET)


def status(arguments: Sequence[str]) -> int:
    """Survey the range that the flags select, and print the findings."""
    with ExitStack() as opened:
        wanted = open_deployments(("status", SUMMARY, STATUS), arguments, dict(os.environ), opened)
        outcomes = list(wanted.each(partial(survey, resources=wanted.resources)))
    surveyed = [one for _, one in outcomes]
    parsed = wanted.given
    _show(parsed, surveyed, many=wanted.many)
    delivered = [deliver_survey(one) for one in surveyed]
    for one in surveyed:
        tell_failures(one.name, one.failures)
    tell_unmatched(parsed, [report for _, report in _reports(surveyed)])
    if any(one.failures for one in surveyed):
        return ExitStatus.FAILED
    fail_on = Given(parsed.values).optional("fail-on", tuple) or ()
    found = any(_found(report, what) for what in fail_on for _, report in _reports(surveyed))
    if found:
        return ExitStatus.FOUND
    return ExitStatus.DONE if all(delivered) else ExitStatus.UNDELIVERED


def _show(parsed: Parsed, surveyed: Sequence[SurveyedInstance], *, many: bool) -> None:
    given = Given(parsed.values)
    path = given.text("html")
    if path:
        from workflow_manager.cli.page_file import write_page  # noqa: PLC0415 (imports Jinja2)

        write_page("--html", path, surveyed)
    if given.get("json", bool):
        print(json.dumps(_document(surveyed, many=many), indent=2))
    elif path:
        print(f"the status page is in {printable(path)}")
    elif sys.stdout.isatty():
        from workflow_manager.cli import survey_table  # noqa: PLC0415 (rich is for terminals only)

        for name, report in _reports(surveyed):
            survey_table.show(report, name)
    else:
        blocks = ("\n".join((*filter(None, (name,)), *report_lines(one))) for name, one in _reports(surveyed))
        print("\n\n".join(blocks))


def _reports(surveyed: Sequence[SurveyedInstance]) -> Iterator[tuple[str, SurveyReport]]:
    return ((one.name, one.report) for one in surveyed if one.report is not None)


def _document(surveyed: Sequence[SurveyedInstance], *, many: bool) -> dict[str, object]:
    """The survey in the format of STATUS_SCHEMA; of many instances, by their names."""
    documents = {one.name: report_json(one.report, one.times) for one in surveyed if one.report and one.times}
    return {"instances": documents} if many else documents[""]


def _found(report: SurveyReport, what: str) -> bool:
    match what:
        case "missed":
            return any(True for _ in report.missed())
        case "left-out":
            return any(True for _ in report.with_batches_left_out())
        case _:
            return report.too_old > 0
