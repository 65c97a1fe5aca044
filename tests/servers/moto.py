"""moto: S3, STS, SNS and SQS in memory."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import find, free_port, serving

REGION = "us-east-1"


@contextmanager
def moto(directory: Path) -> Iterator[str]:
    """The URL of a moto server with nothing in it."""
    program = find("moto_server", "pip install 'moto[server]'")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, "-H", "127.0.0.1", "-p", str(port)]
    # It is told which credentials to use for its own calls, or it looks for them far and wide.
    environ = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_DEFAULT_REGION": REGION}
    with serving(command, f"{url}/moto-api/", directory / "moto.log", environ):
        yield url


def make_bucket(url: str, name: str) -> None:
    """Make a bucket of S3, here or on any look-alike that asks for no signature."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT")):
        pass
