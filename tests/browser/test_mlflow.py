"""MLflow's own pages in a real browser, from a real server: a study can be read on arrival."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from sweep.commands.mlflow_server import MlflowServer, free_port, links
from sweep.tracking import views
from sweep.tracking.address import address_of
from sweep.verdict.conclude import conclude
from tests.browser.chrome import chromium
from tests.browser.made_store import STUDY, record, record_study
from tests.browser.mlflow_screenshots import asked, opened

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]

PATIENCE = 60


@dataclass(frozen=True)
class Served:
    """The server with the study, and the id of its experiment."""

    url: str
    experiment: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    uri = f"sqlite:///{folder}/mlflow.db"
    experiment = record_study(uri, folder)
    with MlflowServer(address_of(uri), "127.0.0.1", free_port("127.0.0.1", 5600, None)) as server:
        yield Served(server.url, experiment)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as found:
        yield found


def shows(browser: Chrome, *texts: str) -> str:
    """Waits until the page shows all the texts; returns all that it shows."""

    def shown() -> str:
        return str(browser.execute_script("return document.body.innerText"))

    def missing() -> list[str]:
        return [text for text in texts if text not in shown()]

    try:
        WebDriverWait(browser, PATIENCE).until(lambda _: not missing())
    except Exception as error:
        raise AssertionError(f"not on the page: {missing()}\n{shown()[:3000]}") from error
    return shown()


ROWS = """
    const rows = {};
    for (const row of document.querySelectorAll(".ag-row[row-index]")) {
        const cells = rows[Number(row.getAttribute("row-index"))] ??= {};
        for (const cell of row.querySelectorAll("[col-id]")) cells[cell.getAttribute("col-id")] = cell.innerText.trim();
    }
    return JSON.stringify(Object.keys(rows).map(Number).sort((a, b) => a - b).map((index) => rows[index]));
"""


def rows(browser: Chrome) -> list[dict[str, str]]:
    """The cells of the table of runs by column, from top to bottom."""
    found: list[dict[str, str]] = json.loads(browser.execute_script(ROWS))
    return found


def test_the_links_are_those_of_the_study(served: Served) -> None:
    text = "\n".join(links(served.url, served.url, STUDY))
    assert f"{served.url}/{views.page(served.experiment, views.LADDER)}" in text
    assert f"{served.url}/#/models/{STUDY}-goldilocks/versions/1" in text


def test_the_experiment_opens_with_question_and_answer(served: Served, browser: Chrome) -> None:
    conclusion = conclude(record())
    assert conclusion is not None
    opened(browser, f"{served.url}/#/experiments/{served.experiment}/runs", 0)
    text = shows(browser, "Question.", "How to read this page.")
    assert conclusion.headline.split(".")[0] in text.replace("\n", " ")


def test_the_ladder_is_a_table_sorted_by_rank(served: Served, browser: Chrome) -> None:
    opened(browser, f"{served.url}/{views.page(served.experiment, views.LADDER)}", 0)
    shows(browser, "rank", "certify/loss", "sweep.method", "r4of32-lr2e-03-s0")

    def ranks_shown() -> list[float]:
        """Once every row that is there has its rank: the page fills its table bit by bit."""
        table = rows(browser)
        found = [float(cell) for row in table for column, cell in row.items() if column.endswith("`rank`") and cell]
        return found if len(found) == len(table) > 12 else []

    ranks = WebDriverWait(browser, PATIENCE).until(lambda _: ranks_shown())
    assert ranks == sorted(ranks)
    assert ranks[0] == 0


def test_the_ladder_is_drawn_against_the_rank(served: Served, browser: Chrome) -> None:
    opened(browser, f"{served.url}/{views.page(served.experiment, views.CHARTS)}", 0)
    shows(browser, "ladder/gap_upper_bound", "ladder/certify_loss")
    WebDriverWait(browser, PATIENCE).until(
        lambda it: (
            it.execute_script("return document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length") >= 3
        )
    )


def test_changed_answers_are_a_table_and_the_report_a_page(served: Served, browser: Chrome) -> None:
    (run,) = sweeps(served)
    opened(browser, f"{served.url}/#/experiments/{served.experiment}/runs/{run}/artifacts/changed_answers.json", 0)
    shows(browser, "index.html", "adapter answer", "the red box")


def sweeps(served: Served) -> list[str]:
    """The ids of the runs that have a ladder."""
    query = {"experiment_ids": [served.experiment], "filter": "metrics.`ladder/certify_loss` > 0"}
    return [run["info"]["run_id"] for run in asked(served.url, "runs/search", query)["runs"]]


def test_the_champion_is_a_version_with_its_verdict(served: Served, browser: Chrome) -> None:
    opened(browser, f"{served.url}/#/models/{STUDY}-goldilocks/versions/1", 0)
    shows(browser, "champion", "Rank 8 is enough.", "sweep.verdict", "Inputs (1)")
