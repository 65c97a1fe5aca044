"""How much may be held in memory at once by pieces of work that run side by side."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Names of objects. A batch of an hour that is being read takes about 500 bytes for its three or four.
MOST_NAMES = 150_000


class MemoryBudget:
    """Lets pieces of work in as long as there is room for the names that they are expected to hold.

    A piece that is larger than all the room is let in when it has the room to itself. Those inside
    never wait for another, so that waiting cannot come to a standstill.
    """

    def __init__(self, names: int = MOST_NAMES) -> None:
        self._most = names
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, names: int) -> Iterator[None]:
        """Wait until there is room for so many names, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + names <= self._most)
            self._taken += names
        try:
            yield
        finally:
            with self._changed:
                self._taken -= names
                self._changed.notify_all()
