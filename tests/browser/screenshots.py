"""Pictures of a report for docs/pictures.

    python -m tests.browser.screenshots mlruns/reports/pharma/index.html docs/pictures

writes `report-desktop.png` (light, the answer and the ladder) and `report-phone.png`. With `--all`, the whole page too:
`full-light.png`, `full-dark.png`, `full-phone.png`, for looking at. Needs Chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.browser.chrome import DESKTOP, PHONE, chromium, picture, show

MOST_BYTES = 400_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="the whole page in light, in dark and on a phone")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        show(browser, asked.page)
        picture(browser, asked.folder / "report-desktop.png", height=1650)
        if asked.all:
            picture(browser, asked.folder / "full-light.png")
            show(browser, asked.page, DESKTOP, dark=True)
            picture(browser, asked.folder / "full-dark.png")
        show(browser, asked.page, PHONE)
        picture(browser, asked.folder / "report-phone.png", height=2000)
        if asked.all:
            picture(browser, asked.folder / "full-phone.png")
    for name in ("report-desktop.png", "report-phone.png"):
        size = (asked.folder / name).stat().st_size
        print(f"{asked.folder / name}: {size / 1e3:.0f} kB")
        if size > MOST_BYTES:
            raise SystemExit(f"{name} is larger than {MOST_BYTES / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
