"""A real Prometheus, with the rules that are shipped."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from servers.process import find, free_port, serving


class Prometheus:
    """The HTTP API of a Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 (JSON)
        """The data of an answer; raises AssertionError with what Prometheus says is wrong."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error
        assert document["status"] == "success"
        assert not document.get("warnings")
        return document["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression as of now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def query_range(self, expression: str, seconds: float, step: float = 1) -> list[dict[str, Any]]:
        """The series of an expression in the last seconds."""
        now = time.time()
        found: list[dict[str, Any]] = self.ask(
            "query_range", query=expression, start=str(now - seconds), end=str(now), step=str(step)
        )["result"]
        return found


def promtool(*arguments: str, text: str = "") -> str:
    """What promtool prints; raises AssertionError with it if something is wrong."""
    done = subprocess.run(
        [find("promtool", "apt-get install prometheus"), *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def prometheus(
    directory: Path, targets: Mapping[str, str], rules: Sequence[Path], interval: str = "1s"
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these addresses, by job, and evaluates these rules."""
    program = find("prometheus", "apt-get install prometheus")
    configuration = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [address]}]}
            for job, address in targets.items()
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        program,
        f"--config.file={directory}/prometheus.yaml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with serving(command, f"{url}/-/ready", directory / "prometheus.log"):
        yield Prometheus(url)
