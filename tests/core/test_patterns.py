"""Patterns for aggregations: `*` stands for any text, and nothing else is special."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.core.patterns import matcher


@pytest.mark.parametrize(
    ("patterns", "name", "matches"),
    [
        ([], "anything", True),
        (["a"], "a", True),
        (["a"], "ab", False),
        (["a*"], "ab", True),
        (["a*"], "a", True),
        (["*b"], "ab\nb", True),
        (["a*c*"], "abcd", True),
        (["a*c"], "abcd", False),
        (["*"], "", True),
        (["a.c"], "abc", False),
        (["[ab]?"], "a1", False),
        (["[ab]?"], "[ab]?", True),
        (["x", "y*"], "yes", True),
        (["x", "y*"], "no", False),
    ],
)
def test_a_name_matches_as_a_whole(patterns: list[str], name: str, matches: bool) -> None:  # noqa: FBT001
    assert matcher(patterns)(name) is matches


@given(st.text())
def test_any_name_without_a_star_matches_itself(name: str) -> None:
    assert matcher([name])(name)
    assert matcher(["*"])(name)
