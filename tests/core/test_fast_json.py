"""The encoders that are kept give what json.dumps gives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.core.fast_json import json_encoder

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_text_is_that_of_json_dumps(value: object) -> None:
    assert json_encoder(compact=False)(value) == json.dumps(value)
    assert json_encoder(compact=True)(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("compact", [True, False])
def test_without_the_encoder_in_c_the_text_is_the_same(
    *, compact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"a": ["ü", 1.5, None]}
    expected = json_encoder(compact=compact)(value)
    monkeypatch.setattr("json.encoder.c_make_encoder", None)
    assert json_encoder(compact=compact)(value) == expected


def test_what_json_cannot_say_is_an_error() -> None:
    with pytest.raises(TypeError):
        json_encoder(compact=True)({"a": object()})
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(RecursionError):
        json_encoder(compact=True)(ring)
