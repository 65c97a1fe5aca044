"""Surveys all aggregations: the state of their batches and windows in a range of time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from workflow_manager.core.names import aggregation_problem, validity_infix
from workflow_manager.core.selection import Selection
from workflow_manager.core.shards import WHOLE, Shard
from workflow_manager.core.verdict import Rules
from workflow_manager.core.windows import Window, union
from workflow_manager.errors import explain
from workflow_manager.observe.wording import quote
from workflow_manager.pipeline.circuit_breaker import BreakerPolicy, CircuitBreaker
from workflow_manager.pipeline.listing import aggregations
from workflow_manager.pipeline.memory_budget import MemoryBudget
from workflow_manager.pipeline.recorded import MarkerReader
from workflow_manager.pipeline.scheduler import Buckets
from workflow_manager.pipeline.splitting import Split, pieces
from workflow_manager.pipeline.stage import Stage, WorkerPool
from workflow_manager.ports import Bucket
from workflow_manager.survey.findings import AggregationFindings, SurveyReport
from workflow_manager.survey.piece import PieceContext, PieceSurvey
from workflow_manager.survey.window_markers import WindowMarkers

SHOWN_FAILURES = 20


@dataclass(frozen=True, slots=True)
class SurveySpec:
    """What to survey: the intake of the batches in `batches`, and the windows in `windows`.

    `windows` begins and ends at multiples of `period`. `rules` say what a run would do. The findings
    name the batches with the ID `wanted_id`, if it is not empty.
    """

    rules: Rules
    batches: Window
    windows: Window
    period: timedelta
    is_first: bool
    selection: Selection
    workers: int = 24
    breaker_seconds: float = 60.0
    wanted_id: str = ""
    shard: Shard = WHOLE

    def selects(self, aggregation: str) -> bool:
        """Whether the survey is about this aggregation."""
        return aggregation in self.selection and self.shard.owns(aggregation)


@dataclass(frozen=True, slots=True)
class SurveyResources:
    """What surveys in one process share. Of more than `most_aggregations`, the others are counted only."""

    pool: WorkerPool | None = None
    memory: MemoryBudget | None = None
    most_aggregations: int | None = None


ALONE = SurveyResources()


class Surveyor:
    """Surveys buckets without writing. Memory does not depend on the number of batches."""

    def __init__(
        self, buckets: Buckets[Bucket], spec: SurveySpec, resources: SurveyResources = ALONE
    ) -> None:
        policy = BreakerPolicy(spec.breaker_seconds, lambda bucket, error: self._fail(f"{bucket}: {error}"))
        self._ingestion, self._own, self._peer = (
            CircuitBreaker(bucket, policy) for bucket in (buckets.ingestion, buckets.own, buckets.peer)
        )
        self._spec = spec
        self._lock = threading.Lock()
        self._report = SurveyReport(spec.rules)
        self._memory = resources.memory or MemoryBudget()
        self._listing = Stage("survey", spec.workers, bounded=False, pool=resources.pool)
        self._most = resources.most_aggregations

    def survey(self) -> SurveyReport:
        """Survey everything. Read errors are in the report's failures, not raised."""
        reader = MarkerReader(self._own, lambda error: self._fail(explain(error)))
        begun = 0
        try:
            for aggregation in aggregations(self._ingestion):
                if aggregation_problem(aggregation) or not self._spec.selects(aggregation):
                    continue
                if begun == self._most:
                    self._report.omitted += 1
                    continue
                begun += 1
                self._listing.submit(self._guarded, aggregation, self._begin(aggregation, reader))
        except Exception as error:  # noqa: BLE001 (aggregations already found are still surveyed)
            self._fail(f"some aggregations are missing from this report: {explain(error)}")
        finally:
            self._listing.drain()
        report = self._report
        report.aggregations = {name: report.aggregations[name] for name in sorted(report.aggregations)}
        return report

    def interrupt(self, reason: str) -> None:
        """Send no more requests; what has not been read is among the report's failures."""
        for bucket in (self._ingestion, self._own, self._peer):
            bucket.give_up(reason)

    def _begin(self, aggregation: str, reader: MarkerReader) -> Callable[[], None]:
        """The job that surveys one aggregation; after its first request, its work can be split."""

        def begin() -> None:
            spec = self._spec
            markers = WindowMarkers(self._own, reader, aggregation, spec.windows, spec.period)
            found = AggregationFindings(aggregation, windows=markers.findings(spec.rules))
            context = PieceContext(
                self._ingestion,
                self._own,
                self._peer,
                validity_infix(1 if spec.is_first else 0),
                spec.rules,
                spec.batches,
                markers,
                spec.wanted_id,
            )
            with self._lock:
                self._report.aggregations[aggregation] = found
            for window in union([spec.batches, spec.windows]):
                self._read(context, found, window, self._splitter(context, found))

        return begin

    def _splitter(self, context: PieceContext, found: AggregationFindings) -> Split:
        def split(rest: Window, names_an_hour: float) -> None:
            def spread() -> None:
                parts = pieces(context.ingestion, found.aggregation, rest, names_an_hour)
                self._read_side_by_side(context, found, parts.windows, parts.names)

            self._listing.submit(self._guarded, found.aggregation, spread)

        return split

    def _read_side_by_side(
        self, context: PieceContext, found: AggregationFindings, windows: Sequence[Window], names: int
    ) -> None:
        def read(window: Window) -> Callable[[], None]:
            def within_budget() -> None:
                with self._memory.reserved(names):
                    self._read(context, found, window, None)

            return within_budget

        for window in windows:
            self._listing.submit(self._guarded, found.aggregation, read(window))

    def _read(
        self, context: PieceContext, found: AggregationFindings, window: Window, split: Split | None
    ) -> None:
        piece = PieceSurvey(context, found.aggregation, window, split)
        piece.read()
        with self._lock:
            found.intake.add(piece.intake)
            found.malformed += piece.malformed
            found.wanted.extend(piece.wanted)
            context.markers.merge(found.windows, piece.windows)

    def _guarded(self, aggregation: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (an error in one part must not stop the others)
            self._fail(f"the report on {quote(aggregation)} is incomplete: {explain(error)}")

    def _fail(self, message: str) -> None:
        with self._lock:
            if len(self._report.failures) < SHOWN_FAILURES:
                self._report.failures.append(message)
