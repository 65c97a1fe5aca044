"""What the pages say is what the program does."""

import re
from pathlib import Path

from workflow_manager.cli.reference import events_page, flags_page
from workflow_manager.core.report import FIGURES

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_the_flag_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/flags.md").read_text() == flags_page(), "make docs"


def test_the_event_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/events.md").read_text() == events_page(), "make docs"


def test_every_metric_is_described() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    assert all(f"`workflow_manager_{name}`" in page for name in FIGURES)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
