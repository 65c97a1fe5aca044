"""Characters that may be in a Unicode text and that queues, logs or JSON readers refuse.

Control characters (C0, DELETE and C1) and the 66 noncharacters: U+FDD0 to U+FDEF and the last two
code points of each plane. SNS refuses a whole request for one of them, even inside a JSON string.
"""

import json
from itertools import chain

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_LAST_TWO = ((plane << 16 | 0xFFFE, plane << 16 | 0xFFFF) for plane in range(17))
_NONCHARACTERS = (*range(0xFDD0, 0xFDF0), *chain(*_LAST_TWO))
# Allowed in names, but some readers take them for the end of a line.
_SEPARATORS = (0x2028, 0x2029)
_UNSAFE = frozenset(map(chr, (*_CONTROLS, *_NONCHARACTERS)))
# Python's json writes DELETE as it is.
_ESCAPES = {ord(char): json.dumps(char)[1:-1] for char in (*_UNSAFE, *map(chr, _SEPARATORS))} | {
    0x7F: "\\u007f"
}


def name_problem(name: str) -> str | None:
    """Why a name that someone else chose cannot be part of a message, or None if it can."""
    if name.isprintable():  # true of nearly every name, and fast
        return None
    try:
        name.encode()
    except UnicodeEncodeError:  # lone surrogates: bytes of a file name that are not UTF-8
        return "is not UTF-8"
    return None if _UNSAFE.isdisjoint(name) else "contains a control character or a Unicode noncharacter"


def escaped(document: str) -> str:
    """The same JSON document, on one line, with such characters escaped as JSON has it."""
    return document if document.isprintable() else document.translate(_ESCAPES)
