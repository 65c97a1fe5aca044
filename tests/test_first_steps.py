"""The tutorials work as written, in a shell."""

import re
import subprocess
from pathlib import Path

import pytest

from support.command import installed_with

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).parent.parent


def commands(text: str) -> str:
    """The indented lines, which are what a reader types."""
    return "\n".join(re.findall(r"^ {4}(.*)$", text, re.MULTILINE))


def typed(script: str, installed: Path, home: Path) -> str:
    """What a shell prints; every command has to succeed."""
    (home / ".venv").symlink_to(installed.parent.parent)
    shell = ["bash", "-eu", "-c", f"exec 2>&1\nexport TMPDIR=$PWD\n{script}"]
    done = subprocess.run(shell, cwd=home, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty directory to begin in."""
    return tmp_path


def test_the_tutorial(installed: Path, home: Path) -> None:
    script = commands((ROOT / "docs/tutorial.md").read_text())
    printed_id = r'"$(grep -o "[0-9]\+-[0-9a-f]\{16\}" pulled | head -1)"'
    script = script.replace("--lease 1m", "--lease 1m | tee pulled").replace(" ID", f" {printed_id}")
    assert typed(script, installed, home).count('"aggregation-start"') == 3


def test_the_tutorial_on_serving(home: Path) -> None:
    script = commands((ROOT / "docs/tutorial-serve.md").read_text())
    script = script.replace("127.0.0.1:9090", "127.0.0.1:0")
    printed = typed(
        f"{script}\nwait $! || echo ended with $?; cat serving/log", installed_with("serve"), home
    )
    assert "na-ingestor-1" in printed
    assert '"aggregation-id":"kittens-seen"' in printed.replace(" ", "")
    assert "ended with 143" in printed
    assert "service.stopped" in printed
