"""What the pages say is what the program does."""

import re
from pathlib import Path

import pytest

import architecture
from workflow_manager.cli.metrics_reference import metrics_page
from workflow_manager.cli.reference import (
    events_page,
    flags_page,
    instances_page,
    manual_page,
    markers_page,
    messages_page,
    report_page,
    status_page,
)
from workflow_manager.core.verdict import BatchState, WindowState
from workflow_manager.observe.metric_definitions import ALL

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "benchmarks").glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_the_flag_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/flags.md").read_text() == flags_page(), "make docs"


def test_the_reference_of_the_file_of_instances_is_generated() -> None:
    assert (ROOT / "docs/reference/instances.md").read_text() == instances_page(), "make docs"


def test_the_event_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/events.md").read_text() == events_page(), "make docs"


def test_the_message_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/messages.md").read_text() == messages_page(), "make docs"


def test_the_marker_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/markers.md").read_text() == markers_page(), "make docs"


def test_the_status_reference_is_generated() -> None:
    assert (ROOT / "docs/reference/status.md").read_text() == status_page(), "make docs"


def test_the_reference_of_reports_is_generated() -> None:
    assert (ROOT / "docs/reference/run-report.md").read_text() == report_page(), "make docs"


def test_the_picture_of_the_architecture_is_generated() -> None:
    assert architecture.PICTURE.read_text() == architecture.picture(), "make docs"


def test_every_event_is_on_the_page_of_the_python_api() -> None:
    page = (ROOT / "docs/reference/api/events.md").read_text()
    observe = ROOT / "src/workflow_manager/observe"
    modules = [
        path.stem
        for path in observe.glob("*.py")
        if re.search(r"^class \w+\(Event\)", path.read_text(), re.MULTILINE)
    ]
    assert [name for name in modules if f"::: workflow_manager.observe.{name}\n" not in page] == []


def test_the_glossary_is_in_order_and_has_every_state() -> None:
    page = (ROOT / "docs/reference/glossary.md").read_text()
    words = [word.lower() for word in re.findall(r"^\*\*(.+?)\*\*: ", page, re.MULTILINE)]
    assert words == sorted(words)
    assert len(words) == len(re.findall(r"\n\n", page)), "each paragraph explains one word"
    assert {state.value for state in (*BatchState, *WindowState)} <= set(words)


def test_the_manual_page_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert (ROOT / "docs/reference/workflow-manager.1").read_text() == manual_page(), "make docs"


def test_the_reference_of_metrics_is_generated() -> None:
    assert (ROOT / "docs/reference/metrics.md").read_text() == metrics_page(), "make docs"


def test_every_metric_is_described_once() -> None:
    page = metrics_page()
    rows = [page.count(f"\n| `{definition.exposed_name}` |") for definition in ALL]
    assert rows == [1] * len(ALL)


def test_every_page_has_its_place_on_the_site_and_the_start_page_leads_to_every_how_to() -> None:
    docs = ROOT / "docs"
    pages = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md")]
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2].split()
    assert [page for page in pages if page not in navigation] == []
    start = (docs / "index.md").read_text()
    assert [page for page in pages if page.startswith("how-to/") and f"({page})" not in start] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in _anchors(there), f"{page.name} links to {anchor} of {there.name}"


def _anchors(page: Path) -> set[str]:
    """What a page's headings can be linked to by."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
