"""`workflow-manager explain`: why a batch or window is or is not scheduled. Read only."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from workflow_manager.assembly import flags_without_queue, read_flags
from workflow_manager.cli.explain_text import sentences
from workflow_manager.cli.run_output import utc_now
from workflow_manager.cli.surveying import grounds, range_since
from workflow_manager.config.flags import Flags
from workflow_manager.config.survey_flags import EXPLAIN
from workflow_manager.core.names import BatchIds
from workflow_manager.core.selection import Selection
from workflow_manager.core.windows import Window
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import quote
from workflow_manager.survey.explanation import BatchExplanation, Explainer, WindowExplanation
from workflow_manager.survey.explanation_json import batch_json, window_explanation_json
from workflow_manager.survey.subject import BatchIdSubject, BatchSubject, Subject, parse_subject

SUMMARY = """\
Explain one batch or aggregation window: which objects exist, which are missing, what a run would do now,
and what it takes to schedule it. Takes the flags of a run. Writes nothing.

WHAT is an object name, a batch ID (searched for from --since on), a marker name, or an aggregation ID and
the start of a window. Exits with status 1 if no batch has the ID."""
USAGE = "explain [flags] WHAT"
MOST_FOUND = 10
NOT_FOUND = 1


def flags() -> Flags:
    """The flags of `explain`."""
    return flags_without_queue("explain", SUMMARY, EXPLAIN, usage=USAGE)


def explain(arguments: Sequence[str]) -> int:
    """Explain the batch or window that the arguments name."""
    environ = dict(os.environ)
    parsed = read_flags("explain", SUMMARY, arguments, environ, EXPLAIN, queue=False)
    words, parsed.words = parsed.words, []
    try:
        subject = parse_subject(words, BatchIds(str(parsed.values["batch-ids"])))
    except ValueError as error:
        raise ConfigError([*parsed.all_mistakes(), Mistake("", "", str(error))]) from None
    with ExitStack() as opened:
        ground = grounds(parsed, environ, utc_now(), opened)
        explainer = Explainer(ground.buckets, ground.rules, ground.period, is_first=ground.config.is_first)
        if isinstance(subject, BatchSubject) and subject.problem:
            return _malformed(subject, as_json=bool(parsed.values["json"]))
        times = range_since(parsed, ground.rules, ground.period)
        found = list(_explained(explainer, subject, times, ground.selection))
    if parsed.values["json"]:
        print(json.dumps([_as_json(one) for one in found], indent=2))
    for number, one in enumerate(found):
        if not parsed.values["json"]:
            print("\n" * bool(number) + "\n".join(printable(line) for line in sentences(one, ground.rules)))
    if not found and isinstance(subject, BatchIdSubject):
        since = f"{times.begin:%Y-%m-%dT%H:%M:%SZ}"
        print(f"no batch has the ID {quote(subject.id)} since {since}; to search further back, set --since")
    for warning in explainer.warnings:
        print(f"warning: {printable(warning)}")
    return 0 if found else NOT_FOUND


def _explained(
    explainer: Explainer, subject: Subject, times: Window, selection: Selection
) -> Iterator[BatchExplanation | WindowExplanation]:
    match subject:
        case BatchSubject(aggregation=aggregation, batch=batch):
            yield explainer.batch(aggregation, batch)
        case BatchIdSubject(id=batch_id):
            for number, (aggregation, batch) in enumerate(explainer.search(batch_id, times, selection)):
                if number < MOST_FOUND:
                    yield explainer.batch(aggregation, batch)
        case _:
            yield explainer.window(subject.aggregation, subject.begin, subject.end)


def _malformed(subject: BatchSubject, *, as_json: bool) -> int:
    name = "/".join(filter(None, (subject.aggregation, subject.batch.time, subject.batch.id)))
    if as_json:
        print(json.dumps([{"kind": "malformed", "name": name, "problem": subject.problem}], indent=2))
    else:
        print(f"{quote(name)} is malformed: {subject.problem}. Runs skip and count it.")
    return 0


def _as_json(explained: BatchExplanation | WindowExplanation) -> dict[str, Any]:
    if isinstance(explained, BatchExplanation):
        return batch_json(explained)
    return window_explanation_json(explained)
