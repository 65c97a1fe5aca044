"""Patterns that names of aggregations are chosen by: `*` stands for any text, all else for itself."""

import re
from collections.abc import Callable, Sequence


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name matches one of the patterns as a whole; every name does if there are none."""
    if not patterns:
        return lambda _: True
    alternatives = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    compiled = re.compile("|".join(f"(?:{alternative})" for alternative in alternatives), re.DOTALL)
    return lambda name: compiled.fullmatch(name) is not None
