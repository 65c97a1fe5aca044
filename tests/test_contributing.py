"""The first change that CONTRIBUTING.md tells one to make works, step by step, in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.markdown_pages import ROOT, Block, blocks

pytestmark = pytest.mark.timeout(600)

PAGE = "CONTRIBUTING.md"
NOT_COPIED = (".git", ".venv", "build", "dist", ".hypothesis", ".ruff_cache", ".import_linter_cache")
FAILS = "    # fails"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tree; its `.venv` is the environment of the tests."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
    (copy / ".venv").mkdir()
    (copy / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    for target in (".runtime", ".dev"):
        (copy / ".venv" / target).touch()
    return copy


def typed(command: str, checkout: Path) -> "subprocess.CompletedProcess[str]":
    # The environment of the tests has the tree itself installed: the copy comes before it.
    environ = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    return subprocess.run(
        ["bash", "-eu", "-c", command],
        cwd=checkout,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_the_first_change(checkout: Path) -> None:
    text = (ROOT / PAGE).read_text()
    (test,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (change,) = re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    before, after = blocks(PAGE)

    with (checkout / "tests/pipeline/test_what_is_told.py").open("a") as file:
        file.write(f"\n\n{test}")
    assert "AssertionError" in _follow(before, checkout)
    applied = subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"],
        cwd=checkout,
        input=change,
        text=True,
        capture_output=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr
    assert "passed" in _follow(after, checkout)


def _follow(block: Block, checkout: Path) -> str:
    """What the commands print; each ends as the page says."""
    printed = ""
    for command in block.commands:
        done = typed(command, checkout)
        assert (done.returncode != 0) == command.endswith(FAILS), f"{command}: {done.stdout}"
        printed += done.stdout
    return printed
