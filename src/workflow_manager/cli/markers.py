"""`workflow-manager markers`: list markers, and delete the ones that no run needs."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import NamedTuple

from workflow_manager.assembly import flags_without_queue, read_flags
from workflow_manager.cli.run_output import utc_now
from workflow_manager.cli.surveying import grounds
from workflow_manager.config.flags import Flags, wrong_action
from workflow_manager.config.markers_flags import MARKERS
from workflow_manager.config.run_config import Given
from workflow_manager.core.names import MARKER_PREFIX
from workflow_manager.core.windows import MINUTE, aggregation_window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.flag_types import written
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted
from workflow_manager.pipeline.stage import Stage
from workflow_manager.survey.grounds import Grounds
from workflow_manager.survey.subject import BatchSubject, WindowSubject, batch_time, parse_subject

SUMMARY = """\
markers list   prints the markers of tasks
markers prune  deletes the markers of batches and windows older than --older-than

Takes the flags of a run. prune refuses a duration so short that a run could schedule a task again. A backfill
schedules tasks whose markers are pruned again: keep markers for longer than your backfills look back."""
USAGE = "markers list|prune [flags]"
_LIST = "list"
_PRUNE = "prune"
ACTIONS = (_LIST, _PRUNE)


class Marker(NamedTuple):
    """A marker of a task. `time` is that of the batch, or the end of the window."""

    key: str
    kind: str
    aggregation: str
    time: datetime


def flags() -> Flags:
    """The flags of `markers`."""
    return flags_without_queue("markers", SUMMARY, MARKERS, usage=USAGE)


def markers(arguments: Sequence[str]) -> int:
    """Run the action that the first argument names."""
    environ = dict(os.environ)
    parsed = read_flags("markers", SUMMARY, arguments, environ, MARKERS, queue=False)
    words, parsed.words = parsed.words, []
    given = Given(parsed.values)
    older_than = given.optional("older-than", timedelta)
    if words not in ([_LIST], [_PRUNE]):
        problem = wrong_action("markers", " ".join(words), ACTIONS)
        raise ConfigError([*parsed.all_mistakes(), Mistake("", "", problem)])
    with ExitStack() as opened:
        ground = grounds(parsed, environ, utc_now(), opened)
        if words == [_PRUNE]:
            return _prune(ground, _checked(older_than, ground))
        for marker in _markers(ground, older_than or timedelta.min):
            _show(marker, as_json=given.get("json", bool))
    return 0


def _checked(older_than: timedelta | None, ground: Grounds) -> timedelta:
    """The minimum age to prune; raises ConfigError if a run could still schedule a task of this age."""
    if older_than is None:
        raise ConfigError([Mistake("--older-than", "", "is required by markers prune")])
    rules = ground.rules
    due = aggregation_window(rules.now - rules.grace - ground.period, ground.period)
    least = rules.now - min(rules.intake.begin, rules.aggregation.begin, due.begin)
    if older_than < least:
        whole = -(-least // MINUTE) * MINUTE
        problem = f"must be at least {written(whole)}, or a run could schedule tasks again"
        raise ConfigError([Mistake("--older-than", written(older_than), problem)])
    return older_than


def _prune(ground: Grounds, older_than: timedelta) -> int:
    dry_run = ground.config.dry_run
    removing = Stage("prune", ground.config.max_marker_workers)
    count = 0
    try:
        for marker in _markers(ground, older_than):
            if not dry_run:
                removing.submit(ground.buckets.own.delete, marker.key)
            count += 1
    finally:
        removing.drain()
    print(f"{'would delete' if dry_run else 'deleted'} {counted(count, 'marker')}")
    return 0


def _markers(ground: Grounds, older_than: timedelta) -> Iterator[Marker]:
    """The task markers that are old enough, without leases and unknown objects."""
    before = None if older_than == timedelta.min else ground.rules.now - older_than
    for page in ground.buckets.own.list_keys(MARKER_PREFIX):
        for key in page:
            marker = _marker(key)
            if marker is None or marker.aggregation not in ground.selection:
                continue
            if before is None or marker.time < before:
                yield marker


def _marker(key: str) -> Marker | None:
    try:
        match parse_subject([key]):
            case BatchSubject(aggregation=aggregation, batch=batch, problem=""):
                return Marker(key, "intake", aggregation, batch_time(batch))
            case WindowSubject(aggregation=aggregation, end=datetime() as end):
                return Marker(key, "aggregate", aggregation, end)
    except ValueError:
        pass
    return None


def _show(marker: Marker, *, as_json: bool) -> None:
    time = f"{marker.time:%Y-%m-%dT%H:%MZ}"
    if as_json:
        facts = {
            "kind": marker.kind,
            "aggregation_id": marker.aggregation,
            "time": time,
            "marker": marker.key,
        }
        print(json.dumps(facts))
    else:
        print(f"{time}  {marker.kind:9}  {printable(marker.key)}")
