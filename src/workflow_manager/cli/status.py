"""`workflow-manager status`: the state of all batches and windows. Read only."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from workflow_manager.assembly import flags_without_queue, read_flags
from workflow_manager.cli.exit_status import ExitStatus
from workflow_manager.cli.run_output import utc_now
from workflow_manager.cli.survey_text import report_lines
from workflow_manager.cli.surveying import grounds, range_since
from workflow_manager.config.flags import Flags
from workflow_manager.config.survey_flags import STATUS
from workflow_manager.survey.as_json import report_json
from workflow_manager.survey.findings import SurveyReport
from workflow_manager.survey.surveyor import Surveyor

SUMMARY = """\
Show the state of each aggregation's batches and windows: scheduled, due, missed and so on. Takes the flags
of a run; queue flags are accepted but not required. Writes nothing.

Exits with status 1 if the buckets could not be read completely, and with 4 if --fail-on finds something."""


def flags() -> Flags:
    """The flags of `status`."""
    return flags_without_queue("status", SUMMARY, STATUS)


def status(arguments: Sequence[str]) -> int:
    """Survey the range that the flags select, and print the findings."""
    environ = dict(os.environ)
    parsed = read_flags("status", SUMMARY, arguments, environ, STATUS, queue=False)
    with ExitStack() as opened:
        ground = grounds(parsed, environ, utc_now(), opened)
        period = range_since(parsed, ground.rules, ground.period)
        spec = ground.spec(period, ground.windows(period.begin, period.end))
        report = Surveyor(ground.buckets, spec).survey()
    if parsed.values["json"]:
        print(json.dumps(report_json(report, period), indent=2))
    elif sys.stdout.isatty():
        from workflow_manager.cli import survey_table  # noqa: PLC0415 (rich is for terminals only)

        survey_table.show(report)
    else:
        print("\n".join(report_lines(report)))
    for failure in report.failures:
        print(f"workflow-manager: {failure}", file=sys.stderr)
    if report.failures:
        return ExitStatus.FAILED
    fail_on = parsed.values.get("fail-on", ())
    assert isinstance(fail_on, tuple)
    found = any(_found(report, what) for what in fail_on)
    return ExitStatus.FOUND if found else ExitStatus.DONE


def _found(report: SurveyReport, what: str) -> bool:
    match what:
        case "missed":
            return any(True for _ in report.missed())
        case "left-out":
            return any(True for _ in report.with_batches_left_out())
        case _:
            return report.too_old > 0
