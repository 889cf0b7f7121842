"""Pictures of MLflow's pages for docs/pictures, from a server that is running.

    python -m tests.browser.mlflow_screenshots http://127.0.0.1:5000 STUDY docs/pictures

writes `mlflow-experiment.png`, `mlflow-ladder.png`, `mlflow-charts.png`, `mlflow-run.png`, `mlflow-table.png` and `mlflow-champion.png`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from selenium.webdriver import Chrome

from sweep.tracking import views
from tests.browser.chrome import chromium, picture

SIZE = (1500, 900)
SETTLE_SECONDS = 12.0
"""MLflow's pages say nowhere that they are complete."""


def opened(browser: Chrome, url: str, seconds: float = SETTLE_SECONDS) -> None:
    """Opens a page in a window of `SIZE`; a change of the hash alone loads nothing, so an empty page comes between."""
    width, height = SIZE
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get("about:blank")
    browser.get(url)
    time.sleep(seconds)
    # MLflow's assistant, a third of the window
    browser.execute_script("for (const it of document.querySelectorAll('button[aria-label=Close]')) it.click()")
    time.sleep(min(1, seconds))


def asked(url: str, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
    """An answer of the server's REST API."""
    body = json.dumps(query).encode() if query is not None else None
    request = Request(f"{url}/api/2.0/mlflow/{path}", body, {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("study")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    url, folder = given.url.rstrip("/"), given.folder
    experiment = asked(url, f"experiments/get-by-name?experiment_name={given.study}")["experiment"]["experiment_id"]
    sweeps = {"experiment_ids": [experiment], "filter": "metrics.`ladder/certify_loss` > 0"}
    run = asked(url, "runs/search", sweeps)["runs"][0]["info"]["run_id"]
    model = f"{given.study}-goldilocks"
    version = asked(url, f"registered-models/alias?name={model}&alias=champion")["model_version"]["version"]
    pages = {
        "experiment": f"#/experiments/{experiment}/runs?{views.PAGES}",
        "ladder": views.page(experiment, views.LADDER),
        "charts": views.page(experiment, views.CHARTS),
        "run": f"#/experiments/{experiment}/runs/{run}?{views.PAGES}",
        "table": f"#/experiments/{experiment}/runs/{run}/artifacts/changed_answers.json?{views.PAGES}",
        "champion": f"#/models/{model}/versions/{version}?{views.PAGES}",
    }
    with chromium() as browser:
        for name, page in pages.items():
            opened(browser, f"{url}/{page}")
            picture(browser, folder / f"mlflow-{name}.png", height=SIZE[1])
            print(folder / f"mlflow-{name}.png")


if __name__ == "__main__":
    main()
