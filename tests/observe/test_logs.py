"""Log lines: JSON that Google Cloud Logging reads, or text for a terminal."""

import io
import json
import re
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime

import pytest

from workflow_manager.core.names import Batch
from workflow_manager.core.plan import Skip
from workflow_manager.core.report import RunReport
from workflow_manager.core.task_messages import AggregationTask, IntakeTask
from workflow_manager.core.windows import Window
from workflow_manager.observe import events, stop_events
from workflow_manager.observe.event import Severity
from workflow_manager.observe.events import AggregationSkipped, TaskScheduled
from workflow_manager.observe.logs import Logs, printable
from workflow_manager.observe.stop_events import RunStopping
from workflow_manager.observe.wording import as_fields, outcome_fields

TASK = IntakeTask("kittens-seen", Batch("2026/11/23/03/05", "b8a5"))
WINDOW = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
AGGREGATION = AggregationTask("kittens-seen", WINDOW, (TASK.batch,))
# The fields of all events, by their names in the code, with values of the types that are told specially.
FACTS: list[tuple[str, object]] = [
    *(
        (field.name, 1)
        for module in (events, stop_events)
        for event in vars(module).values()
        if is_dataclass(event)
        for field in fields(event)
    ),
    *(("task", task) for task in (TASK, AGGREGATION)),
    *((name, WINDOW) for name in ("intake", "aggregation")),
]
SCHEDULED = TaskScheduled(TASK, "intake", "trace-1")


def noon() -> datetime:
    return datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC)


def written(
    event: TaskScheduled | RunStopping | AggregationSkipped, *, json_lines: bool, colour: bool = False
) -> str:
    stream = io.StringIO()
    Logs(stream, noon, Severity.INFO, json_lines=json_lines, colour=colour).notify(event)
    return stream.getvalue()


def test_a_json_line_has_what_google_cloud_logging_reads_and_the_tasks_facts() -> None:
    assert json.loads(written(SCHEDULED, json_lines=True)) == {
        "severity": "INFO",
        "timestamp": "2026-11-23T12:00:01.000Z",
        "message": "scheduled the intake of batch 'b8a5' of 'kittens-seen' at 2026/11/23/03/05",
        "event": "task.scheduled",
        "trace_id": "trace-1",
        "aggregation_id": "kittens-seen",
        "batch_id": "b8a5",
        "date": "2026/11/23/03/05",
        "marker": "task-markers/intake-kittens-seen-2026-11-23-03-05-b8a5",
        "topic": "intake",
    }


def test_labels_are_in_every_line_of_json() -> None:
    stream = io.StringIO()
    labels = {"locality": "na", "ingestor": "ingestor-1"}
    logs = Logs(stream, noon, Severity.INFO, json_lines=True, labels=labels)
    logs.notify(SCHEDULED, RunStopping("SIGTERM received", interrupted=True))
    assert [json.loads(line).items() >= labels.items() for line in stream.getvalue().splitlines()] == [
        True
    ] * 2


@pytest.mark.parametrize(
    "facts",
    [
        outcome_fields(RunReport(dry_run=False)),
        *(as_fields(name, value) for name, value in FACTS),
    ],
)
def test_fields_are_in_snake_case(facts: dict[str, object]) -> None:
    assert [name for name in facts if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)] == []


def test_a_line_of_text_is_short_and_colour_is_an_extra() -> None:
    assert written(RunStopping("SIGTERM received", interrupted=True), json_lines=False) == (
        "12:00:01 WARNING stopping early: SIGTERM received\n"
    )
    assert "\x1b[" in written(RunStopping("x", interrupted=False), json_lines=False, colour=True)


def test_less_severe_events_are_left_out() -> None:
    assert written(AggregationSkipped("agg", Skip.NO_BATCHES), json_lines=True) == ""


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize("name", ["b\nERROR forged", "b\r\x1b[2Jforged", "b\u2028forged", "\udcff"])
def test_a_name_cannot_forge_a_line_or_move_the_cursor(name: str, json_lines: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    event = TaskScheduled(IntakeTask("agg", Batch("2026/11/23/03/05", name)), "intake", "t")
    line = written(event, json_lines=json_lines)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_printable_keeps_what_can_be_seen() -> None:
    assert printable("ünï cöde 💶") == "ünï cöde 💶"
    assert printable("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
