"""Adds the pages that stand outside docs/ to the site, with links that work there; a hook of MkDocs."""

import posixpath
import re
from pathlib import Path

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
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for address, path in OUTSIDE.items():
        files.append(File.generated(config, address, content=path.read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links at where their pages are on the site."""
    address = page.file.src_uri
    folder = OUTSIDE.get(address, DOCS / address).parent

    def moved(link: re.Match[str]) -> str:
        path = (folder / link[1]).resolve()
        inside = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else link[1]
        return posixpath.relpath(_ADDRESSES.get(path, inside), posixpath.dirname(address) or ".")

    return _LINK.sub(moved, markdown)
