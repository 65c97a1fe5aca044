"""One request on its way, as the I/O thread gets it, and whoever waits for its answer."""

import threading
from io import BytesIO
from typing import Any

import pycurl

Options = tuple[tuple[int, Any], ...]


class Transfer:
    """One request on its way, on a handle of libcurl that is used again.

    When it is over, `code` is libcurl's (0 for an answer, whatever its status) and `message` its text,
    `lines` has the header lines, and `body` what followed them.
    """

    __slots__ = ("body", "code", "curl", "headers", "limit", "lines", "message", "method", "waiting")

    def __init__(self, options: Options) -> None:
        self.curl = pycurl.Curl()
        self.body = BytesIO()
        self.lines: list[bytes] = []
        self.code = 0
        self.message = ""
        # What the handle is set to.
        self.method = ""
        self.headers: list[str] = []
        self.limit = 0
        self.waiting = Waiting(0)
        for option, value in options:
            if value is None:
                self.curl.unsetopt(option)
            else:
                self.curl.setopt(option, value)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.body.write)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)


class Waiting:
    """Someone who waits until a number of transfers are over."""

    __slots__ = ("_left", "_over")

    def __init__(self, count: int) -> None:
        self._left = count
        self._over = threading.Lock()
        if count:
            self._over.acquire()

    def one_is_over(self) -> None:
        """Called once for each transfer, on one thread."""
        self._left -= 1
        if not self._left:
            self._over.release()

    def wait(self) -> None:
        """Return when all are over."""
        self._over.acquire()
