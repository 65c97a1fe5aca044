"""Names that no batch can have: counted, and the first of them shown."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from workflow_manager.core.batches import HourOfBatches, Malformed
from workflow_manager.core.names import NO_HOUR, intake_marker, with_intake_markers
from workflow_manager.observe.found import ObjectsMalformed
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.ports import Bucket, Observer

SHOWN = 3


class MalformedNames:
    """The malformed names of one aggregation, met by all who read its ranges. Safe for many threads.

    Others write these names, so no more than a few of each bucket are kept.
    """

    def __init__(self, aggregation: str) -> None:
        self._aggregation = aggregation
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[Malformed]] = {}

    def add(self, store: Bucket, malformed: Sequence[Malformed]) -> None:
        """Count these names."""
        if not malformed:
            return
        with self._lock:
            self._counts[store.url] = self._counts.get(store.url, 0) + len(malformed)
            examples = self._examples.setdefault(store.url, [])
            examples.extend(malformed[: SHOWN - len(examples)])

    def strays(self, store: Bucket) -> Callable[[Sequence[str]], None]:
        """A function that counts keys which stand in no hour."""
        return lambda keys: self.add(store, [Malformed(key, NO_HOUR) for key in keys])

    def report(self, ledger: Ledger, observer: Observer) -> None:
        """Write the counts down, and tell of them in one event; called once, when all is read."""
        if not self._counts:
            return
        ledger.add(self._aggregation, malformed_objects_found=sum(self._counts.values()))
        examples = tuple(example for bucket in self._counts for example in self._examples[bucket])
        observer.notify(ObjectsMalformed(self._aggregation, dict(self._counts), examples))


def markable(own: Bucket, aggregation: str, found: HourOfBatches) -> HourOfBatches:
    """The same with those batches as malformed whose intake marker `own` cannot store.

    Published without a marker, their intake would be repeated for ever; and what is not
    taken in must not be aggregated either, as the peer cannot have its share of it.
    """
    unstorable = own.unstorable
    if found.ready_are_usual:
        # Then those of one minute differ in hexadecimal digits alone, and are alike to any store.
        minutes = {batch.time: batch for batch in found.ready}
        if not any(unstorable(intake_marker(aggregation, batch)) for batch in minutes.values()):
            return found
    ready = []
    for batch, marker in with_intake_markers(aggregation, found.ready):
        if problem := unstorable(marker):
            name = f"{aggregation}/{batch.time}/{batch.id}"
            found.malformed.append(Malformed(name, f"no marker for it can be written: {problem}"))
        else:
            ready.append(batch)
    return replace(found, ready=ready)
