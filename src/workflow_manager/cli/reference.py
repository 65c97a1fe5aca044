"""Writes the reference pages on flags, events, messages and reports, generated from the code: `make docs`.

It also writes the manual page.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from workflow_manager import __version__
from workflow_manager.assembly import every_flag
from workflow_manager.cli import instances, jobs, run_output, sample, serve, tasks
from workflow_manager.cli.help_pages import ABOUT, full_parser
from workflow_manager.cli.instances import instances_schema
from workflow_manager.cli.main import COMMANDS
from workflow_manager.cli.metrics_reference import metrics_page
from workflow_manager.config import backfill_flags, markers_flags, survey_flags
from workflow_manager.config.flags import Flags, environment_twin
from workflow_manager.config.instances_schema import example
from workflow_manager.core.schema import AGGREGATION, INTAKE, MARKER
from workflow_manager.core.verdict import REASONS, WindowState
from workflow_manager.observe import events, found, marker_events, service_events, stop_events
from workflow_manager.observe.event import Event
from workflow_manager.report.run_document import schema
from workflow_manager.survey.as_json import STATUS_SCHEMA
from workflow_manager.survey.explanation_schema import EXPLAIN_SCHEMA

_FLAGS = """\
# Flags

Go's syntax: one or two dashes, `--flag value` or `--flag=value`. A boolean flag stands alone or takes `=true`
or `=false`. An empty value means "not given". Durations are Go's: `8h`, `1h30m`, `90s`, `500ms`.

Each flag has an environment variable, which is used if the flag is absent or empty. This page is
generated from the program.
"""

_INSTANCES = """\
# The file of instances

`--config FILE` names a YAML file with the flags of many instances, for `serve`, and for `run`, `check`,
`status`, `explain` and `backfill`. An instance is what a single run works on: three buckets, a queue, and its
windows. `--instance NAME` chooses some of them; it may be repeated, and `*` stands for any characters.

- `instances:` has them by name: up to 63 letters, digits, `-`, `_` and `.`. `defaults:` has the flags of
  every instance that does not give its own. No other top-level keys are allowed.
- Keys are the names of [flags](flags.md), without dashes, except for flags of the process:
  `--log-level`, `--log-format`, `--shutdown-grace`, the profiles, and those in this list.
- A value is the text in the file, parsed as on the command line: `no` is not a boolean, `8h` is a duration.
  `{env: NAME}` takes it from the environment, and `{file: PATH}` from a file beside this one; such
  values are never shown.
- The command line takes precedence over the file, an instance over the defaults, and the file over the
  environment variables of flags.
- Each instance has its own bucket for `own-validation-input`: the markers of two instances must not mix.
- Lists, anchors' merge keys (`<<`) and keys that come twice are mistakes. All mistakes are reported at
  once with their line numbers, and the exit status is 2.

`workflow-manager instances list --config FILE` checks a file and prints the names in it, `instances example`
prints the example below, and `instances schema` the JSON Schema, which many editors use to complete and
check what you write: save it beside the file, and keep the first line of the example. This page is
generated from the program.
"""

_EVENTS = """\
# Events

Each log line of JSON has `severity`, `timestamp` (RFC 3339, UTC), `message`, and `event`: the name of
what happened, which is stable. All fields are in snake_case. With `--k8s-namespace` and
`--ingestor-label`, each line has `locality` and `ingestor`. Lines about a task also have `aggregation_id`,
and `batch_id` or `batch_count`; scheduled ones have the `trace_id` of the message. `--log-level` says
which are written. This page is generated from the program.

| event | severity | when |
| --- | --- | --- |
"""

_MESSAGES = """\
# Messages

What `facilitator` workers read: one JSON object in UTF-8, on one line, with nothing around it. Queues
must deliver messages unwrapped: SQS queues behind an SNS topic need raw message delivery.
This page is generated from the program.
"""

_REPORT = """\
# The report of a run

