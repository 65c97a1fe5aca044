"""Large ranges of an aggregation are split, and their pieces listed side by side."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from workflow_manager.core.names import batch_range, time_of
from workflow_manager.core.windows import HOUR, MINUTE, Window, cut, floor
from workflow_manager.pipeline.listing import hours_with_objects, in_order
from workflow_manager.ports import Bucket

# When so many names of a range have been read, it is considered whether to split what remains,
SPLIT_AFTER = 1000
# which pays if about so many names are to come. Each piece is to have SPLIT_AFTER names or more.
WORTH_SPLITTING = 4000

# Has what remains of a range read by others; an hour of it is expected to have so many names.
Split = Callable[[Window, float], None]


class Pieces(NamedTuple):
    """What a range is cut into, and how many names each piece is expected to have."""

    windows: list[Window]
    names: int


class RangeListing:
    """The names of the batches of one aggregation in a window.

    If `split` is given, and the window turns out to hold very many, only those of its first
    hours are listed here: `window` ends there once the first page has been taken.
    """

    def __init__(self, store: Bucket, aggregation: str, window: Window, split: Split | None) -> None:
        self.window = window
        self._store = store
        self._id = aggregation
        self._prefix = f"{aggregation}/"
        self._split = split

    def pages(self) -> Iterator[Sequence[str]]:
        """The pages of the listing, in order, up to where others read on."""
        return self._watched(in_order(self._store, batch_range(self._id, self.window)))

    def _watched(self, pages: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """The same pages, up to where others read on; it is found out whether the range is a large one.

        Until that is known the pages are held back, and with them the peer's: what is malformed in
        them must be counted by those alone who will read it.
        """
        held: list[Sequence[str]] = []
        names = 0
        for page in pages:
            held.append(page)
            names += len(page)
            del page  # not held while the next one is on its way
            if self._split is not None:
                if names < SPLIT_AFTER:
                    continue
                self._consider_splitting(self._split, held, names)
            end = batch_range(self._id, self.window).before
            while held:
                there, ours = len(held[0]), bisect_left(held[0], end)
                yield held.pop(0)[:ours]
                if ours < there:
                    return
        yield from held

    def _consider_splitting(self, split: Split, pages: Sequence[Sequence[str]], names: int) -> None:
        times = (time_of(key, self._prefix) for page in pages for key in page)
        first = next(filter(None, times), None)
        backwards = (time_of(key, self._prefix) for page in reversed(pages) for key in reversed(page))
        last = next(filter(None, backwards), None)
        if first is None or last is None:
            return
        self._split = None
        rest = floor(last, HOUR) + HOUR
        if rest >= self.window.end:
            return
        names_an_hour = names / ((last + MINUTE - first) / HOUR)
        if names_an_hour * ((self.window.end - rest) / HOUR) >= WORTH_SPLITTING:
            split(Window(rest, self.window.end), names_an_hour)
            self.window = Window(self.window.begin, rest)


def pieces(store: Bucket, aggregation: str, rest: Window, names_an_hour: float) -> Pieces:
    """Cut a range at hours that have objects, so that no piece is idle."""
    hours = list(hours_with_objects(store, aggregation, rest))
    each = max(1, int(SPLIT_AFTER / names_an_hour))
    return Pieces(cut(rest, hours[each::each]), int(names_an_hour * each))
