"""Checks the built site: it fetches nothing from elsewhere, can be searched from disk, and is complete.

    python tools/check_site.py build/site

MkDocs itself reports broken links, broken anchors, and pages that are missing from the navigation.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

from site_pages import DOCS, OUTSIDE

# What a browser fetches by itself, unlike the target of a link.
_FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_COUNTED = ("h1", "h2", "h3", "li", "pre", "table", "tr", "img")


class _Page(HTMLParser):
    """Counts the elements of a page's article, and collects what the whole page fetches."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.fetched: list[str] = []
        self._in_article = "<article" not in html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self._in_article = True
        attributes = dict(attrs)
        fetched = attributes.get(_FETCHING.get(tag, ""))
        if fetched and not (tag == "link" and attributes.get("rel") == "canonical"):
            self.fetched.append(fetched)
        self.counts[tag] += self._in_article

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._in_article = False


def problems(site: Path) -> Iterator[str]:
    """What is wrong, one line each."""
    for path in site.rglob("*.html"):
        for address in _Page(path.read_text()).fetched:
            if re.match(r"(https?:)?//", address):
                yield f"{path}: fetches {address}"
    for path in site.rglob("*.css"):
        for address in re.findall(r"url\(['\"]?((?:https?:)?//[^)'\"]*)", path.read_text()):
            yield f"{path}: fetches {address}"
    yield from _search_problems(site)
    for source, built in _pages(site):
        yield from _differences(source, built)


def _search_problems(site: Path) -> Iterator[str]:
    """Search finds something without a server, in a browser that may fetch nothing."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        if os.environ.get("WORKFLOW_MANAGER_REQUIRE_EMULATORS") == "1":
            yield "search was not tried: apt-get install chromium"
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    address = f"{(site / 'index.html').resolve().as_uri()}?q=lease"
    page = subprocess.run(
        [browser, *flags, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    found = re.search(rb"(\d+) matching documents", page.stdout)
    if found is None:
        yield "search finds nothing without a server"
    else:
        print(f"search works from disk: {int(found[1])} documents match 'lease'")


def _pages(site: Path) -> Iterator[tuple[Path, Path]]:
    """Each Markdown file and what was built from it."""
    for address in [*OUTSIDE, *(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))]:
        yield OUTSIDE.get(address, DOCS / address), site / Path(address).with_suffix(".html")


def _differences(source: Path, built: Path) -> Iterator[str]:
    """A page has the same lists, blocks and tables on the site as where CommonMark is displayed."""
    text = source.read_text()
    if re.search(r"^::: ", text, re.MULTILINE):
        return  # generated from docstrings
    expected = _Page(MarkdownIt("commonmark").enable("table").render(text)).counts
    found = _Page(built.read_text()).counts
    for tag in _COUNTED:
        if expected[tag] != found[tag]:
            yield f"{source}: {expected[tag]} <{tag}> in CommonMark, but {found[tag]} on the site"


def main() -> int:
    """Print what is wrong, or what there is; 0 if nothing is wrong."""
    site = Path(sys.argv[1])
    found = list(problems(site))
    for problem in found:
        print(problem, file=sys.stderr)
    files = [path for path in site.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{site}: {len(list(site.rglob('*.html')))} pages, {size / 1e6:.1f} MB, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
