"""A Chromium without a screen, driven by selenium: the system's browser and driver, nothing downloaded."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

MISSING = "needs Chromium and its driver: `apt-get install chromium chromium-driver` (.ci/run does so on Debian)"
PHONE = (390, 844)
DESKTOP = (1280, 900)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A fresh browser with a profile of its own; a missing one is an error, not a reason to pass over a test."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        raise RuntimeError(MISSING)
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = binary
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        browser = Chrome(options=options, service=Service(driver))
        browser.set_page_load_timeout(120)
        try:
            yield browser
        finally:
            browser.quit()


def show(browser: Chrome, page: Path, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> None:
    """Opens a page at a size, as a phone where it is narrow, and waits until its charts are drawn."""
    width, height = size
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})
    scheme = "dark" if dark else "light"
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(page.absolute().as_uri())
    drawn(browser, scheme)


def drawn(browser: Chrome, scheme: str) -> None:
    """Waits until the charts are drawn in the colours of the scheme."""
    WebDriverWait(browser, 60).until(
        lambda it: it.execute_script("return document.documentElement.dataset.drawn") == scheme
    )


def picture(browser: Chrome, file: Path, height: int | None = None) -> None:
    """A PNG of the whole page, or of so much of it from the top."""
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(height or size["height"], size["height"]), "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    file.write_bytes(base64.b64decode(shot["data"]))


def errors(browser: Chrome) -> list[str]:
    """What the page complained of since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def requests(browser: Chrome) -> list[str]:
    """Addresses that were asked for since the last call, what is in the page itself aside."""
    found = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith(("data:", "blob:")):
                found.append(address)
    return found


def column(browser: Chrome, title: str) -> list[str]:
    """The cells of the page's table that are shown, from top to bottom."""
    script = """
        const table = document.getElementById("table");
        const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === arguments[0]);
        return [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[at].textContent.trim());
    """
    found: list[str] = browser.execute_script(script, title)
    return found
