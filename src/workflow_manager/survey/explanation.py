"""Explains the state of one batch or window. Read only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_manager.core.marker_record import MarkerRecord, marker_name
from workflow_manager.core.name_ends import parse_key
from workflow_manager.core.names import (
    INGESTION,
    Batch,
    Part,
    aggregate_marker,
    intake_marker,
    suffixes,
    validity_infix,
)
from workflow_manager.core.selection import Selection
from workflow_manager.core.verdict import BatchState, Rules, WindowState, batch_state
from workflow_manager.core.windows import MINUTE, Window, aggregation_window
from workflow_manager.flag_types import written
from workflow_manager.pipeline.listing import exists
from workflow_manager.pipeline.recorded import MarkerReader
from workflow_manager.pipeline.scheduler import Buckets
from workflow_manager.ports import Bucket
from workflow_manager.survey import commands
from workflow_manager.survey.backfill_plan import Only
from workflow_manager.survey.findings import WindowFindings
from workflow_manager.survey.subject import batch_time
from workflow_manager.survey.surveyor import ALONE, Surveyor, SurveyResources, SurveySpec


@dataclass(frozen=True, slots=True)
class WindowExplanation:
    """A window, its marker and its state. `record` is None if there is no marker.

    `known` says whether the ingestion bucket has objects of the aggregation. `other_length` is set if
    runs schedule windows of another length.
    """

    aggregation: str
    findings: WindowFindings
    state: WindowState
    marker: str
    record: MarkerRecord | None
    known: bool = True
    other_length: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether runs would schedule the window if it did not overlap a scheduled one."""
        due = self.state in (WindowState.DUE, WindowState.MISSED)
        return due and self.findings.overlaps is not None


@dataclass(frozen=True, slots=True)
class BatchExplanation:
    """A batch: its objects by bucket, its marker and its window.

    `state` is None unless the batch is ready. `named` says whether the window's task named it; None if
    there is no such task, or its marker does not record it.
    """

    aggregation: str
    batch: Batch
    ingestion: list[str]
    peer: list[str]
    own: list[str]
    ready: bool
    validated: bool
    state: BatchState | None
    marker: str
    record: MarkerRecord | None
    window: WindowExplanation
    named: bool | None


@dataclass(frozen=True, slots=True)
class MalformedExplanation:
    """An object with a malformed name, and which buckets have it: `ingestion`, `own`, `peer`."""

    name: str
    problem: str
    buckets: tuple[str, ...]


Explanation = BatchExplanation | WindowExplanation | MalformedExplanation


def is_anything(explained: Explanation) -> bool:
    """Whether any bucket has anything of what is explained."""
    match explained:
        case MalformedExplanation(buckets=found):
            return bool(found)
        case BatchExplanation(ingestion=ingestion, peer=peer, own=own, record=record):
            return bool(ingestion or peer or own or record)
        case WindowExplanation(known=known, record=record):
            return known or record is not None


