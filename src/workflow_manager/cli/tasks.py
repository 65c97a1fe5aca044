"""`workflow-manager tasks`: look at, take and acknowledge the tasks of an SQLite queue."""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from workflow_manager import flag_types
from workflow_manager.config.flags import Flags
from workflow_manager.config.run_config import Given
from workflow_manager.config.run_flags import Group
from workflow_manager.errors import ConfigError, Mistake, QueueError
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted
from workflow_manager.ports import Option, Settings
from workflow_manager.queues.sqlite import SqliteQueue

SUMMARY = """\
tasks list  shows the tasks on a topic without taking any
tasks pull  leases tasks as a worker would: nobody else gets them until the lease runs out
tasks ack   removes tasks that are done, by the IDs that pull has printed

Without --topic, list shows how many tasks each topic has."""

_LIST = "list"
_PULL = "pull"
_ACK = "ack"
FLAGS = Flags(
    "tasks",
    SUMMARY,
    [
        Group(
            "Which tasks",
            (
                *SqliteQueue.options,
                Option("topic", "topic to list or pull from"),
                Option("max", "most tasks to pull", "1", flag_types.at_least_one),
                Option("lease", "how long pulled tasks are left to us", "10m", flag_types.duration),
                Option("json", "print JSON, one task a line", "false", flag_types.boolean, is_switch=True),
            ),
        )
    ],
    usage="tasks list|pull|ack [flags] [ID ...]",
)


def tasks(arguments: Sequence[str]) -> int:
    """Do what the first word says; 0, or 1 if an ID to acknowledge is not known."""
    parsed = FLAGS.parse(arguments, os.environ)
    if parsed.wants_help:
        print(FLAGS.help(), end="")
        return 0
    action, *ack_ids = parsed.words or [""]
    parsed.words = []
    given = Given(parsed.values)
    mistakes = [*parsed.all_mistakes(), *_mistakes(action, ack_ids, given)]
    if mistakes:
        raise ConfigError(mistakes)
    queue = SqliteQueue.open(Settings(options=parsed.values))
    try:
        if action == _LIST:
            return _list(queue, given)
        return _pull(queue, given) if action == _PULL else _ack(queue, ack_ids)
    finally:
        queue.close()


def _mistakes(action: str, ack_ids: Sequence[str], given: Given) -> list[Mistake]:
    if action not in (_LIST, _PULL, _ACK):
        return [Mistake("", "", f"say what to do: tasks list, tasks pull or tasks ack, not {action!r}")]
    mistakes = []
    if action == _PULL and not given.text("topic"):
        mistakes.append(Mistake("--topic", "", "is required to pull"))
    if action == _PULL and given.get("lease", timedelta) <= timedelta():
        mistakes.append(Mistake("--lease", "", "must be greater than zero"))
    if action == _ACK and not ack_ids:
        mistakes.append(Mistake("", "", "name the IDs to acknowledge, as 'tasks pull' has printed them"))
    if action != _ACK and ack_ids:
        mistakes.append(Mistake("", "", f"unexpected word {ack_ids[0]!r}"))
    return mistakes


def _list(queue: SqliteQueue, given: Given) -> int:
    topic, as_json = given.text("topic"), given.get("json", bool)
    if not topic:
        for name, count in queue.topics().items():
            print(json.dumps({"topic": name, "tasks": count}) if as_json else f"{count:8}  {printable(name)}")
        return 0
    _known(queue, topic)
    now = time.time()
    for message in queue.peek(topic):
        state = "leased" if message.leased_until > now else "waiting"
        if as_json:
            print(
                json.dumps(
                    {
                        "id": message.number,
                        "published": _time(message.published),
                        "age_seconds": max(0, int(now - message.published)),
                        "state": state,
                        "leases": message.deliveries,
                        "message": _parsed(message.body),
                    }
                )
            )
        else:
            leases = counted(message.deliveries, "lease")
            shown = _shown(message.body)
            print(f"{message.number:8}  {_time(message.published)}  {state:7}  {leases:9}  {shown}")
    return 0


def _known(queue: SqliteQueue, topic: str) -> None:
    topics = list(queue.topics())
    if topic not in topics:
        there = f"there are {', '.join(map(printable, topics))}" if topics else "the queue has no topics"
        raise QueueError(
            "find", f"topic {printable(topic)}", f"there is no such topic; {there}", "correct --topic"
        )


def _parsed(body: bytes) -> object:
    """A message as JSON, or as text if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _pull(queue: SqliteQueue, given: Given) -> int:
    lease = given.get("lease", timedelta)
    _known(queue, given.text("topic"))
    leased = queue.pull(given.text("topic"), given.get("max", int), lease)
    for message in leased:
        if given.get("json", bool):
            print(json.dumps({"ack-id": message.ack_id, "task": _parsed(message.body)}, ensure_ascii=False))
        else:
            print(f"{message.ack_id}  {_shown(message.body)}")
    return 0


def _ack(queue: SqliteQueue, ack_ids: Sequence[str]) -> int:
    unknown = queue.ack(ack_ids)
    for ack_id in unknown:
        print(f"workflow-manager: {ack_id!r} names no task that is leased to you", file=sys.stderr)
    print(f"acknowledged {counted(len(ack_ids) - len(unknown), 'task')}")
    return 1 if unknown else 0


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _shown(body: bytes) -> str:
    return printable(body.decode(errors="replace"))
