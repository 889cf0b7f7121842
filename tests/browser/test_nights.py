"""The page over all nights in a real browser, from a file, with nothing of a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from sweep.nightly.night import Outcome
from sweep.nightly.page import write_page
from tests.browser.chrome import PHONE, chromium, column, errors, requests, show
from tests.nightly.made_nights import made_night, made_paths, made_verdict

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty nights of two studies, with every outcome."""
    verdicts = [made_verdict(0.2 - day / 1000, rank=4 if day < 12 else 8) for day in range(21)]
    outcomes = {3: Outcome.FAILED, 7: Outcome.MISSED, 8: Outcome.SKIPPED, 1: Outcome.UNFINISHED}
    nights = [
        made_night(day, outcomes.get(day, Outcome.DONE), verdicts[day], verdicts[day - 1], seconds=60.0 * day)
        for day in range(1, 21)
    ]
    nights += [made_night(day, study="a-study-with-quite-a-long-name", schedule="other") for day in (5, 10)]
    return write_page(nights, made_paths(tmp_path_factory.mktemp("nights"), "pharma"))


def test_it_shows_without_errors_and_without_a_network(browser: Chrome, whole: Path) -> None:
    errors(browser), requests(browser)
    show(browser, whole)
    assert errors(browser) == []
    assert requests(browser) == [whole.as_uri()]
    plots = browser.find_elements(By.CSS_SELECTOR, ".over-nights svg")
    assert [plot.get_attribute("aria-label").partition(" over")[0] for plot in plots] == [
        "Loss on certify, nats per token",
        "Chosen rank",
    ]
    assert all(plot.size["height"] > 60 for plot in plots)
    colour = browser.execute_script("return getComputedStyle(document.querySelector('.over-nights circle')).fill")
    assert colour != "rgb(0, 0, 0)"


def test_it_filters_and_sorts(browser: Chrome, whole: Path) -> None:
    show(browser, whole)
    assert len(column(browser, "night")) == 22
    Select(browser.find_element(By.ID, "stage")).select_by_visible_text("pharma")
    assert set(column(browser, "study")) == {"pharma"}
    assert browser.find_element(By.ID, "count").text == "20 of 22 nights"
    Select(browser.find_element(By.ID, "status")).select_by_visible_text("missed")
    assert column(browser, "night") == ["2026-03-07"]
    Select(browser.find_element(By.ID, "status")).select_by_visible_text("all")
    browser.find_element(By.XPATH, "//table[@id='table']//th/button[text()='minutes']").click()
    minutes = [int(cell) for cell in column(browser, "minutes") if cell]
    assert minutes == sorted(minutes)
    assert column(browser, "minutes")[-2:] == ["", ""]  # nights on which nothing ran


@pytest.mark.parametrize("size", [PHONE, (320, 640), (1280, 900)])
def test_nothing_is_wider_than_the_page(browser: Chrome, whole: Path, size: tuple[int, int]) -> None:
    show(browser, whole, size)
    assert browser.execute_script("return document.documentElement.scrollWidth") == size[0]
