"""`workflow-manager tasks`: inspect a task queue, redrive dead letters, and act as a worker."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from workflow_manager import flag_types
from workflow_manager.assembly import open_queue
from workflow_manager.cli import task_actions
from workflow_manager.config.flags import Flags, wrong_action
from workflow_manager.config.run_config import Given, retry_policy
from workflow_manager.config.run_flags import GROUPS, RETRY_FLAGS, Group
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.ports import Option, Settings
from workflow_manager.queue_flags import KIND, TOPICS, QueueCommand

SUMMARY = """\
tasks stats    shows how many tasks are waiting, leased and dead, and the age of the oldest task
tasks list     shows the tasks on a topic without leasing them; without --topic, the number per topic
tasks redrive  moves dead letters: publishes them to --to, then deletes them from --from
tasks pull     leases tasks as a worker does: nobody else gets them until the lease ends
tasks ack      deletes tasks that are done, by the IDs that pull printed

stats and redrive work with every kind of queue, list with kinds that can read tasks without leasing them,
pull and ack with SQLite."""

_LIST = "list"
_PULL = "pull"
_ACK = "ack"
_STATS = "stats"
_REDRIVE = "redrive"
ACTIONS = (_STATS, _LIST, _REDRIVE, _PULL, _ACK)


# The flags of a run, but none is required.
_QUEUE = Group(
    "Task queue",
    tuple(
        option._replace(required=False)
        for group in GROUPS
        for option in group.options
        if option.name in (KIND, *TOPICS)
    ),
)
_WHICH = Group(
    "Which tasks",
    (
        Option("topic", "topic to inspect, list or pull from (default for stats: both topics of a run)"),
        Option(
            "max",
            "maximum number of tasks to pull (default 1) or redrive (default all)",
            "",
            flag_types.at_least_one,
        ),
        Option(
            "lease",
            "how long pulled tasks and dead letters being redriven are hidden from others",
            "10m",
            flag_types.duration,
        ),
        Option("json", "print JSON, one object per line", "false", flag_types.boolean, is_switch=True),
    ),
)
_REDRIVING = Group(
    "Dead letters",
    (
        Option("from", "queue, stream, subject, topic or subscription to redrive dead letters from"),
        Option("to", "topic to publish the dead letters to"),
        Option(
            "aggregation-id",
            "redrive only tasks of this aggregation; * matches any text; may be repeated",
            repeatable=True,
        ),
        Option(
            "dry-run",
            "only count the tasks that would be redriven",
            "false",
            flag_types.boolean,
            is_switch=True,
        ),
    ),
)
COMMAND = QueueCommand(
    "tasks",
    SUMMARY,
    "tasks stats|list|redrive|pull|ack [flags] [ID ...]",
    [_QUEUE, _WHICH, _REDRIVING, RETRY_FLAGS],
)


def flags() -> Flags:
    """The flags of `tasks`."""
    return COMMAND.every_flag()


def tasks(arguments: Sequence[str]) -> int:
    """Run the action that the first argument names; 0, or 1 if any part of it failed."""
    parsed, kind = COMMAND.read(arguments, os.environ)
    action, *ack_ids = parsed.words or [""]
    parsed.words = []
    given = Given(parsed.values)
    mistakes = [*parsed.all_mistakes(), *_mistakes(action, ack_ids, given)]
    if mistakes:
        raise ConfigError(mistakes)
    with ExitStack() as opened:
        settings = Settings(parsed.values, environ=dict(os.environ), retry_policy=retry_policy(parsed.values))
        actions = task_actions.TaskActions(
            kind, open_queue(kind, settings, opened), as_json=given.get("json", bool)
        )
        return _act(actions, action, ack_ids, given)


def _act(actions: task_actions.TaskActions, action: str, ack_ids: Sequence[str], given: Given) -> int:
    topic, lease, most = given.text("topic"), given.get("lease", timedelta), given.optional("max", int)
    match action:
        case "stats":
            return actions.stats([topic] if topic else [given.text(name) for name in TOPICS])
        case "list":
            return actions.list(topic)
        case "redrive":
            return actions.redrive(
                task_actions.RedriveSpec(
                    given.text("from"),
                    given.text("to"),
                    given.optional("aggregation-id", tuple) or (),
                    most,
                    lease,
                    dry_run=given.get("dry-run", bool),
                )
            )
        case "pull":
            return actions.pull(topic, most or 1, lease)
        case _:
            return actions.ack(ack_ids)


def _mistakes(action: str, ack_ids: Sequence[str], given: Given) -> list[Mistake]:
    if action not in ACTIONS:
        return [Mistake("", "", wrong_action("tasks", action, ACTIONS))]
    mistakes = []
    needed = {_PULL: ("topic",), _REDRIVE: ("from", "to")}.get(action, ())
    mistakes += [
        Mistake(f"--{name}", "", f"is required by tasks {action}") for name in needed if not given.text(name)
    ]
    if given.get("lease", timedelta) <= timedelta():
        mistakes.append(Mistake("--lease", "", "must be greater than zero"))
    if action == _ACK and not ack_ids:
        mistakes.append(Mistake("", "", "tasks ack requires the IDs that 'tasks pull' printed"))
    if action != _ACK and ack_ids:
        mistakes.append(Mistake("", "", f"unexpected word {ack_ids[0]!r}"))
    return mistakes
