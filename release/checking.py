"""Checks the files of a release before anybody installs them."""

import re
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.version import Version

from commands import ROOT, ReleaseError, output, tool

# The project has no address of its own: whoever publishes it adds `urls` and an e-mail address.
_UNKNOWN_TO_THE_TREE = "AuthorEmail,Url,BusFactor"
_UNRELEASED = "Unreleased"
_SECTION = re.compile(r"^## \[?([^\]\s]+)\]?(?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def check(sdist: Path, wheel: Path) -> list[str]:
    """One line for each check that passed; fails at the first that does not."""
    version = _metadata(wheel)["Version"]
    tool("twine", "check", "--strict", str(sdist), str(wheel))
    tool("check-wheel-contents", str(wheel))
    tool("pyroma", "--min=10", f"--skip-tests={_UNKNOWN_TO_THE_TREE}", str(sdist))
    return [
        "twine check --strict, check-wheel-contents and pyroma: passed",
        _wheel_is_the_package(wheel),
        _sdist_is_the_tree(sdist),
        _version_is_one(version),
        _changelog_has(version),
    ]


def _metadata(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        return dict(Parser().parsestr(files.read(name).decode()).items())


def _wheel_is_the_package(wheel: Path) -> str:
    """The wheel has each file of the package and, besides its metadata and data, no other."""
    with zipfile.ZipFile(wheel) as files:
        names = {name for name in files.namelist() if not re.match(r"[^/]+\.(dist-info|data)/", name)}
    tracked = output("git", "ls-files", "src/workflow_manager").splitlines()
    expected = {name.removeprefix("src/") for name in tracked}
    if names != expected:
        raise ReleaseError(f"the wheel lacks or adds {sorted(names ^ expected)}")
    return f"the wheel has the {len(names)} files of the package, {wheel.stat().st_size / 1e3:,.0f} kB"


def _sdist_is_the_tree(sdist: Path) -> str:
    """The sdist has what a distributor needs to build, test and document the program."""
    with tarfile.open(sdist) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    missing = set(output("git", "ls-files").splitlines()) - names - {".gitignore"}
    if missing:
        raise ReleaseError(f"the sdist lacks {sorted(missing)}")
    return f"the sdist has all {len(names)} files of the commit, {sdist.stat().st_size / 1e3:,.0f} kB"


def _version_is_one(version: str) -> str:
    """A release's commit has a tag with the same version; any other commit has none."""
    tags = [tag for tag in output("git", "tag", "--points-at", "HEAD").splitlines() if tag.startswith("v")]
    if tags and tags != [f"v{version}"]:
        raise ReleaseError(f"the commit has the tag {', '.join(tags)}, but the version is {version}")
    return f"version {version}, " + (f"tagged {tags[0]}" if tags else "not tagged")


def _changelog_has(version: str) -> str:
    """A tagged version has its section; a version that is in work comes after the last section."""
    sections = _SECTION.findall((ROOT / "CHANGELOG.md").read_text())
    released = [name for name, _ in sections if name != _UNRELEASED]
    if output("git", "tag", "--points-at", "HEAD") and version not in released:
        raise ReleaseError(f"CHANGELOG.md has no section for {version}")
    if version not in released and any(Version(name) >= Version(version) for name in released):
        raise ReleaseError(f"CHANGELOG.md has {released[0]}, and the version is only {version}")
    return f"CHANGELOG.md: {'released' if version in released else 'unreleased'}"
