"""SHA-256 and HMAC without OpenSSL.

hashlib and hmac load the system's OpenSSL, beside the one in PycURL's wheel: 4 MB in each run, and more time
for what is signed here, which is short. The implementations are Python's own, which hashlib falls back to.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # a Python that has them from OpenSSL alone
            from hashlib import sha256

__all__ = ["hmac_sha256", "keyed", "sha256"]

_BLOCK = 64  # bytes
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def keyed(key: bytes) -> Callable[[bytes], bytes]:
    """What computes HMAC-SHA-256 (RFC 2104) with this key, which is hashed only once."""
    padded = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
    inner, outer = sha256(padded.translate(_INNER)), sha256(padded.translate(_OUTER))

    def compute(text: bytes) -> bytes:
        within, around = inner.copy(), outer.copy()
        within.update(text)
        around.update(within.digest())
        return around.digest()

    return compute


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA-256 of a text."""
    return keyed(key)(text)
