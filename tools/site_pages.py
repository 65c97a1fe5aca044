"""Adds the pages that stand outside docs/ to the site, with links that work there; a hook of MkDocs."""

import posixpath
import re
from pathlib import Path

from markdown_it import MarkdownIt
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
OUTSIDE = {
    "project/contributing.md": ROOT / "CONTRIBUTING.md",
    "project/releasing.md": ROOT / "RELEASING.md",
    "project/security.md": ROOT / "SECURITY.md",
    "project/benchmarks.md": ROOT / "benchmarks" / "README.md",
    "project/changelog.md": ROOT / "CHANGELOG.md",
}
_ADDRESSES = {path: address for address, path in OUTSIDE.items()} | {ROOT / "README.md": "index.md"}
_LINK = re.compile(
    r"(?P<before>(?<!\!)\[(?P<text>[^\]]*)\]\(|\]\()(?![a-z]+:|#)(?P<target>[^)#\s]+)(?P<after>[^)]*\))"
)
_ITEM = re.compile(r" *((?:[-*+]|\d+[.)]) +)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for address, path in OUTSIDE.items():
        files.append(File.generated(config, address, content=path.read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at where their pages are on the site; other files of the repository become part of it."""
    address = page.file.src_uri
    folder = OUTSIDE.get(address, DOCS / address).parent

    def moved(link: re.Match[str]) -> str:
        path = (folder / link["target"]).resolve()
        if path.is_dir():
            return link["text"] or link[0]
        if path.is_relative_to(DOCS):
            there = path.relative_to(DOCS).as_posix()
        else:
            there = _ADDRESSES.get(path) or _added(path, config, files) or link["target"]
        return link["before"] + posixpath.relpath(there, posixpath.dirname(address) or ".") + link["after"]

    return four_columns(_LINK.sub(moved, markdown))


def four_columns(markdown: str) -> str:
    """Indent what belongs to an item of a list by four columns, as Python-Markdown wants it.

    In CommonMark, it is as far indented as the item's text.
    """
    lines = markdown.split("\n")
    more = [0] * len(lines)
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "list_item_open" and token.map and (item := _ITEM.match(lines[token.map[0]])):
            for number in range(token.map[0] + 1, token.map[1]):
                more[number] += 4 - len(item[1])
    return "\n".join(
        " " * more[number] + line if line.startswith("  ") and more[number] > 0 else line
        for number, line in enumerate(lines)
    )


def _added(path: Path, config: MkDocsConfig, files: Files) -> str:
    """The address of a file of the repository on the site; nothing if there is no such file."""
    if not path.is_file() or not path.is_relative_to(ROOT):
        return ""
    address = f"files/{path.relative_to(ROOT).as_posix()}"
    if files.get_file_from_path(address) is None:
        files.append(File.generated(config, address, abs_src_path=str(path)))
    return address
