"""Installs a wheel with each extra on each Python, and runs the end-to-end tests against it."""

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bill import install
from commands import ReleaseError, run

WITHOUT = "none"  # the folder of the environment without an extra


@dataclass(frozen=True)
class Tried:
    """What passed on one Python."""

    python: str
    extras: tuple[str, ...]
    passed: int
    seconds: float


def try_out(
    wheel: Path, pythons: dict[str, Path], extras: tuple[str, ...], directory: Path
) -> Iterator[Tried]:
    """Fails at the first Python on which a test fails or is skipped."""
    for version, python in pythons.items():
        begun = time.monotonic()
        here = directory / f"python-{version}"
        for extra in ("", *extras):
            interpreter = install(wheel, extra, python, here / (extra or WITHOUT))
            _is_the_wheel(interpreter, here)
        yield Tried(version, extras, _test(here), time.monotonic() - begun)


def _is_the_wheel(interpreter: Path, directory: Path) -> None:
    """No environment imports the tree."""
    where = run(
        str(interpreter), "-c", "import workflow_manager; print(workflow_manager.__file__)", cwd=directory
    )
    if not Path(where.strip()).is_relative_to(interpreter.parent.parent):
        raise ReleaseError(f"{interpreter} imports {where.strip()}, not the wheel")


def _test(environments: Path) -> int:
    """How many end-to-end tests passed. Their own code runs on this Python, the command on the other."""
    printed = run(
        *(sys.executable, "-m", "pytest", "-q", "-m", "end_to_end", "-n", "2"),
        environ={
            "WORKFLOW_MANAGER_INSTALLED": str(environments),
            "WORKFLOW_MANAGER_REQUIRE_EMULATORS": "1",
        },
    )
    passed = re.search(r"(\d+) passed", printed)
    if passed is None or "skipped" in printed.splitlines()[-1]:
        raise ReleaseError(f"not all end-to-end tests ran:\n{printed}")
    return int(passed[1])
