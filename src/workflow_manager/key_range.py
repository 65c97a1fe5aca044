"""A range of object keys: what a listing asks for."""

from typing import NamedTuple


class KeyRange(NamedTuple):
    """The keys with `prefix` that are greater than `after` and, if given, less than `before`."""

    prefix: str
    after: str = ""
    before: str = ""

    @property
    def empty(self) -> bool:
        """Whether no key can lie in it."""
        return bool(self.before) and self.before <= max(self.prefix, self.after)
