"""Records as JSON, and the schema that is made from the same fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, NamedTuple

import jsonschema
import pytest

from workflow_manager.report.json_form import plain, record_schema


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Plate(NamedTuple):
    """What is on its plate."""

    text: str


PLATE = Plate("KM 1")


@dataclass(frozen=True)
class Wheel:
    """A wheel."""

    size: float


@dataclass(frozen=True)
class Car:
    """A car

    and what it has.
    """

    colour: Colour
    wheels: tuple[Wheel, ...]
    built: datetime
    doors: int = 4
    owner: str | None = None
    spare: Wheel | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    paint: Mapping[Colour, int] = field(default_factory=dict)
    keys: Sequence[str] = ()
    sold: bool = False
    plate: Plate = PLATE


CAR = Car(
    Colour.RED,
    (Wheel(17.5),),
    datetime(2026, 11, 23, 5, 20, tzinfo=timezone(timedelta(hours=1))),
    paint={Colour.BLUE: 1},
)
PLAIN: dict[str, Any] = {
    "colour": "red",
    "wheels": [{"size": 17.5}],
    "built": "2026-11-23T04:20:00Z",
    "doors": 4,
    "owner": None,
    "spare": None,
    "notes": {},
    "paint": {"blue": 1},
    "keys": [],
    "sold": False,
    "plate": {"text": "KM 1"},
}


def schema() -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    return {**record_schema(Car, definitions), "$defs": definitions}


def test_a_record_is_an_object_of_its_fields() -> None:
    assert plain(CAR) == PLAIN


def test_the_schema_describes_it() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(PLAIN, schema())
    assert schema()["description"] == "A car and what it has."


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"wheels": [{"size": 1, "more": 1}]},
        {"wheels": [{}]},
        {"colour": "green"},
        {"doors": "4"},
        {"paint": {"green": 1}},
        {"notes": {"a": 1}},
        {"owner": 1},
        {"keys": "a"},
        {"sold": None},
        {"plate": ["KM 1"]},
    ],
)
def test_what_is_otherwise_breaks_the_schema(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(PLAIN | change, schema())


def test_a_field_that_is_left_out_breaks_the_schema() -> None:
    for name in PLAIN:
        rest = {other: value for other, value in PLAIN.items() if other != name}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(rest, schema())


@dataclass(frozen=True)
class Odd:
    """What has no form in JSON."""

    time: timedelta


def test_what_has_no_form_in_json_is_an_error() -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        plain(Odd(timedelta(1)))
    with pytest.raises(TypeError, match="has no JSON form"):
        record_schema(Odd, {})
