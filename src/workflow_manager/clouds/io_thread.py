"""The thread that does all I/O with clouds: it drives libcurl's event loop for every service in the process.

Callers prepare a transfer, hand it over and wait. libcurl keeps connections, TLS sessions, resolved
names and the parsed certificates of all transfers in one place, which only this thread touches.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import FileIO
from typing import Any

import pycurl

from workflow_manager.clouds.transfer import Options, Transfer, Waiting

# Idle connections that are kept, over all hosts. More are closed, the least recently used first.
_KEPT_CONNECTIONS = 512
# Handles that are kept for the next request with the same options. Each takes about 26 kB.
_KEPT_HANDLES = 128
# Sockets that are read in one step. Between two, threads can take their answers, which are not all held.
_MOST_EVENTS = 8
_LONGEST_FAREWELL = 1.0  # seconds
CLOSED = -1  # no code of libcurl's: the thread has ended


class IoThread:
    """The thread, which starts with the first transfer, and the handles that are kept for it.

    A process needs one: see shared_io.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._incoming: deque[Transfer] = deque()
        self._idle: dict[Options, deque[Transfer]] = {}
        # A file of Python's, which once closed stays closed: its number may soon be another file's.
        self._bell: FileIO | None = None
        self._sleeping = False
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing can be done any more: it was told to end, or has failed."""
        return self._ended

    def pool(self, options: Options) -> deque[Transfer]:
        """The handles with these options that are kept: to be taken from the right and put back there."""
        with self._lock:
            return self._idle.setdefault(options, deque(maxlen=_KEPT_HANDLES))

    def run(self, transfers: Sequence[Transfer]) -> None:
        """Do these, all at once, and return when they are over.

        If the wait is interrupted, as Ctrl-C does, they go on and must not be touched any more.
        """
        if not transfers:
            return
        waiting = Waiting(len(transfers))
        for transfer in transfers:
            transfer.waiting = waiting
        with self._lock:
            if self._ended:
                _fail(transfers, CLOSED, "the connections were closed")
                return
            if self._thread is None:
                try:
                    self._start()
                except OSError as error:
                    _fail(transfers, CLOSED, f"cannot start the I/O thread: {error}")
                    return
            self._incoming.extend(transfers)
        if self._sleeping:
            self._sleeping = False
            self._ring()
        waiting.wait()

    def end(self) -> None:
        """End the thread, what is under way, and all connections.

        Waits for that, but not for a host's name that is still being resolved: nothing can stop that.
        """
        with self._lock:
            self._ended = True
        self._ring()
        if self._thread is not None:
            self._thread.join(_LONGEST_FAREWELL)

    def _start(self) -> None:
        heard, bell = os.pipe()
        self._bell = FileIO(bell, "wb")
        os.set_blocking(bell, False)
        loop = _Loop(FileIO(heard))
        self._thread = threading.Thread(target=self._work, args=(loop,), name="requests", daemon=True)
        self._thread.start()

    def _ring(self) -> None:
        """Wake the thread up."""
        if self._bell is not None:
            with suppress(OSError, ValueError):  # it has ended meanwhile
                self._bell.write(b"\0")

    def _work(self, loop: "_Loop") -> None:
        message = "the connections were closed"
        try:
            while not self._ended:
                self._sleeping = True
                # What was handed over before this line is seen here, what comes after it wakes us up.
                loop.step(wait=not self._incoming)
                self._sleeping = False
                while self._incoming:
                    loop.add(self._incoming[0])
                    self._incoming.popleft()
        except BaseException as error:
            message = f"the I/O thread failed: {error!r}"
            raise
        finally:
            with self._lock:
                self._ended = True
            abandoned = loop.abandon()
            _fail([*dict.fromkeys((*abandoned, *self._incoming))], CLOSED, message)
            loop.close()
            if self._bell is not None:
                self._bell.close()


class _Loop:
    """libcurl's transfers and their sockets: one step after the other, on one thread."""

    def __init__(self, heard: FileIO) -> None:
        self.active: dict[Any, Transfer] = {}
        self._heard = heard
        self._bell = heard.fileno()
        self._due: float | None = None
        self._registered: set[int] = set()
        self._poll = select.epoll() if hasattr(select, "epoll") else Poll()
        self._poll.register(self._bell, select.POLLIN)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _KEPT_CONNECTIONS)

    def add(self, transfer: Transfer) -> None:
        """Begin a transfer, with the next step."""
        self.active[transfer.curl] = transfer
        try:
            self._multi.add_handle(transfer.curl)
        except pycurl.error as error:
            del self.active[transfer.curl]
            _fail([transfer], *error.args)

    def step(self, *, wait: bool) -> None:
        """Do what can be done now; if that is nothing, and `wait` is given, wait for it."""
        act = self._multi.socket_action
        if self._due is not None and self._due <= time.monotonic():
            self._due = None
            _, running = act(pycurl.SOCKET_TIMEOUT, 0)
            if running < len(self.active):
                self._finish()
        longest = None if self._due is None else max(0.0, self._due - time.monotonic())
        running = len(self.active)
        for descriptor, events in self._poll.poll(longest if wait else 0, _MOST_EVENTS):
            if descriptor == self._bell:
                self._heard.read(4096)
            else:
                _, running = act(descriptor, _ACTIONS.get(events, pycurl.CSELECT_ERR))
        if running < len(self.active):
            self._finish()

    def abandon(self) -> Sequence[Transfer]:
        """Let go of what is active, and return it: it will never be over."""
        for curl in self.active:
            self._multi.remove_handle(curl)
        return list(self.active.values())

    def close(self) -> None:
        """Close all connections. Takes as long as it takes to resolve the names that are being resolved."""
        self._multi.close()
        self._poll.close()
        self._heard.close()

    def _finish(self) -> None:
        queued = 1
        while queued:
            queued, done, failed = self._multi.info_read()
            for curl in done:
                self._over(curl, 0, "")
            for curl, code, message in failed:
                self._over(curl, code, message)

    def _over(self, curl: Any, code: int, message: str) -> None:  # noqa: ANN401 (pycurl has no types)
        self._multi.remove_handle(curl)
        transfer = self.active.pop(curl)
        transfer.code, transfer.message = code, message
        transfer.waiting.one_is_over()

    def _set_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _watch(self, what: int, descriptor: int, *_: object) -> None:
        """What libcurl wants to know of a socket from now on."""
        if what == pycurl.POLL_REMOVE:
            if descriptor in self._registered:
                self._registered.remove(descriptor)
                self._poll.unregister(descriptor)
        elif descriptor in self._registered:
            self._poll.modify(descriptor, _EVENTS[what])
        else:
            self._poll.register(descriptor, _EVENTS[what])
            self._registered.add(descriptor)


class Poll:
    """poll(2) as epoll(7), for systems that have not both. The numbers of the events are the same."""

    def __init__(self) -> None:
        poll = select.poll()
        self.register, self.modify, self.unregister = poll.register, poll.modify, poll.unregister
        self._wait = poll.poll

    def poll(self, timeout: float | None, _: int) -> list[tuple[int, int]]:
        """The descriptors at which something has happened within `timeout` seconds, and what."""
        return self._wait(None if timeout is None else timeout * 1000)

    def close(self) -> None:
        """Nothing: the system keeps no list."""


_EVENTS: Mapping[int, int] = {
    pycurl.POLL_NONE: 0,
    pycurl.POLL_IN: select.POLLIN,
    pycurl.POLL_OUT: select.POLLOUT,
    pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
}
_ACTIONS: Mapping[int, int] = {
    select.POLLIN: pycurl.CSELECT_IN,
    select.POLLOUT: pycurl.CSELECT_OUT,
    select.POLLIN | select.POLLOUT: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
}


def _fail(transfers: Sequence[Transfer], code: int, message: str) -> None:
    for transfer in transfers:
        transfer.code, transfer.message = code, message
        transfer.waiting.one_is_over()
