"""HTTP/2 in front of the server, as Google's services have it: nghttpx, which takes TLS off too."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

HOW_TO_GET = "nghttpx speaks HTTP/2 for the server: apt install nghttp2-proxy"
_STARTS_WITHIN = 10.0  # seconds


def program() -> str | None:
    """The path of nghttpx, which Debian puts where only root looks."""
    return shutil.which("nghttpx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def http2_front(port: int, certificate: str) -> Iterator[int]:
    """A port of 127.0.0.1 that passes requests on to another; HTTP/1.1 is there for those that want it.

    `certificate` is a file with a certificate and its key. Ends the script if nghttpx is not there.
    """
    nghttpx = program()
    if nghttpx is None:
        sys.exit(f"nghttpx is not installed. {HOW_TO_GET}, or measure with --http1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        front: int = free.getsockname()[1]
    options = ["--conf=/dev/null", "--errorlog-file=/dev/null", "--log-level=FATAL", "--workers=1"]
    places = [f"--frontend=127.0.0.1,{front}", f"--backend=127.0.0.1,{port}"]
    with subprocess.Popen(
        [nghttpx, *options, *places, certificate, certificate], stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(front)
            yield front
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    end = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
