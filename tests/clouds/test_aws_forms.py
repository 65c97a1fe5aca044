"""Values in forms: quoted as the standard library quotes them, in less time."""

from urllib.parse import quote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from workflow_manager.clouds.aws_batch_requests import form_quoted


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.text('a%+ "{}:,[]/\\') | st.binary())
@example('{"aggregation-id":"a b+c","batch-id":"%2F","batches":[]}')
@example("ü💶\n~-._")
def test_any_value_is_quoted_as_in_a_form(value: str | bytes) -> None:
    assert form_quoted(value) == quote_plus(value)
