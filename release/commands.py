"""Runs the programs that a release consists of."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


class ReleaseError(Exception):
    """The release cannot be made."""


def run(*command: str, environ: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
    """What a command prints; fails with all of it if the command fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def tool(name: str, *arguments: str) -> str:
    """What a program of this environment prints."""
    return run(str(BIN / name), *arguments)


def output(*command: str) -> str:
    """The one thing that a command prints to its standard output."""
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
