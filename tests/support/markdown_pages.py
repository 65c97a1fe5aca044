"""The pages as their readers see them: which commands they tell one to type, and where."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
SHELL = {"bash", "console", "sh", "shell"}
# A comment before a block says why no test runs it, or that CI does.
MARK = re.compile(r"<!-- (needs|run by): (.*?) -->")


def pages() -> list[str]:
    """All Markdown pages, by their path in the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "benchmarks").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found += (ROOT / "deploy").rglob("*.md")
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@dataclass(frozen=True)
class Block:
    """What a page tells its reader to type in one go."""

    page: str
    line: int
    text: str
    mark: str = ""  # `needs` or `run by`
    reason: str = ""

    @property
    def script(self) -> str:
        """What a shell is given: without the output that a `$` before each command tells apart."""
        if not self.text.startswith("$ "):
            return self.text
        lines = []
        continued = False
        for line in self.text.splitlines():
            if continued or line.startswith("$ "):
                lines.append(line.removeprefix("$ "))
                continued = line.endswith("\\")
        return "\n".join(lines) + "\n"

    @property
    def commands(self) -> list[str]:
        """The commands, each with its continuation lines and its here-document."""
        found: list[str] = []
        end = None
        joined = False
        for line in self.script.splitlines():
            if end is not None or joined:
                found[-1] += f"\n{line}"
                end = None if line == end else end
            elif line.strip() and not line.lstrip().startswith("#"):
                found.append(line)
                here = re.search(r"<<-?\s*['\"]?(\w+)", line)
                end = here[1] if here else None
            joined = end is None and line.endswith("\\")
        return found


def blocks(page: str) -> list[Block]:
    """A page's blocks of commands: indented ones, and those that are fenced as a shell's."""
    return list(_blocks(page, MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())))


def _blocks(page: str, tokens: list[Token]) -> Iterator[Block]:
    mark = reason = ""
    for token in tokens:
        if token.type == "html_block" and (found := MARK.search(token.content)):
            mark, reason = found.groups()
            continue
        is_shell = token.type == "code_block" or (token.type == "fence" and token.info.strip() in SHELL)
        if is_shell:
            assert token.map is not None
            yield Block(page, token.map[0] + 1, token.content, mark, reason)
        mark = reason = ""
