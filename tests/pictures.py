"""Takes the pictures of the status page in the documentation, from the demo: `make pictures`."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page

from servers.browser import chromium
from workflow_manager.cli.demo import PAGE, demo

COLOURS = 250  # enough for a page of few colours, and a third of the bytes
WIDTH, HEIGHT = 1080, 760


def main(directory: Path) -> None:
    """Write both pictures."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as deployment, chromium() as browser:
        demo(["--directory", str(Path(deployment) / "demo")])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.5, color_scheme="light"
        )
        page.goto((Path(deployment) / "demo" / PAGE).as_uri())
        page.evaluate("document.getElementById('made').textContent = ''")  # the demo's time is long gone
        _save(page, directory / "status-page.png")
        one = page.locator(".agg").first
        one.locator(".row", has_text="missed").evaluate("row => row.open = true")
        _save(one, directory / "status-page-window.png")


def _save(shown: Page | Locator, path: Path) -> None:
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
