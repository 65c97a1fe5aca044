"""Random identifiers and pauses.

Not by uuid: to make an object of each takes four times as long, and to import it 2 ms of each run. Nor by
random, for 1 ms.
"""

import os


def random_hex() -> str:
    """32 random hexadecimal digits."""
    return os.urandom(16).hex()


def random_uuid() -> str:
    """A random UUID (version 4 of RFC 9562) in its usual form."""
    digits = random_hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def random_between(low: float, high: float) -> float:
    """A random number from `low` to `high`."""
    return low + (high - low) * int.from_bytes(os.urandom(4)) / 0xFFFFFFFF
