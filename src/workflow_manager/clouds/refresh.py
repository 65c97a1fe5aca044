"""Credentials that expire, renewed in time and once for all threads."""

import threading
from collections.abc import Callable
from datetime import datetime
from time import time
from typing import Generic, NamedTuple, TypeVar

from workflow_manager.clouds.http import CloudError

T = TypeVar("T")

# Seconds until a renewal is tried again, while the credentials at hand still hold. Metadata
# servers give out the same token until it is nearly expired, so asking more often is useless.
_AGAIN = 30.0


class Expiring(NamedTuple, Generic[T]):
    """Something that holds until `expiry` (UTC), or for ever if that is None."""

    value: T
    expiry: datetime | None


class _Held(NamedTuple, Generic[T]):
    value: T
    renew: float
    ends: float


class Refreshed(Generic[T]):
    """What `fetch` gives, fetched when it is first needed and again `margin` seconds before it expires.

    A renewal that fails is no error while what is at hand still holds; it is tried again.
    """

    def __init__(self, fetch: Callable[[], Expiring[T]], margin: float) -> None:
        self._fetch = fetch
        self._margin = margin
        self._lock = threading.Lock()
        self._held: _Held[T] | None = None
        self._failed = (float("-inf"), CloudError(""))

    def get(self) -> T:
        """What is valid now; raises CloudError. One thread fetches, and those that wait share the outcome."""
        held = self._held
        begin = time()
        if held is None or begin >= held.renew:
            with self._lock:
                held = self._held
                if held is None or begin >= held.renew:
                    held = self._held = self._renewed(held, begin)
        return held.value

    def _renewed(self, held: _Held[T] | None, begin: float) -> _Held[T]:
        failed, error = self._failed
        if failed > begin:
            raise CloudError(error.cause, error.advice, status=error.status, code=error.code) from error
        try:
            value, expiry = self._fetch()
            ends = _moment(expiry)
        except CloudError as error:
            now = time()
            if held is not None and now < held.ends:
                return held._replace(renew=min(now + _AGAIN, held.ends))
            error.tries = 1  # it has been tried often enough
            self._failed = (now, error)
            raise
        now = time()
        return _Held(value, min(max(ends - self._margin, now + _AGAIN), ends), ends)


def _moment(expiry: datetime | None) -> float:
    """When that is in seconds since 1970, never for None; raises CloudError."""
    try:
        return expiry.timestamp() if expiry else float("inf")
    except (ValueError, OverflowError) as error:  # years 1 and 9999 have moments beyond the clock's
        raise CloudError(f"the credentials have no valid expiration date: {error}") from error
