"""The page in a real browser, from a file, with nothing of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from sweep.records import StudyRecord
from sweep.reports.page import Beside, Contrast, answer_of, render, render_comparison
from sweep.reports.page.samples import Answer, Sample
from sweep.verdict.conclude import conclude
from tests.browser.chrome import DESKTOP, PHONE, chromium, column, drawn, errors, picture, requests, show
from tests.conftest import arm, result, study_record
from tests.reports.made_page import page, page_record
from tests.reports.test_page import HOSTILE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return written(page(page_record(), folder), folder)


def written(text: str, folder: Path) -> Path:
    file = folder / "index.html"
    file.write_text(text, encoding="utf-8")
    return file


def header(browser: Chrome, title: str) -> Any:
    return browser.find_element(By.XPATH, f"//table[@id='table']//th/button[text()='{title}']")


def test_it_draws_without_errors_and_without_a_network(browser: Chrome, whole: Path) -> None:
    errors(browser), requests(browser)
    show(browser, whole)
    assert errors(browser) == []
    assert requests(browser) == [whole.as_uri()]
    charts = browser.find_elements(By.CSS_SELECTOR, "[data-chart] .main-svg")
    assert len({chart.find_element(By.XPATH, "./ancestor::*[@data-chart]").id for chart in charts}) == 6


@pytest.mark.parametrize("size", [PHONE, (320, 640), (768, 1024), (1280, 900)])
def test_nothing_is_wider_than_the_page(browser: Chrome, whole: Path, size: tuple[int, int]) -> None:
    show(browser, whole, size)
    assert browser.execute_script("return document.documentElement.scrollWidth") == size[0]
    wider = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter((it) => !it.closest('.scroll, .js-plotly-plot, pre, .sr')"
        " && it.getBoundingClientRect().right > innerWidth + 1).map((it) => it.outerHTML.slice(0, 90))"
    )
    assert wider == []


@pytest.mark.parametrize(
    ("section", "size"), [("ladder", DESKTOP), ("test", DESKTOP), ("kinds", DESKTOP), ("test", PHONE)]
)
def test_no_table_of_figures_is_cut_off(browser: Chrome, whole: Path, section: str, size: tuple[int, int]) -> None:
    show(browser, whole, size)
    (hidden,) = browser.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} .scroll`)].map((it) => it.scrollWidth - it.clientWidth)",
        section,
    )
    assert hidden <= 0


def test_a_header_sorts_up_and_down_with_unknowns_last(browser: Chrome, whole: Path) -> None:
    show(browser, whole)
    header(browser, "loss").click()
    cells = column(browser, "loss")
    losses = [float(cell) for cell in cells if cell]
    assert losses == sorted(losses)
    assert cells[len(losses) :] == [""] * (len(cells) - len(losses))
    head = header(browser, "loss").find_element(By.XPATH, "..")
    assert head.get_attribute("aria-sort") == "ascending"
    header(browser, "loss").click()
    cells = column(browser, "loss")
    assert [float(cell) for cell in cells[: len(losses)]] == sorted(losses, reverse=True)
    assert cells[-1] == ""
    assert head.get_attribute("aria-sort") == "descending"


def test_sizes_sort_by_bytes_and_only_one_header_is_sorted(browser: Chrome, whole: Path) -> None:
    show(browser, whole)
    header(browser, "rank").click()
    header(browser, "adapter").click()
    sizes = [cell for cell in column(browser, "adapter") if cell]
    assert sizes[0].endswith(" kB")
    assert sizes[-1].endswith(" MB")
    sorted_heads = browser.find_elements(By.CSS_SELECTOR, "#table th:not([aria-sort=none])")
    assert [head.text for head in sorted_heads] == ["adapter"]


def test_the_keyboard_sorts_too(browser: Chrome, whole: Path) -> None:
    show(browser, whole)
    header(browser, "rank").send_keys(Keys.ENTER)
    ranks = [int(cell) for cell in column(browser, "rank")]
    assert ranks == sorted(ranks)
    header(browser, "rank").send_keys(Keys.SPACE)
    assert [int(cell) for cell in column(browser, "rank")] == sorted(ranks, reverse=True)


def test_words_stage_and_status_filter(browser: Chrome, whole: Path) -> None:
    show(browser, whole)
    total = len(column(browser, "rank"))
    browser.find_element(By.ID, "filter").send_keys("q_v r8-")
    assert set(column(browser, "rank")) == {"8"}
    assert set(column(browser, "targets")) == {"q_v"}
    browser.find_element(By.ID, "filter").clear()
    browser.find_element(By.ID, "filter").send_keys(Keys.SPACE)
    assert len(column(browser, "rank")) == total
    Select(browser.find_element(By.ID, "stage")).select_by_visible_text("explore")
    Select(browser.find_element(By.ID, "status")).select_by_visible_text("infeasible")
    assert column(browser, "status") == ["infeasible"] * 3
    assert browser.find_element(By.ID, "count").text == f"3 of {total} trials"


def test_dark_and_light(browser: Chrome, whole: Path) -> None:
    def paper() -> str:
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    def ink() -> str:
        return browser.execute_script(
            "return getComputedStyle(document.querySelector('[data-chart=ladder] .xtick text')).fill"
        )

    show(browser, whole)
    light = paper(), ink()
    show(browser, whole, dark=True)
    dark = paper(), ink()
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    browser.find_element(By.ID, "theme").click()
    drawn(browser, "light")
    assert (paper(), ink()) == light
    browser.refresh()
    drawn(browser, "light")
    assert paper() == light[0]
    browser.execute_script("localStorage.clear()")


def test_text_can_be_read_against_its_ground(browser: Chrome, whole: Path) -> None:
    script = """
        const number = (text) => text.match(/[0-9.]+/g).map(Number);
        const light = (colour) => { const [r, g, b] = number(colour).map((part) => part / 255)
            .map((part) => part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b; };
        const ground = (it) => { for (let at = it; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor; const parts = number(colour);
            if (colour.startsWith("rgb") && (parts.length === 3 || parts[3] === 1)) return colour; } return "rgb(255,255,255)"; };
        return [...document.querySelectorAll("main *")].filter((it) => it.childNodes.length === 1
            && it.firstChild.nodeType === 3 && it.textContent.trim() && !it.closest(".js-plotly-plot")).map((it) => {
            const [a, b] = [light(getComputedStyle(it).color), light(ground(it))].sort((x, y) => y - x);
            return [(a + .05) / (b + .05), it.outerHTML.slice(0, 80)]; }).filter(([ratio]) => ratio < 4.5);
    """
    for dark in (False, True):
        show(browser, whole, dark=dark)
        assert browser.execute_script(script) == []


def test_the_cost_is_chosen_by_a_button(browser: Chrome, whole: Path) -> None:
    def title() -> str:
        return browser.find_element(By.CSS_SELECTOR, "#cost .xtitle").text

    show(browser, whole)
    assert title() == "adapter size on disk, MB"
    button = browser.find_element(By.CSS_SELECTOR, "[data-shows=pareto-memory]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    WebDriverWait(browser, 60).until(lambda _: title() == "peak memory, GB")
    assert button.get_attribute("aria-pressed") == "true"
    assert len(browser.find_elements(By.CSS_SELECTOR, "#cost [aria-pressed=true]")) == 1


def test_a_command_is_copied(browser: Chrome, whole: Path) -> None:
    show(browser, whole)
    button = browser.find_element(By.CSS_SELECTOR, ".next .copy")
    # it says so for a moment only
    watch = "said = []; new MutationObserver(() => said.push(arguments[0].textContent)).observe(arguments[0], {childList: true})"
    browser.execute_script(watch, button)
    button.click()
    WebDriverWait(browser, 60).until(lambda it: "Copied" in it.execute_script("return said"))
    field = browser.find_element(By.ID, "filter")
    field.send_keys(Keys.CONTROL, "v")
    assert field.get_attribute("value") == 'python -m sweep.predict study=pharma prompt="..."'


def test_hostile_text_runs_nothing(browser: Chrome, tmp_path: Path) -> None:
    plain = page_record(explored=4)
    record = replace(plain, task=HOSTILE, model=HOSTILE, config=HOSTILE, command=HOSTILE)
    record = replace(record, importances={HOSTILE: 0.4}, run_page="javascript:alert(1)")
    conclusion = conclude(plain)
    answer = replace(answer_of(record, conclusion), headline=(HOSTILE,), findings=(HOSTILE,))
    contrast = Contrast(HOSTILE * 9, HOSTILE, 4, HOSTILE, 8, HOSTILE, 1.0)
    said = Answer(HOSTILE, 0.5)
    sample = Sample(HOSTILE, HOSTILE, HOSTILE, said, said)
    beside = Beside(HOSTILE, [contrast], [sample], open_runs=HOSTILE)
    file = written(render(record, conclusion, answer, beside), tmp_path)
    errors(browser), requests(browser)
    show(browser, file)
    assert errors(browser) == []
    assert requests(browser) == [file.as_uri()]
    assert browser.find_elements(By.CSS_SELECTOR, "main img, main script") == []


@pytest.mark.parametrize(
    "record",
    [study_record([]), study_record([result(arm(), 1.0)]), study_record([result(arm(2), 1.2), result(arm(), 1)])],
)
def test_sparse_studies_are_drawn(browser: Chrome, tmp_path: Path, record: StudyRecord) -> None:
    file = written(render(record, None, answer_of(record, None), Beside("today")), tmp_path)
    errors(browser)
    browser.get(file.as_uri())
    if record.trials:
        drawn(browser, "light")
    assert errors(browser) == []
    assert "No rank yet" in browser.find_element(By.TAG_NAME, "h1").text


def test_a_comparison_is_drawn(browser: Chrome, tmp_path: Path) -> None:
    first, second = page_record(explored=3), replace(page_record(explored=2), name="other")
    text = render_comparison((first, conclude(first)), (second, conclude(second)), "today")
    file = written(text, tmp_path)
    for size in (PHONE, (1280, 900)):
        errors(browser)
        show(browser, file, size)
        assert errors(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") == size[0]


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_a_cut_ladder_is_drawn(browser: Chrome, tmp_path: Path, size: tuple[int, int]) -> None:
    file = written(page(page_record(ladder_by="cut")), tmp_path)
    errors(browser)
    show(browser, file, size)
    assert errors(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") == size[0]
    ticks = [tick.text for tick in browser.find_elements(By.CSS_SELECTOR, "[data-chart=ladder] .xtick")]
    assert ticks[2].replace("\n", "") == "4463 kB"  # rank and size, one below the other
    assert set(column(browser, "type")) == {"", "trained", "cut from r32"}
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('#ladder .scroll, #test .scroll')].map((it) => it.scrollWidth - it.clientWidth)"
    )
    assert max(hidden) <= 0 or size == PHONE


def test_a_thousand_trials_sort_and_filter_at_once(browser: Chrome, tmp_path: Path) -> None:
    show(browser, written(page(page_record(explored=1000)), tmp_path))
    script = """
        document.getElementById("filter").value = "";
        document.getElementById("filter").dispatchEvent(new Event("input"));
        document.body.offsetHeight;
        const before = performance.now();
        document.querySelectorAll("#table th button")[8].click();
        document.body.offsetHeight;
        const sorted = performance.now();
        const field = document.getElementById("filter");
        field.value = "r16";
        field.dispatchEvent(new Event("input"));
        document.body.offsetHeight;
        return [sorted - before, performance.now() - sorted];
    """
    # a busy machine makes some of them slower
    sorting, filtering = zip(*(browser.execute_script(script) for _ in range(5)), strict=True)
    assert min(sorting) < 1500
    assert min(filtering) < 1500


def test_a_picture_can_be_taken(browser: Chrome, whole: Path, tmp_path: Path) -> None:
    show(browser, whole, PHONE)
    picture(browser, tmp_path / "phone.png", height=800)
    assert (tmp_path / "phone.png").read_bytes().startswith(b"\x89PNG")
