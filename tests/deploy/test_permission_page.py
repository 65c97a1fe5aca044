"""The page on permissions shows every file of deploy/iam as it is."""

import json
from pathlib import Path

import pytest

from support.permissions import IAM

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "permissions.md").read_text()
FILES = sorted(IAM.iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_has_the_file(file: Path) -> None:
    text = file.read_text()
    assert json.loads(text)
    link = f"[`{file.name}`](../../deploy/iam/{file.name}):"
    assert f"{link}\n\n```json\n{text}```\n" in PAGE


def test_the_page_has_no_other() -> None:
    assert PAGE.count("```json") == len(FILES) > 8
