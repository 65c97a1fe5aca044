"""`workflow-manager explain`: why a batch or window is or is not scheduled. Read only."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from workflow_manager.assembly import flags_without_queue
from workflow_manager.cli.surveying import Deployment, Deployments, open_deployments, show_name
from workflow_manager.config.flags import Flags
from workflow_manager.config.fleet_flags import FLEET
from workflow_manager.config.survey_flags import EXPLAIN
from workflow_manager.core.windows import Window
from workflow_manager.errors import ConfigError, Mistake, StorageError
from workflow_manager.observe.logs import printable
from workflow_manager.observe.wording import counted, quote
from workflow_manager.report.explanation_text import sentences
from workflow_manager.survey.explanation import Explainer, Explanation, is_anything
from workflow_manager.survey.explanation_json import explanation_json
from workflow_manager.survey.grounds import range_since
from workflow_manager.survey.subject import BatchIdSubject, BatchSubject, Subject, parse_subject

SUMMARY = """\
Explain one batch or aggregation window: which objects exist, which are missing, what a run would do now,
and what it takes to schedule it. Takes the flags of a run, or with --config the instances of a file: of
several, it shows those that have anything of it. Writes nothing.

WHAT is the name or URL of an object, a batch ID (searched for from --since on), a marker name, or an
aggregation ID and the start of a window. Exits with status 1 if no batch has the ID, or if none of several
instances has anything."""
USAGE = "explain [flags] WHAT"
MOST_FOUND = 10
NOT_FOUND = 1


@dataclass(slots=True)
class _Answer:
    """What there is to say about one deployment; `times` are those in which a batch ID was searched for."""

    times: Window
    found: list[Explanation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def flags() -> Flags:
    """The flags of `explain`."""
    return flags_without_queue("explain", SUMMARY, EXPLAIN, FLEET, usage=USAGE)


def explain(arguments: Sequence[str]) -> int:
    """Explain the batch or window that the arguments name."""
    environ = dict(os.environ)
    with ExitStack() as opened:
        wanted = open_deployments(("explain", SUMMARY, EXPLAIN), arguments, environ, opened, words=True)
        answers = list(wanted.each(partial(_answer, wanted)))
    as_json = bool(wanted.given.values["json"])
    remarks = sys.stderr if as_json else sys.stdout
    if len(answers) > 1:
        for _, answer in answers:
            answer.found = list(filter(is_anything, answer.found))
    shown = [(one, answer) for one, answer in answers if answer.found or not wanted.many]
    if as_json:
        documents = {
            one.name: [explanation_json(it, one.target) for it in answer.found] for one, answer in shown
        }
        print(json.dumps({"instances": documents} if wanted.many else documents[""], indent=2))
    else:
        for one, answer in shown:
            show_name(one)
            _show(one, answer)
    for one, answer in answers:
        for warning in answer.warnings:
            print(f"warning: {f'{one.name}: ' if one.name else ''}{printable(warning)}", file=remarks)
    if any(answer.found for _, answer in answers):
        return 0
    print(_nothing(wanted, answers), file=remarks)
    return NOT_FOUND


def _answer(wanted: Deployments, deployment: Deployment) -> _Answer:
    ground = deployment.ground
    subject = _subject(wanted, deployment)
    answer = _Answer(range_since(deployment.parsed, ground.rules, ground.period))
    explainer = Explainer(
        ground.buckets,
        ground.rules,
        ground.period,
        is_first=ground.config.is_first,
        resources=wanted.resources,
    )
    try:
        if subject is not None:
            answer.found.extend(
                _explained(explainer, deployment, subject, answer.times, wanted.given.words[0])
            )
    except StorageError as error:
        if not wanted.many:
            raise
        answer.warnings.append(str(error))
    answer.warnings.extend(explainer.warnings)
    return answer


def _subject(wanted: Deployments, deployment: Deployment) -> Subject | None:
    """What the words name; None for the URL of an object in a bucket of another instance."""
    words, ground = wanted.given.words, deployment.ground
    if len(words) == 1 and "://" in words[0]:
        buckets = (ground.buckets.ingestion, ground.buckets.own, ground.buckets.peer)
        keys = (words[0].removeprefix(f"{bucket.url}/") for bucket in buckets)
        words = [key for key in keys if key != words[0]]
        if not words and wanted.many:
            return None
        if not words:
            raise ConfigError([Mistake("", wanted.given.words[0], "is not an object in one of the buckets")])
    try:
        return parse_subject(words, ground.config.batch_ids)
    except ValueError as error:
        raise ConfigError([Mistake("", "", str(error))]) from None


def _explained(
    explainer: Explainer, deployment: Deployment, subject: Subject, times: Window, word: str
) -> Iterator[Explanation]:
    match subject:
        case BatchSubject(problem=problem) if problem:
            yield explainer.malformed(word, problem)
        case BatchSubject(aggregation=aggregation, batch=batch):
            yield explainer.batch(aggregation, batch)
        case BatchIdSubject(id=batch_id):
            found = explainer.search(batch_id, times, deployment.ground.selection)
            for number, (aggregation, batch) in enumerate(found):
                if number < MOST_FOUND:
                    yield explainer.batch(aggregation, batch)
        case _:
            yield explainer.window(subject.aggregation, subject.begin, subject.end)


def _show(deployment: Deployment, answer: _Answer) -> None:
    for number, one in enumerate(answer.found):
        lines = sentences(one, deployment.ground.rules, deployment.target)
        print("\n" * bool(number) + "\n".join(map(printable, lines)))


def _nothing(wanted: Deployments, answers: Sequence[tuple[Deployment, _Answer]]) -> str:
    """That nothing was found, and where it was looked for."""
    words = wanted.given.words
    if len(words) == 1 and isinstance(parse_subject(words), BatchIdSubject) and answers:
        since = f"{answers[0][1].times.begin:%Y-%m-%dT%H:%M:%SZ}"
        return f"no batch has the ID {quote(words[0])} since {since}; to search further back, set --since"
    what = " ".join(map(quote, words))
    return f"none of {counted(len(answers), 'instance')} has anything of {what}"
