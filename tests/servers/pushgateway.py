"""A real Pushgateway."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import find, free_port, serving


@contextmanager
def pushgateway(directory: Path) -> Iterator[str]:
    """The URL of a Pushgateway with nothing in it."""
    program = find("prometheus-pushgateway", "apt-get install prometheus-pushgateway")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, f"--web.listen-address=127.0.0.1:{port}"]
    with serving(command, f"{url}/-/ready", directory / "pushgateway.log"):
        yield url


def pushed(url: str) -> str:
    """What the Pushgateway would tell Prometheus."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        return str(answer.read().decode())
