"""Which aggregations a command is about: IDs, in which `*` stands for any text."""

import re
from collections.abc import Sequence


class Selection:
    """The aggregation IDs that match one of the patterns; all of them if there are no patterns."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self._matches = [re.compile(re.escape(one).replace(r"\*", ".*"), re.DOTALL) for one in patterns]

    @classmethod
    def exactly(cls, *aggregations: str) -> "Selection":
        """These aggregations, whatever is in their names."""
        selection = cls(aggregations)
        selection._matches = [re.compile(re.escape(one)) for one in aggregations]
        return selection

    def __contains__(self, aggregation: str) -> bool:
        return not self._matches or any(one.fullmatch(aggregation) for one in self._matches)
