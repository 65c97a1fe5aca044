"""A real Pushgateway."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import find, free_port, serving


@contextmanager
def pushgateway(directory: Path, users: str = "") -> Iterator[str]:
    """The URL of a Pushgateway with nothing in it.

    `users` are lines of names and hashes of passwords, as its file of users has them.
    """
    program = find("prometheus-pushgateway", "apt-get install prometheus-pushgateway")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, f"--web.listen-address=127.0.0.1:{port}"]
    if users:
        (directory / "web.yml").write_text(f"basic_auth_users:\n{users}")
        command.append(f"--web.config.file={directory}/web.yml")
    with serving(command, f"{url}/-/ready", directory / "pushgateway.log"):
        yield url


def pushed(url: str) -> str:
    """What the Pushgateway would tell Prometheus."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        return str(answer.read().decode())
