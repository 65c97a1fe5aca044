"""Patterns for aggregation IDs: `*` matches any text; every other character matches itself."""

import re
from collections.abc import Callable, Sequence


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that says whether a whole name matches any pattern; without patterns, all do."""
    if not patterns:
        return lambda _: True
    alternatives = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    compiled = re.compile("|".join(f"(?:{alternative})" for alternative in alternatives), re.DOTALL)
    return lambda name: compiled.fullmatch(name) is not None
