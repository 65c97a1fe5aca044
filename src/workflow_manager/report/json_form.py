"""Records as JSON, and their JSON Schema: both from the same fields, so that they cannot disagree.

What a record may hold: text, numbers, booleans, None, times, enums of text, records (dataclasses and named
tuples), sequences, and mappings whose keys are text or an enum of text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_PLAIN: dict[object, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
}


def plain(value: object) -> Any:  # noqa: ANN401 (JSON)
    """A value as what `json` writes, times as RFC 3339 in UTC; raises TypeError if there is no such form."""
    if names := _field_names(type(value)):
        return {name: plain(getattr(value, name)) for name in names}
    match value:
        case StrEnum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case Sequence():
            return [plain(item) for item in value]
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 (a type)
    """The schema of `plain` of a value of this type. Records are put into `definitions`, by their names.

    Raises TypeError if a value of this type may not stand in a record.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(argument, definitions) for argument in arguments]}
    if _field_names(kind):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # so that a record may hold records of its own kind
            definitions[kind.__name__] = record_schema(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = arguments
        return _mapping(key, item, definitions)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        items = [argument for argument in arguments if argument is not Ellipsis]
        if len(items) == 1:
            return {"type": "array", "items": schema_of(items[0], definitions)}
    raise TypeError(f"{kind} has no JSON form")


def record_schema(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a record itself; those that it holds are put into `definitions`."""
    hints = get_type_hints(kind)
    names = list(_field_names(kind))
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {name: schema_of(hints[name], definitions) for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _field_names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 (a type)
    """The fields of a record's type; none of any other."""
    if not isinstance(kind, type):
        return ()
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(getattr(kind, "_fields", ())) if issubclass(kind, tuple) else ()


def _mapping(key: Any, item: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 (types)
    items = schema_of(item, definitions)
    if key is str:
        return {"type": "object", "additionalProperties": items}
    names = schema_of(key, definitions).get("enum")
    if names is None:
        raise TypeError(f"{key} cannot be the keys of a JSON object")
    return {"type": "object", "properties": dict.fromkeys(names, items), "additionalProperties": False}
