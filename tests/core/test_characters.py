"""Characters that a queue refuses: kept out of names, and never raw in a message."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.core.characters import name_problem
from workflow_manager.core.names import Batch
from workflow_manager.core.task_messages import IntakeTask

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


NONCHARACTERS = {
    *map(chr, range(0xFDD0, 0xFDF0)),
    *(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF)),
}
CONTROLS = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}
REFUSED = CONTROLS | NONCHARACTERS


def test_each_control_and_noncharacter_spoils_a_name_and_nothing_else_does() -> None:
    characters = {chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF}
    assert len(NONCHARACTERS) == 66
    assert {char for char in characters if name_problem(f"b{char}") is not None} == REFUSED


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    assert name_problem("b\udcff") == "is not UTF-8"


@given(text, st.sampled_from(sorted(REFUSED)), text)
def test_a_message_never_holds_one_raw_and_says_the_same(before: str, char: str, after: str) -> None:
    name = before + char + after
    body = IntakeTask(name, Batch("2026/11/22/17/00", name)).message("trace").decode()
    assert not REFUSED & set(body)
    assert json.loads(body)["aggregation-id"] == json.loads(body)["batch-id"] == name


def test_other_characters_stay_as_they_are() -> None:
    body = IntakeTask("über\u00a0💶\u202e", Batch("2026/11/22/17/00", "b")).message("trace").decode()
    assert "über\u00a0💶\u202e" in body


def test_a_message_is_one_line_to_every_reader() -> None:
    body = IntakeTask("a\u2028\u2029", Batch("2026/11/22/17/00", "b")).message("trace").decode()
    assert body.splitlines() == [body]
    assert json.loads(body)["aggregation-id"] == "a\u2028\u2029"
