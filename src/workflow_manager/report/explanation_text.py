"""An explanation in sentences."""

from collections.abc import Iterator

from workflow_manager.core.marker_record import MarkerRecord, marker_name
from workflow_manager.core.verdict import REASONS, Rules
from workflow_manager.observe.wording import counted, quote, span
from workflow_manager.survey.explanation import (
    BatchExplanation,
    Explanation,
    MalformedExplanation,
    WindowExplanation,
    remedy,
)

_BUCKETS = {"ingestion": "ingestion bucket", "own": "own bucket", "peer": "peer's bucket"}


def sentences(explained: Explanation, rules: Rules, target: str = "") -> Iterator[str]:
    """What there is to say, one line each; a command has its own line. See `remedy` for `target`."""
    if isinstance(explained, MalformedExplanation):
        where = " and in the ".join(_BUCKETS[bucket] for bucket in explained.buckets)
        yield f"{quote(explained.name)} is malformed: {explained.problem}."
        yield f"It is in the {where}." if where else "No bucket has an object with this name."
    elif isinstance(explained, BatchExplanation):
        yield from _batch(explained)
        yield _window(explained.window)
        yield from window_sentences(explained.window)
        yield from _named(explained)
    else:
        yield _window(explained)
        yield from window_sentences(explained)
    yield f"As of {rules.now:%Y-%m-%dT%H:%M:%SZ}:"
    anything = False
    for sentence, command in remedy(explained, target):
        anything = True
        yield f"  {sentence}"
        if command:
            yield f"    {command}"
    if not anything:
        yield "  Nothing is left to schedule."


def _batch(explained: BatchExplanation) -> Iterator[str]:
    batch = explained.batch
    yield f"Batch {quote(batch.id)} of {quote(explained.aggregation)} at {batch.time} (UTC)."
    for bucket, names, whole, complete in (
        ("ingestion bucket", explained.ingestion, explained.ready, "ready"),
        ("peer's bucket", explained.peer, explained.validated, "validated by the peer"),
        ("own bucket", explained.own, True, "validated by us"),
    ):
        if names:
            endings = ", ".join(name.rpartition("/")[2].removeprefix(batch.id) for name in names)
            state = complete if whole else "incomplete"
            yield f"In the {bucket}: {endings} ({state})."
        else:
            yield f"In the {bucket}: nothing."
    yield from _marker("Its intake marker", explained.marker, explained.record)
    if explained.state is not None:
        yield f"Its intake is {explained.state}: {REASONS[explained.state]}."


def _window(explained: WindowExplanation) -> str:
    found = explained.findings
    left_out = f", {found.left_out} of them left out of its task" if found.left_out else ""
    incomplete = f"; {counted(found.incomplete, 'incomplete batch')}" if found.incomplete else ""
    return (
        f"Window {span(found.window)} of {quote(explained.aggregation)}: {found.ready} ready,"
        f" {found.validated} validated by the peer{left_out}{incomplete}."
    )


def window_sentences(explained: WindowExplanation) -> Iterator[str]:
    """Why a window is in its state, without what a table beside it already says."""
    found = explained.findings
    if not explained.known:
        yield f"The ingestion bucket has no aggregation {quote(explained.aggregation)}; check its spelling."
    yield f"The window is {explained.state}: {REASONS[explained.state]}."
    if explained.record is None and found.marked:
        yield f"Its marker {quote(marker_name(explained.marker))} exists."
    else:
        yield from _marker("Its marker", marker_name(explained.marker), explained.record)
    if found.overlaps is not None:
        yield f"It overlaps the scheduled window {span(found.overlaps)}, so a run refuses to schedule it."


def _named(explained: BatchExplanation) -> Iterator[str]:
    if explained.window.record is None:
        return
    match explained.named:
        case True:
            yield "The task of the window named this batch."
        case False:
            yield "The task of the window did not name this batch."
        case None:
            yield "The marker of the window does not say which batches its task named."


def _marker(what: str, name: str, record: MarkerRecord | None) -> Iterator[str]:
    if record is None:
        yield f"{what} {quote(name)} does not exist."
        return
    if record.time is None:
        yield f"{what} {quote(name)} exists, and does not say when it was written."
    else:
        host = f" by {quote(record.writer.host)}" if record.writer else ""
        batches = "" if record.batches is None else f" for {counted(len(record.batches), 'batch')}"
        yield f"{what} {quote(name)} was written at {record.time}{host}{batches}; trace ID {record.trace_id}."
    for entry in record.again:
        yield f"Scheduled again at {entry.time} by {quote(entry.host)}: {quote(entry.reason)}."
