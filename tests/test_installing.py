"""Whatever says how to install this project says its name on the package index."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from workflow_manager.errors import MissingExtraError

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME, EXTRAS = PROJECT["name"], set(PROJECT["optional-dependencies"])

OTHERS = ("src", "docs", "deploy", "benchmarks", "kubernetes", "tests", ".github")
ENDINGS = {".md", ".py", ".toml", ".yaml", ".yml", ".txt", ".json", ".tpl", ".service", ""}
INSTALL = re.compile(r"\b(?:pip3?|pipx|uv(?: tool| pip)?) (?:install|add) ([^`\n#;&|]*)")
NAMED = re.compile(r"(?<![\w./-])[\w.-]*workflow[-_]manager(?![\w/.-])")
WITH_EXTRAS = re.compile(r"([\w.-]*workflow[-_]manager)\[([\w, -]+)\]")


def texts() -> Iterator[tuple[Path, str]]:
    """The files of the project that people read."""
    found = [*ROOT.glob("*.md"), *(path for folder in OTHERS for path in (ROOT / folder).rglob("*"))]
    for path in found:
        if path.suffix in ENDINGS and path.is_file() and path != Path(__file__):
            try:
                yield path.relative_to(ROOT), path.read_text()
            except UnicodeDecodeError:
                continue  # an archive or a picture


def test_every_install_line_names_the_distribution() -> None:
    named = [
        (path, name)
        for path, text in texts()
        for line in INSTALL.findall(text)
        for name in NAMED.findall(line)
    ]
    assert len(named) >= 10, "the pages say how to install"
    assert [found for found in named if found[1] != NAME] == [], "that is another project"


def test_every_extra_is_one_of_the_distribution() -> None:
    named = [(path, *found) for path, text in texts() for found in WITH_EXTRAS.findall(text)]
    assert len(named) >= 15
    for path, name, extras in named:
        assert name == NAME, f"{path} has {name}[{extras}]"
        assert {extra.strip() for extra in extras.split(",")} <= EXTRAS, f"{path} has {name}[{extras}]"


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_errors_name_it(extra: str) -> None:
    assert f"pip install '{NAME}[{extra}]'" in str(MissingExtraError("s3://", extra, "botocore"))


def test_all_includes_every_extra() -> None:
    (all_of_them,) = map(Requirement, PROJECT["optional-dependencies"]["all"])
    assert all_of_them.name == NAME
    assert all_of_them.extras == EXTRAS - {"all"}


def test_packages_of_third_parties_depend_on_it() -> None:
    page = (ROOT / "docs/how-to/add-a-task-queue.md").read_text()
    assert f'dependencies = ["{NAME}"]' in page
