"""What a run keeps of its aggregations: figures of those that have any, and the number of the others."""

from collections.abc import Iterator, Sequence

from support.harness import Events, run_spec
from workflow_manager.core.report import Figures
from workflow_manager.pipeline.ledger import KEPT_EMPTY, Ledger
from workflow_manager.pipeline.scheduler import Buckets, Scheduler
from workflow_manager.storage.memory import MemoryStore


def test_of_very_many_empty_aggregations_only_the_number_is_kept() -> None:
    ledger = Ledger(Events(), dry_run=True)
    for number in range(100_000):
        ledger.begin(f"agg-{number}")
    ledger.add("agg-99999", ingestions_found=1)
    report = ledger.report(0)
    assert len(report.figures) == KEPT_EMPTY + 1
    assert report.figures["agg-99999"] == Figures(ingestions_found=1)
    assert report.aggregations == 100_000


class ManyAggregations(MemoryStore):
    """A bucket with very many aggregations, of which only the last has batches."""

    def list_directories(self, prefix: str) -> Iterator[Sequence[str]]:
        if prefix:
            yield from super().list_directories(prefix)
        else:
            yield [f"agg-{number:05}" for number in range(5 * KEPT_EMPTY)]


def test_a_run_over_them_keeps_as_few_and_schedules_what_there_is() -> None:
    ingestion = ManyAggregations("memory://ingestion")
    last = f"agg-{5 * KEPT_EMPTY - 1:05}"
    for part in (".batch", ".batch.avro", ".batch.sig"):
        ingestion.put(f"{last}/2026/11/23/03/05/x{part}", b"")
    buckets = Buckets(ingestion, MemoryStore("memory://own"), MemoryStore("memory://peer"))
    report = Scheduler(buckets, None, run_spec()._replace(lease=None), Events()).run()
    assert len(report.figures) == KEPT_EMPTY + 1
    assert report.aggregations == 5 * KEPT_EMPTY
    assert report.figures[last].intake_tasks_scheduled == 1
