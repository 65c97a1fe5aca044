"""Adapters of one process fetch Google's tokens once."""

from workflow_manager.clouds import google
from workflow_manager.ports import Settings


def test_adapters_with_the_same_shared_have_the_same_tokens() -> None:
    shared: dict[object, object] = {}
    first, second = Settings(shared=shared), Settings(shared=shared)
    assert google._tokens(first, ["a"]) is google._tokens(second, ["a"])
    assert google._tokens(first, ["a"]) is not google._tokens(first, ["b"])
    assert google._tokens(first, ["a"]) is not google._tokens(Settings(), ["a"])
