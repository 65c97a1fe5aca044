"""The pages of a listing, followed to the end of a key range whatever the service does meanwhile."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from os.path import commonprefix
from typing import NamedTuple

from workflow_manager.clouds.http import CloudError
from workflow_manager.key_range import KeyRange

# What services answer to a page token that they do not know any more.
_TOKEN_REFUSED = frozenset({400, 410})
PAGE_SIZE = 1000  # the most that S3 gives; Cloud Storage advises no more


class Page(NamedTuple):
    """Names in ascending order, and the token of the next page, empty on the last one."""

    names: list[str]
    token: str


def narrowest_prefix(within: KeyRange) -> str:
    """The longest prefix that all keys of a range have: also what both ends begin with."""
    if not (within.after and within.before):
        return within.prefix
    shared = commonprefix([within.after, within.before])  # noqa: RUF071 (of texts, which is what it does)
    return max(within.prefix, shared, key=len)


def page_size(within: KeyRange) -> int:
    """How many names to ask for at once: a single one if only that can be there."""
    return 1 if within.before == within.prefix + "\0" else PAGE_SIZE


def follow(fetch: Callable[[str, str], Page], within: KeyRange) -> Iterator[list[str]]:
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
        if last == start and names and names[0] <= start:
            names = names[bisect_right(names, start) :]  # some begin with the bound itself, or before it
        if names:
            _check_order(last, names)
            last = names[-1]
            end = bisect_left(names, within.before) if within.before and last >= within.before else len(names)
            if end:
                yield names[:end] if end < len(names) else names
        if not following or (within.before and last + "\0" >= within.before):
            return
        if following == token and not names:
            raise CloudError("the listing is not advancing: the service returned the same page again")
        token = following
        del names  # not held while the next page is on its way: many listings run side by side


def _check_order(last: str, names: list[str]) -> None:
    if names[0] <= last or sorted(names) != names:
        raise CloudError(
            "the listing is not in the order of the keys' bytes",
            "this service cannot be used: time windows are listed by key order",
        )
