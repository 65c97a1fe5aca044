"""JSON texts, very many of them.

json.JSONEncoder makes another encoder in C for each text, which takes as long as a short text itself.
"""

import json
from collections.abc import Callable
from json import encoder


def json_encoder(*, compact: bool) -> Callable[[object], str]:
    """What encodes a value: ASCII as json.dumps does it or, `compact`, with all characters and no spaces.

    It raises TypeError for a value that JSON has no form for, and RecursionError for one that holds itself.
    """
    usual = json.JSONEncoder(ensure_ascii=not compact, separators=(",", ":") if compact else None)
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # a Python without it
        return usual.encode
    strings = encoder.encode_basestring if compact else encoder.encode_basestring_ascii
    settings = (usual.key_separator, usual.item_separator, usual.sort_keys, usual.skipkeys, usual.allow_nan)
    chunks: Callable[[object, int], tuple[str, ...]] = make(None, usual.default, strings, None, *settings)
    return lambda value: "".join(chunks(value, 0))