`workflow-manager run --json` prints one JSON document on standard output when the run ends; logs go to
standard error. A run that ends with status 2, or that a second signal ends, prints none.

- `exit_status` is that of the process; see [exit statuses](exit-statuses.md).
- `aggregations` has the figures of each aggregation by its ID, `totals` their sum. They have the names of
  the [metrics](metrics.md), without the prefix `workflow_manager_`.
- `failures_by_kind` counts all failures; `failures` has the messages of the first 20.
- Times are RFC 3339, UTC; windows exclude their end. Text fields that do not apply are empty.
- `version` is the version of the format: it changes if a field is removed or its meaning changes.
  Fields may be added without that.

Its JSON Schema, which is generated from the program:
"""


def report_page() -> str:
    """The schema of a run's report, as Markdown."""
    return f"{_REPORT}\n```json\n{json.dumps(schema(), indent=2)}\n```\n"


_MARKERS = """\
# Markers

A marker's name says that a task is scheduled; see [objects](objects.md). Its content is a record of the
task: one line of JSON in UTF-8. Only `version` and `marker` are always there. Anything else
may be missing, as in the markers of earlier versions and of the Go program, which contain only their own
name.

An aggregation's marker lists the batches that its message named. A run compares them with the batches
that are ready and validated now, and reports those that were left out. It reads at most 16 MB of a
marker; 50,000 batches take about 2 MB. This page is generated from the program.
"""


_STATUS = (
    """\
# Status

`workflow-manager status` shows the state of each batch and each aggregation window. It takes the flags
of a run, and its verdicts are those of a run with these flags: what is due is what the run schedules. It
writes nothing. This page is generated from the program.

A window that is `scheduled, N left out` has N batches that can be aggregated now and that its task did
not name.

With `--config`, `status --json` prints `{"instances": {NAME: …}}` with one such document for each instance.
`--html` writes the [status page](../how-to/read-the-status-page.md).

| window | why |
| --- | --- |
"""
    + "".join(f"| `{state}` | {REASONS[state]} |\n" for state in WindowState)
    + "\n## Schema\n"
)
_EXPLAIN = """\
## Schema of explain

`workflow-manager explain --json` prints what is known about each batch, window or malformed name that was
found, by the same rules. With `--config` it is by instance, as above: `{"instances": {NAME: EXPLANATIONS}}`.
"""


def instances_page() -> str:
    """The file of instances with its schema, as Markdown."""
    sample_file = f"## Example\n\n```yaml\n{example()}```\n"
    return f"{_INSTANCES}\n{sample_file}\n## JSON Schema\n\n```json\n{instances_schema()}```\n"


def flags_page() -> str:
    """The flags of each command, as Markdown."""
    commands = {
        "run": every_flag("run", "", run_output.OUTPUT),
        "tasks": tasks.COMMAND.every_flag(),
        "jobs": jobs.flags(),
        "sample": sample.FLAGS,
        "serve": serve.FLAGS,
        "instances": instances.FLAGS,
    }
    parts = [_FLAGS]
    for command, flags in commands.items():
        parts.append(f"\n## {command}\n")
        if command == "serve":
            parts.append(
                "\n`serve` takes the flags of `run` too; each holds for all instances, over the file.\n"
            )
        if command == "run":
            parts.append("\n`check` takes the same flags; its `--json` prints JSON instead of a table.\n")
        parts.extend(_groups(flags))
    parts.append("\n## status\n\nThe flags of a run; those of the queue are accepted and not needed. Also:\n")
    parts.extend(_groups(Flags("status", "", [survey_flags.STATUS])))
    parts.append("\n## explain\n\nThe flags of a run, as `status` has them. Also:\n")
    parts.extend(_groups(Flags("explain", "", [survey_flags.EXPLAIN])))
    parts.append("\n## backfill\n\nThe flags of a run. Also:\n")
    parts.extend(_groups(Flags("backfill", "", [backfill_flags.BACKFILL])))
    parts.append("\n## markers\n\nThe flags of a run, as `status` has them. Also:\n")
    parts.extend(_groups(Flags("markers", "", [markers_flags.MARKERS])))
    return "".join(parts)


