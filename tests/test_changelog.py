"""CHANGELOG.md has the form of Keep a Changelog, and its newest release is the version of the program."""

import re
from datetime import date
from pathlib import Path

from packaging.version import Version

from workflow_manager import __version__

TEXT = (Path(__file__).parent.parent / "CHANGELOG.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
HEADING = re.compile(r"## \[(Unreleased|\d+\.\d+\.\d+)\](?: - (\d{4}-\d\d-\d\d))?")


def sections() -> list[tuple[str, str]]:
    """Headings and contents of the releases, newest first."""
    _, *parts = re.split(r"^(?=## )", TEXT, flags=re.MULTILINE)
    return [(heading, body) for heading, _, body in (part.partition("\n") for part in parts)]


def test_the_head_names_the_format() -> None:
    head = TEXT.partition("\n## ")[0]
    assert head.startswith("# Changelog\n")
    assert "https://keepachangelog.com/en/1.1.0/" in head
    assert "https://semver.org/" in head


def test_the_first_section_is_unreleased_and_each_other_has_a_version_and_a_date() -> None:
    (first, *released) = [HEADING.fullmatch(heading) for heading, _ in sections()]
    assert first is not None
    assert first.groups() == ("Unreleased", None)
    for heading in released:
        assert heading is not None
        date.fromisoformat(heading[2])


def test_releases_are_in_order_and_none_is_newer_than_the_program() -> None:
    versions = [Version(heading.split("]")[0].removeprefix("## [")) for heading, _ in sections()[1:]]
    assert versions == sorted(set(versions), reverse=True)
    assert all(version <= Version(__version__) for version in versions)


def test_entries_stand_under_a_kind_of_change_and_no_kind_comes_twice() -> None:
    for heading, body in sections():
        before, *parts = re.split(r"^### ", body, flags=re.MULTILINE)
        assert before.strip() == "", f"{heading}: {before}"
        kinds = [part.partition("\n")[0] for part in parts]
        assert set(kinds) <= KINDS, heading
        assert len(set(kinds)) == len(kinds), heading
        for part in parts:
            entries = part.partition("\n")[2].strip()
            assert entries, f"{heading}, {part}: remove the empty heading"
            for line in entries.splitlines():
                assert line.startswith(("- ", "  ")), f"{heading}: {line}"
