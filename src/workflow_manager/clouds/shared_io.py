"""One thread for requests in a process, shared by all services and ended by the last of them."""

import os
import threading

from workflow_manager.clouds.io_thread import IoThread


class _Shared:
    """The process's thread, and how many use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.thread: IoThread | None = None
        self.forked: list[IoThread | None] = []  # of a parent process, whose connections they stay

    def forget(self) -> None:
        """In a child process: leave the parent's thread and its connections alone."""
        self.forked.append(self.thread)
        self.lock, self.users, self.thread = threading.Lock(), 0, None


_shared = _Shared()
os.register_at_fork(after_in_child=_shared.forget)


def open_shared() -> IoThread:
    """The thread that all services of this process share; `close_shared` has to follow."""
    with _shared.lock:
        if _shared.thread is None or _shared.thread.ended:
            _shared.thread, _shared.users = IoThread(), 0
        _shared.users += 1
        return _shared.thread


def close_shared(thread: IoThread) -> None:
    """Use it no longer. With its last user, the thread ends and its connections are closed."""
    with _shared.lock:
        if thread is not _shared.thread:
            return  # a parent process's, or one that has failed
        _shared.users -= 1
        if _shared.users:
            return
        _shared.thread = None
    thread.end()
