"""Names that no batch can have: counted, and the first of them shown."""

from collections.abc import Callable, Sequence

from workflow_manager.core.batches import Malformed
from workflow_manager.observe.events import ObjectsMalformed
from workflow_manager.pipeline.ledger import Ledger
from workflow_manager.ports import Bucket, Observer

SHOWN = 3


class MalformedNames:
    """The malformed names met in one range. Others write these names, so no more than a few are kept."""

    def __init__(self, aggregation: str) -> None:
        self._aggregation = aggregation
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[Malformed]] = {}

    def add(self, store: Bucket, malformed: Sequence[Malformed]) -> None:
        """Count these names."""
        if malformed:
            self._counts[store.url] = self._counts.get(store.url, 0) + len(malformed)
            examples = self._examples.setdefault(store.url, [])
            examples.extend(malformed[: SHOWN - len(examples)])

    def strays(self, store: Bucket) -> Callable[[Sequence[str]], None]:
        """A function that counts keys which stand in no hour."""
        return lambda keys: self.add(
            store, [Malformed(key, "no hour follows the aggregation") for key in keys]
        )

    def report(self, ledger: Ledger, observer: Observer) -> None:
        """Write the counts down, and tell of them once for each bucket."""
        for bucket, count in self._counts.items():
            ledger.add(self._aggregation, malformed_objects_found=count)
            observer.notify(ObjectsMalformed(self._aggregation, bucket, count, tuple(self._examples[bucket])))