def messages_page() -> str:
    """The schemas of the messages, as Markdown."""
    parts = [_MESSAGES]
    parts.extend(
        f"\n## {schema['title'].capitalize()}\n\n```json\n{json.dumps(schema, indent=2)}\n```\n"
        for schema in (INTAKE, AGGREGATION)
    )
    return "".join(parts)


def markers_page() -> str:
    """The schema of a marker's content, as Markdown."""
    return f"{_MARKERS}\n## Schema\n\n```json\n{json.dumps(MARKER, indent=2)}\n```\n"


def status_page() -> str:
    """The schemas of `status --json` and `explain --json`, as Markdown."""
    schemas = ((_STATUS, STATUS_SCHEMA), (_EXPLAIN, EXPLAIN_SCHEMA))
    return "\n".join(f"{about}\n```json\n{json.dumps(schema, indent=2)}\n```\n" for about, schema in schemas)


def events_page() -> str:
    """The events, as Markdown."""
    rows = (
        f"| `{event.name}` | {event.usual.value} | {(event.__doc__ or '').splitlines()[0]} |\n"
        for event in _events()
    )
    return _EVENTS + "".join(rows)


def _groups(flags: Flags) -> Iterator[str]:
    for title, options in flags.groups:
        yield f"\n### {title}\n\n| flag | default | | variable |\n| --- | --- | --- | --- |\n"
        for option in options:
            names = ", ".join(f"`--{name}`" for name in (option.name, *option.aliases))
            default = "required" if option.required else f"`{option.default}`" if option.default else ""
            yield f"| {names} | {default} | {option.help} | `{environment_twin(option.name)}` |\n"


def _events() -> Iterator[type[Event]]:
    """All events, in the order of their names."""
    modules = (events, found, stop_events, marker_events, service_events)
    members = {name: value for module in modules for name, value in vars(module).items()}.values()
    kinds = [kind for kind in members if isinstance(kind, type) and issubclass(kind, Event)]
    yield from sorted((kind for kind in kinds if "name" in vars(kind)), key=lambda kind: kind.name)


def manual_page() -> str:
    """The manual page, in the language of man(7): all commands with all their flags."""
    from argparse_manpage.manpage import Manpage  # noqa: PLC0415 (for whoever generates the page only)

    os.environ["COLUMNS"] = "80"  # argparse wraps for a terminal otherwise
    lines = str(Manpage(full_parser(COMMANDS, COMMANDS), format="single-commands-section")).splitlines()
    start = lines.index(".SH SYNOPSIS")
    return "\n".join(
        [
            f'.TH WORKFLOW\\-MANAGER 1 "" "workflow\\-manager {__version__}" "User Commands"',
            '.\\" Names of flags and variables are not to be broken, nor lines of examples stretched.',
            *(".nh", ".ad l", ".SH NAME", f"workflow\\-manager \\- {ABOUT[0].lower()}{ABOUT[1:-1]}"),
            *lines[start:],
            "",
        ]
    )


def main() -> None:
    """Write the pages into the directory that is named on the command line."""
    directory = Path(sys.argv[1])
    (directory / "flags.md").write_text(flags_page())
    (directory / "events.md").write_text(events_page())
    (directory / "instances.md").write_text(instances_page())
    (directory / "messages.md").write_text(messages_page())
    (directory / "status.md").write_text(status_page())
    (directory / "markers.md").write_text(markers_page())
    (directory / "run-report.md").write_text(report_page())
    (directory / "metrics.md").write_text(metrics_page())
    (directory / "workflow-manager.1").write_text(manual_page())


if __name__ == "__main__":
    main()
