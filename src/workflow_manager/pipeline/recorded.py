"""What the markers of this bucket say, as far as they may be read."""

from collections.abc import Callable

from workflow_manager.core.marker_record import LONGEST_RECORD, MarkerRecord, parse_record
from workflow_manager.errors import AccessDeniedError
from workflow_manager.pipeline.listing import exists
from workflow_manager.ports import Bucket


class MarkerReader:
    """Reads markers, for one request each. Where that is forbidden, their names have to do.

    `forbidden` is called with the error once. Raises StorageError for every other failure, and
    if the content is `required`, for this one, too.
    """

    def __init__(
        self, store: Bucket, forbidden: Callable[[AccessDeniedError], None], *, required: bool = False
    ) -> None:
        self._store = store
        self._forbidden = forbidden
        self._required = required
        self._may_read = True

    def read(self, key: str) -> MarkerRecord | None:
        """What the marker of this key says; None if it does not exist."""
        if self._may_read:
            try:
                content = self._store.get(key, LONGEST_RECORD)
            except AccessDeniedError as error:
                if self._required:
                    raise
                first, self._may_read = self._may_read, False
                if first:
                    self._forbidden(error)
            else:
                return None if content is None else parse_record(key, content)
        return parse_record(key, b"") if exists(self._store, key) else None