class Explainer:
    """Explains batches and windows; raises StorageError if the buckets cannot be read."""

    def __init__(
        self,
        buckets: Buckets[Bucket],
        rules: Rules,
        period: timedelta,
        *,
        is_first: bool,
        resources: SurveyResources = ALONE,
    ) -> None:
        self._resources = resources
        self._buckets = buckets
        self._rules = rules
        self._period = period
        self._is_first = is_first
        self.warnings: list[str] = []
        self._reader = MarkerReader(buckets.own, lambda error: self.warnings.append(str(error)))

    def window(self, aggregation: str, begin: datetime, end: datetime | None = None) -> WindowExplanation:
        """The window from `begin` to `end`; without `end`, the aligned window that contains `begin`."""
        window = aggregation_window(begin, self._period) if end is None else Window(begin, end)
        spec = SurveySpec(
            self._rules,
            Window(window.begin, window.begin),
            window,
            window.end - window.begin,
            self._is_first,
            Selection.exactly(aggregation),
        )
        report = Surveyor(self._buckets, spec, self._resources).survey()
        self.warnings.extend(report.failures)
        surveyed = report.aggregations.get(aggregation)
        marker = aggregate_marker(aggregation, window)
        record = self._reader.read(marker)
        known = (one for one in surveyed.windows if one.window == window) if surveyed else iter(())
        found = next(known, None) or WindowFindings(window, marked=record is not None)
        return WindowExplanation(
            aggregation,
            found,
            found.state(self._rules),
            marker,
            record,
            surveyed is not None,
            spec.period != self._period,
        )

    def batch(self, aggregation: str, batch: Batch) -> BatchExplanation:
        """A batch, which need not exist."""
        time = batch_time(batch)
        window = self.window(aggregation, time)
        ingestion = self._parts(self._buckets.ingestion, aggregation, batch, INGESTION)
        peer = self._parts(self._buckets.peer, aggregation, batch, validity_infix(1 if self._is_first else 0))
        own = self._parts(self._buckets.own, aggregation, batch, validity_infix(0 if self._is_first else 1))
        ready = sum(ingestion.values()) == Part.ALL
        marker = intake_marker(aggregation, batch)
        record = self._reader.read(marker)
        named = None
        if window.record is not None and window.record.batches is not None:
            named = batch in window.record.batches
        return BatchExplanation(
            aggregation,
            batch,
            sorted(ingestion),
            sorted(peer),
            sorted(own),
            ready,
            bool(sum(peer.values()) & Part.SIGNATURE),
            batch_state(batch, self._rules, marked=record is not None) if ready else None,
            marker_name(marker),
            record,
            window,
            named,
        )

    def malformed(self, name: str, problem: str) -> MalformedExplanation:
        """An object with a malformed name, which need not exist."""
        buckets = self._buckets
        stores = (("ingestion", buckets.ingestion), ("own", buckets.own), ("peer", buckets.peer))
        found = (which for which, store in stores if exists(store, name))
        return MalformedExplanation(name, problem, tuple(found))

    def search(self, batch_id: str, times: Window, selection: Selection) -> Iterator[tuple[str, Batch]]:
        """The batches with this ID in a range of time, in all selected aggregations."""
        spec = SurveySpec(
            self._rules,
            times,
            Window(times.begin, times.begin),
            self._period,
            self._is_first,
            selection,
            wanted_id=batch_id,
        )
        report = Surveyor(self._buckets, spec, self._resources).survey()
        self.warnings.extend(report.failures)
        for name, found in report.aggregations.items():
            for batch in found.wanted:
                yield name, batch

    def _parts(self, store: Bucket, aggregation: str, batch: Batch, infix: str) -> dict[str, int]:
        """The object names of a batch in a bucket, and which part each one is."""
        found = {}
        prefix = f"{aggregation}/{batch.time}/{batch.id}.{infix}"
        for page in store.list_keys(prefix):
            for key in page:
                parsed = parse_key(key, aggregation, infix, self._rules.batch_ids)
                if parsed is not None and parsed[0] == batch and parsed[1] in suffixes(infix).values():
                    found[key] = parsed[1]
        return found


def remedy(explained: Explanation, target: str = "") -> Iterator[tuple[str, str]]:
    """What it takes to schedule this: sentences, each with a command or an empty string.

    `target` holds the flags that choose an instance in commands, if there are many.
    """
    if isinstance(explained, MalformedExplanation):
        yield "Runs skip and count it. To schedule it, upload it under a valid name.", ""
        return
    if isinstance(explained, WindowExplanation):
        yield from _window_remedy(explained, target)
        if explained.findings.left_out:
            yield _recomputed("the batches that were left out", explained, target)
        return
    yield from _intake_remedy(explained, target)
    yield from _window_remedy(explained.window, target)
    if explained.named is False and explained.ready and explained.validated:
        yield _recomputed("this batch", explained.window, target)


def _recomputed(what: str, window: WindowExplanation, target: str) -> tuple[str, str]:
    return (
        (
            f"To aggregate {what}, publish the window's task again with the batches that are ready"
            " and validated now. The batches that it named before are then aggregated twice."
        ),
        commands.recompute(marker_name(window.marker), target),
    )


def _intake_remedy(explained: BatchExplanation, target: str) -> Iterator[tuple[str, str]]:
    begin = batch_time(explained.batch)
    match explained.state:
        case None if explained.record is None:
            yield "It can be scheduled once all three of its objects are in the ingestion bucket.", ""
        case BatchState.DUE:
            yield "The next run schedules its intake.", commands.run(target)
        case BatchState.TOO_OLD:
            yield (
                "Runs no longer schedule its intake; run a backfill.",
                commands.backfill(
                    Window(begin, begin + MINUTE), [explained.aggregation], Only.INTAKE, target
                ),
            )
        case BatchState.TOO_EARLY:
            yield "A run schedules its intake once its time is less than a day in the future.", ""


def _window_remedy(explained: WindowExplanation, target: str) -> Iterator[tuple[str, str]]:
    window = explained.findings.window
    if explained.is_refused:
        yield (
            (
                "Runs and backfills refuse the window, because batches would be aggregated twice. If that is"
                " what you want, use --allow-overlapping-windows."
            ),
            "",
        )
        return
    if explained.other_length:
        target = f"--aggregation-period {written(window.end - window.begin)} {target}".rstrip()
    match explained.state:
        case WindowState.DUE:
            yield "The next run schedules the window.", commands.run(target)
        case WindowState.MISSED:
            yield (
                "Runs no longer schedule the window; run a backfill.",
                commands.backfill(window, [explained.aggregation], Only.AGGREGATE, target),
            )
        case WindowState.WAITING:
            yield "The window can be scheduled once the peer has validated any of its batches.", ""
        case WindowState.FILLING | WindowState.IN_GRACE:
            yield "A run schedules the window after its grace period.", ""
