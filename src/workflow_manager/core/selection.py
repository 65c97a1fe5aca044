"""Selects aggregations by ID; `*` matches any text."""

from collections.abc import Sequence

from workflow_manager.core.patterns import matcher


class Selection:
    """The aggregation IDs that match any of the patterns; all IDs if there are no patterns."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self._matches = matcher(patterns)

    @classmethod
    def exactly(cls, *aggregations: str) -> "Selection":
        """Exactly these IDs; `*` has no special meaning in them."""
        selection = cls(aggregations)
        selection._matches = frozenset(aggregations).__contains__
        return selection

    def __contains__(self, aggregation: str) -> bool:
        return self._matches(aggregation)
