"""Take the pictures of a study's page: three sizes, light and dark, as `docs/img/NAME-SIZE-SCHEME.png`.

`python tools/screenshots.py demo=runs/demo/report.html` needs playwright and an installed Chromium.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).resolve().parents[1] / "docs" / "img"
SIZES = {"desk": (1300, 900), "tablet": (820, 1180), "phone": (390, 844)}
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")
DRAWN = ".chart svg, .chart canvas"


def take(pages: dict[str, Path], browser: str) -> None:
    """Take all pictures."""
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, file in pages.items():
            for size, (width, height) in SIZES.items():
                for scheme in SCHEMES:
                    page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page.goto(file.resolve().as_uri())
                    page.wait_for_selector(DRAWN)
                    page.wait_for_timeout(500)  # fonts and figures settle
                    page.screenshot(path=OUT / f"{name}-{size}-{scheme}.png")
                    page.close()


def main() -> None:
    """Read NAME=FILE words and take the pictures."""
    pages = dict(word.split("=", 1) for word in sys.argv[1:])
    browser = os.environ.get("RETROSCOPE_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not pages or browser is None:
        sys.exit(f"{__doc__}\nchromium: {browser or 'not found'}")
    take({name: Path(file) for name, file in pages.items()}, browser)


if __name__ == "__main__":
    main()
