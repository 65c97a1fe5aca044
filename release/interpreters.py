"""Finds the Python interpreters of this machine that the project supports."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

# Asks the interpreter itself, because a name on the PATH may be a shim without a Python behind it.
_QUESTION = "import platform, sys; print(platform.python_version(), sys.implementation.name)"
_NAME = re.compile(r"python3\.\d+")


def interpreters(supported: str) -> dict[str, Path]:
    """The newest CPython of each supported minor version, by version, oldest first."""
    found: dict[tuple[int, int], tuple[Version, Path]] = {}
    for path in _candidates():
        version = _version(path)
        if version is None or version not in SpecifierSet(supported):
            continue
        minor = (version.major, version.minor)
        if minor not in found or version > found[minor][0]:
            found[minor] = (version, path)
    return {str(version): path for _, (version, path) in sorted(found.items())}


def _candidates() -> Iterator[Path]:
    """Whatever is named `python3.N`: on the PATH, and where pyenv, asdf and uv keep their versions."""
    home = Path.home()
    managers = (
        Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions",
        Path(os.environ.get("ASDF_DATA_DIR", home / ".asdf")) / "installs" / "python",
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python")),
    )
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += [version / "bin" for manager in managers for version in manager.glob("*")]
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            if _NAME.fullmatch(path.name) and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _version(path: Path) -> Version | None:
    """The version of a final release of CPython, or None."""
    done = subprocess.run([path, "-c", _QUESTION], capture_output=True, text=True, check=False)
    number, _, implementation = done.stdout.strip().partition(" ")
    try:
        version = Version(number)
    except InvalidVersion:
        return None
    return version if implementation == "cpython" and not version.is_prerelease else None
