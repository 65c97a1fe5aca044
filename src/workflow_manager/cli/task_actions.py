"""The actions of `workflow-manager tasks`, and their output."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from workflow_manager.core.patterns import matcher
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted
from workflow_manager.pipeline.redrive import Redrive, RedriveReport
from workflow_manager.ports import TaskQueue
from workflow_manager.queue_ports import (
    Browsable,
    Inspectable,
    Pullable,
    QueuedMessage,
    Redrivable,
    TopicDirectory,
    TopicStats,
)

_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class RedriveSpec:
    """Which dead letters to redrive, and where to; `most` is None for all."""

    source: str
    topic: str
    aggregations: tuple[str, ...]
    most: int | None
    lease: timedelta
    dry_run: bool


class TaskActions:
    """The actions of the command on one queue. Each returns the exit status."""

    def __init__(self, kind: str, queue: TaskQueue, *, as_json: bool) -> None:
        self._kind = kind
        self._queue = queue
        self._as_json = as_json

    def stats(self, topics: Sequence[str]) -> int:
        """Show the statistics of the named topics, or of all topics of the queue."""
        queue = self._queue
        if not isinstance(queue, Inspectable):
            self._unsupported("tasks stats")
        names = [topic for topic in topics if topic] or self._topic_names()
        found = {name: queue.stats(name) for name in names}
        if self._as_json:
            for name, stats in found.items():
                print(json.dumps({"topic": name, **stats._asdict()}))
        else:
            _show_stats(found)
        return 0

    def list(self, topic: str) -> int:
        """Show the tasks on a topic, or the number of tasks per topic."""
        queue = self._queue
        if not isinstance(queue, Browsable):
            self._unsupported("tasks list", "; use 'tasks stats'")
        names = [] if topic else self._topic_names()
        for name in names:
            count = sum(1 for _ in queue.browse(name))
            shown = json.dumps({"topic": name, "tasks": count})
            print(shown if self._as_json else f"{count:8}  {printable(name)}")
        now = time.time()
        for message in queue.browse(topic) if topic else ():
            print(json.dumps(_fields(message, now)) if self._as_json else _line(message))
        return 0

    def redrive(self, spec: RedriveSpec) -> int:
        """Redrive dead letters; 1 if any could not be redriven."""
        queue = self._queue
        if not isinstance(queue, Redrivable):
            self._unsupported("tasks redrive")
        redrive = Redrive(
            queue,
            spec.source,
            spec.topic,
            matcher(spec.aggregations),
            most=spec.most,
            dry_run=spec.dry_run,
        )
        queue.check(spec.topic)  # some services accept messages that nobody receives
        with closing(queue.dead_letters(spec.source, spec.topic, spec.lease)) as letters:
            report = redrive.run(letters)
        if self._as_json:
            print(
                json.dumps({"from": spec.source, "to": spec.topic, "dry_run": spec.dry_run, **asdict(report)})
            )
        else:
            print(_outcome(spec, report))
        for error in report.errors:
            print(f"workflow-manager: {printable(error)}", file=sys.stderr)
        if report.stopped:
            print(f"workflow-manager: stopped early: {printable(report.stopped)}", file=sys.stderr)
        return 0 if report.succeeded else 1

    def pull(self, topic: str, most: int, lease: timedelta) -> int:
        """Lease tasks and show them."""
        for message in self._pullable().pull(topic, most, lease):
            if self._as_json:
                print(json.dumps({"ack-id": message.ack_id, "task": _parsed(message.body)}))
            else:
                print(f"{message.ack_id}  {_shown(message.body)}")
        return 0

    def ack(self, ack_ids: Sequence[str]) -> int:
        """Delete tasks that are done; 1 if any ID is unknown."""
        unknown = self._pullable().ack(ack_ids)
        for ack_id in unknown:
            told = f"no leased task has the ID {ack_id!r}; use the ID that 'tasks pull' printed"
            print(f"workflow-manager: {told}", file=sys.stderr)
        print(f"acknowledged {counted(len(ack_ids) - len(unknown), 'task')}")
        return 1 if unknown else 0

    def _pullable(self) -> Pullable:
        if not isinstance(self._queue, Pullable):
            self._unsupported("tasks pull")
        return self._queue

    def _topic_names(self) -> Sequence[str]:
        if not isinstance(self._queue, TopicDirectory):
            problem = f"is required: {self._kind} queues cannot list their topics"
            raise ConfigError([Mistake("--topic", "", problem)])
        return self._queue.topic_names()

    def _unsupported(self, command: str, remedy: str = "") -> NoReturn:
        problem = f"this kind of queue does not support {command!r}{remedy}"
        raise ConfigError([Mistake("--task-queue-kind", self._kind, problem)])


def _show_stats(found: Mapping[str, TopicStats]) -> None:
    rows: list[tuple[str, ...]] = [("TOPIC", "WAITING", "LEASED", "OLDEST", "DEAD", "DEAD LETTERS")]
    for name, stats in found.items():
        numbers = [_UNKNOWN if n is None else str(n) for n in (stats.waiting, stats.leased)]
        dead = _UNKNOWN if stats.dead is None else str(stats.dead)
        rows.append((printable(name), *numbers, _age(stats), dead, printable(stats.dead_letters) or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for name, stats in found.items():
        if stats.elsewhere:
            print(f"{printable(name)}: {printable(stats.elsewhere)}")


def _age(stats: TopicStats) -> str:
    if stats.oldest_seconds is None:
        return "-" if stats.waiting == stats.leased == 0 else _UNKNOWN
    return str(timedelta(seconds=int(stats.oldest_seconds)))


def _fields(message: QueuedMessage, now: float) -> dict[str, object]:
    published = message.published
    return {
        "id": int(message.id) if message.id.isdecimal() else message.id,
        "published": None if published is None else _time(published),
        "age_seconds": None if published is None else max(0, int(now - published)),
        "state": message.state or None,
        "leases": message.leases,
        "message": _parsed(message.body),
    }


def _line(message: QueuedMessage) -> str:
    published = _UNKNOWN if message.published is None else _time(message.published)
    leases = "" if message.leases is None else counted(message.leases, "lease")
    return f"{message.id:>8}  {published}  {message.state:7}  {leases:9}  {_shown(message.body)}"


def _outcome(spec: RedriveSpec, report: RedriveReport) -> str:
    did = "would move" if spec.dry_run else "moved"
    text = f"{did} {counted(report.redriven, 'task')} to {printable(spec.topic)}"
    left = (
        (report.failed, "failed"),
        (
            report.not_removed,
            f"also still in {printable(spec.source)}; the next redrive publishes them again",
        ),
        (report.duplicates, "left: identical to one that was moved"),
        (report.not_chosen, "left: other aggregations"),
        (report.foreign, "left: not a task"),
    )
    return "; ".join([text, *(f"{count} {what}" for count, what in left if count)])


def _parsed(body: bytes) -> object:
    """A message as JSON, or as text if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _shown(body: bytes) -> str:
    return printable(body.decode(errors="replace"))
