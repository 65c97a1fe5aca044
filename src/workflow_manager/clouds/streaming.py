"""One answer without end, handed on as it comes, on a thread that whoever waits for it can end."""

from collections.abc import Callable
from http import HTTPStatus

import pycurl

from workflow_manager.clouds.transfer import Transfer


class Stream:
    """A transfer whose body `write` gets if the answer is 200. What `write` raises ends it, and is raised."""

    def __init__(self, transfer: Transfer, write: Callable[[bytes], object]) -> None:
        self._transfer = transfer
        self._write = write
        self._ended = False
        self._error: BaseException | None = None
        curl = transfer.curl
        curl.setopt(pycurl.LOW_SPEED_TIME, 0)
        curl.setopt(pycurl.MAXFILESIZE, 0)
        curl.setopt(pycurl.WRITEFUNCTION, self._receive)
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, self._may_go_on)

    def perform(self) -> None:
        """Receive the answer, to its end or until `end` is called."""
        try:
            self._transfer.curl.perform()
        except pycurl.error as error:
            self._transfer.code, self._transfer.message = int(error.args[0]), str(error.args[-1])

    def end(self) -> None:
        """Have `perform` return within a second; raises what `write` has raised."""
        self._ended = True
        if self._error is not None:
            raise self._error

    def _may_go_on(self, *_: int) -> int:
        """Called once a second at least; anything but 0 ends the transfer."""
        return int(self._ended)

    def _receive(self, chunk: bytes) -> int | None:
        """None for what is taken; -1 ends the transfer."""
        if self._status() != HTTPStatus.OK:
            self._transfer.body.write(chunk)
            return None
        try:
            self._write(chunk)
        except BaseException as error:  # noqa: BLE001 (it is raised where the stream was asked for)
            self._error = error
            return -1
        return None

    def _status(self) -> int:
        """The status, as the headers say: libcurl does not tell while it is at work."""
        last = next((line for line in reversed(self._transfer.lines) if line.startswith(b"HTTP/")), b"")
        return int(last.split()[1]) if last else 0
