"""The page on adding a queue works as written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import Deployment, call
from support.markdown_pages import blocks

pytestmark = pytest.mark.end_to_end
PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "add-a-task-queue.md").read_text()
QUEUE, PROJECT, TEST = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL)
NOW = ("--now", "2026-11-23T04:20:00Z", "--batch-ids=any")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The files that the page says to write."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "file_queue.py").write_text(QUEUE)
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "test_file_queue.py").write_text(TEST)
    return package


def test_the_queue_is_as_short_as_promised() -> None:
    assert len(QUEUE.splitlines()) < 60


def test_its_contract_holds(package: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_file_queue.py"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


def test_the_command_has_its_flags_and_uses_it(package: Path, installed: Path, tmp_path: Path) -> None:
    built = tmp_path / "wheel"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(build, cwd=package, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    pip = [
        *(sys.executable, "-m", "pip", "install"),
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    beside = {"PYTHONPATH": str(site)}
    assert "--file-directory" in call(installed, ["run", "--help-all"], beside).stdout
    deployment = Deployment(installed, tmp_path)
    deployment.put_batch("agg/2026/11/23/04/05/b")
    (block,) = blocks("docs/how-to/add-a-task-queue.md")
    _, run, *queue = shlex.split(block.text.replace("/var/spool/tasks", str(tmp_path / "spool")))
    assert queue.pop() == "…", "the flags of every run"
    outcome = call(installed, [run, *deployment.flags(), *NOW, *queue], beside)
    assert outcome.status == 0, outcome.stderr
    assert b'"batch-id":"b"' in (tmp_path / "spool" / "intake").read_bytes()
    missing = call(installed, ["run", *deployment.flags(), *NOW, "--task-queue-kind", "file"], beside)
    assert missing.status == 2
    assert "--file-directory: is required" in missing.stderr
    for action in ("stats", "list", "redrive --from a --to b", "pull --topic a", "ack 1"):
        flags = ["--task-queue-kind", "file", "--file-directory", str(tmp_path / "spool")]
        cannot = call(installed, ["tasks", *action.split(), *flags], beside)
        assert cannot.status == 2
        assert "--task-queue-kind='file': this kind of queue does not support" in cannot.stderr
