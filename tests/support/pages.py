"""The status page in a browser, and what it must never do there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from support.made_up_fleet import NOW
from workflow_manager.report.status_page import instance_part, status_page
from workflow_manager.report.surveyed import SurveyedInstance

WIDTHS = (390, 820, 1440)
# Counts violations of the page's policy from its first byte on.
WATCH = (
    "addEventListener('securitypolicyviolation', (event) => (window.violated ??= []).push(event.blockedURI))"
)


def html(*instances: SurveyedInstance) -> str:
    """The page of these instances; a few of them are unfolded, as by the command."""
    parts = [instance_part(one, unfolded=len(instances) <= 5) for one in instances]
    return status_page(parts, NOW).html


class Opened:
    """A page that is open, and what went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        page.on("request", lambda request: self._requested(request.url))
        page.add_init_script(WATCH)

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that can be seen."""
        found: list[str] = self.page.locator(selector).evaluate_all(
            "all => all.filter((one) => one.checkVisibility()).map((one) => one.textContent.trim())"
        )
        return found

    def overflow(self) -> int:
        """How many pixels the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def violations(self) -> list[str]:
        """What axe-core finds, with the first element of each."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]

    def harm(self) -> list[str]:
        """Scripts that ran, requests that were sent, violations of the policy."""
        violated = self.page.evaluate("window.violated ?? []")
        return [*self.wrong, *map(str, violated)]

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "http://127.0.0.1")):
            self.wrong.append(url)


@contextmanager
def opened(browser: Browser, source: Path | str, **settings: Any) -> Iterator[Opened]:  # noqa: ANN401
    """A file, or a URL, in the browser."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **settings})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    one = Opened(page)
    page.goto(source.as_uri() if isinstance(source, Path) else source)
    try:
        yield one
    finally:
        context.close()
