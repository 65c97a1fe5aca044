"""Builds the sdist and the wheel of a commit, and shows that anybody can build the same bytes."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from commands import ROOT, ReleaseError, output, run

# Whatever must not show in the files: each build has another folder, umask, time zone and order of sets.
_BUILDS: tuple[tuple[str, int, Mapping[str, str]], ...] = (
    ("first", 0o022, {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
    ("second/further/down", 0o077, {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}),
)


def build(commit: str, into: Path) -> tuple[Path, Path]:
    """The sdist and the wheel of a commit; fails if a second build has other bytes."""
    into.mkdir(parents=True, exist_ok=True)
    for old in into.iterdir():
        old.unlink()
    with TemporaryDirectory() as directory:
        built = [_build(commit, Path(directory), *how) for how in _BUILDS]
        if built[0] != built[1]:
            differing = sorted(name for name in built[0] if built[0][name] != built[1].get(name))
            raise ReleaseError(f"two builds of {commit} differ: {', '.join(differing)}")
        for name, content in built[0].items():
            (into / name).write_bytes(content)
    (sdist,), (wheel,) = into.glob("*.tar.gz"), into.glob("*.whl")
    return sdist, wheel


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(
    commit: str, directory: Path, name: str, umask: int, environ: Mapping[str, str]
) -> dict[str, bytes]:
    """File names and contents; the wheel is built from the sdist, which is complete if that works."""
    source, built = directory / name / "source", directory / name / "built"
    source.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(source, filter="data")
    epoch = output("git", "log", "-1", "--format=%ct", commit)
    before = os.umask(umask)
    try:
        run(
            *(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built), str(source)),
            environ={"SOURCE_DATE_EPOCH": epoch, **environ},
        )
    finally:
        os.umask(before)
    return {path.name: path.read_bytes() for path in sorted(built.iterdir())}
