"""The pages of a listing, followed to the end of a key range whatever the service does meanwhile."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from os.path import commonprefix
from typing import NamedTuple

from workflow_manager.clouds.http import CloudError

# What services answer to a page token that they do not know any more.
_TOKEN_REFUSED = frozenset({400, 410})
PAGE_SIZE = 1000  # the most that S3 gives; Cloud Storage advises no more


class Page(NamedTuple):
    """Names in ascending order, and the token of the next page, empty on the last one."""

    names: list[str]
    token: str


class Range(NamedTuple):
    """The keys with `prefix` that are greater than `after` and, if given, less than `before`."""

    prefix: str
    after: str = ""
    before: str = ""

    @property
    def empty(self) -> bool:
        """Whether no key can lie in it."""
        return bool(self.before) and self.before <= max(self.prefix, self.after)

    @property
    def narrowest(self) -> str:
        """The longest prefix that all keys in it have: also what both ends begin with."""
        if not (self.after and self.before):
            return self.prefix
        shared = commonprefix([self.after, self.before])  # noqa: RUF071 (of texts, which is what it does)
        return max(self.prefix, shared, key=len)

    @property
    def size(self) -> int:
        """How many names to ask for at once: a single one if only that can be there."""
        return 1 if self.before == self.prefix + "\0" else PAGE_SIZE


def follow(fetch: Callable[[str, str], Page], within: Range) -> Iterator[list[str]]:
    """The names in a range, page by page; `fetch` is given a token, or "" at first, and where to start.

    A token that is refused has expired: the listing starts again behind the last name. Services
    that list in another order than that of the keys' bytes, as some look-alikes of S3 do where
    directories are concerned, are put right if all is in one page, and are a CloudError if not.
    """
    token, start, last = "", within.after, within.after
    while not within.empty:
        try:
            names, following = fetch(token, start)
        except CloudError as error:
            if error.status not in _TOKEN_REFUSED or not token or start == last:
                raise
            token, start = "", last
            continue
        if not token and not following:
            names = sorted(names)  # all there is, so that its order is no matter
        if not token and names and names[0] <= start:
            names = names[bisect_right(names, start) :]  # services may begin with the bound itself
        if names:
            _check_order(last, names)
            last = names[-1]
            end = bisect_left(names, within.before) if within.before and last >= within.before else len(names)
            if end:
                yield names[:end] if end < len(names) else names
        if not following or (within.before and last + "\0" >= within.before):
            return
        if following == token and not names:
            raise CloudError("the listing does not get on: the service gives the same page again")
        token = following


def _check_order(last: str, names: list[str]) -> None:
    if names[0] <= last or sorted(names) != names:
        raise CloudError(
            "the listing is not in the order of the keys' bytes",
            "this service cannot be used: what lies in a time window could not be told from its listings",
        )
