"""Saved views: in the format that MLflow's page reads, within its limits, on names that trials have."""

from __future__ import annotations

import json

import pytest

from sweep.records import TrialResult
from sweep.tracking import names, views
from sweep.tracking.views import View


@pytest.mark.parametrize("view", views.views("set_f1"), ids=lambda view: view.id)
def test_a_view_is_an_envelope_with_its_state(view: View) -> None:
    tags = views.view_tags("set_f1", 1_700_000_000.0)
    text = tags[f"mlflow.sharedViewState.{view.id}"]
    assert len(text) <= 5000
    envelope = json.loads(text)
    assert isinstance(envelope["createdAt"], int)
    assert envelope["name"] == view.name
    state = json.loads(envelope["state"])
    assert state["searchFilter"] == view.filter
    assert state["orderByAsc"] is True
    assert set(state["selectedColumns"]) == set(view.columns)


def test_the_ladder_sorts_by_the_rank_as_a_number(complete: TrialResult) -> None:
    ladder = next(view for view in views.views("macro_f1") if view.id == views.LADDER)
    assert ladder.sort == "metrics.`rank`"
    assert names.started_with(complete.spec) == {"rank": 16.0, "train/peak_learning_rate": 1e-3}
    known = {f"metrics.`{name}`" for name in (*names.metrics_of(complete), *names.started_with(complete.spec))}
    known |= {f"metrics.`certify/{name}`" for name in ("loss", "macro_f1")}
    known |= {f"tags.`{tag}`" for tag in names.trial_tags("parent", complete.spec)}
    assert set(ladder.columns) <= known


def test_promotion_tests_are_not_on_the_ladder() -> None:
    ladder = next(view for view in views.views("macro_f1") if view.id == views.LADDER)
    assert ladder.filter == "tags.`sweep.split` = 'certify' AND tags.`sweep.stage` != 'promotion'"


def test_views_fit_into_a_tag_whatever_the_metric_is_called() -> None:
    tags = views.view_tags("m" * 240, 0.0)
    assert len(tags) == len(views.views("f1"))
    assert max(map(len, tags.values())) <= 5000


def test_views_of_charts_open_as_charts() -> None:
    assert (
        views.page("7", views.CHARTS)
        == "#/experiments/7/runs?viewStateShareKey=goldilocks-charts&compareRunsMode=CHART&workflowType=machine_learning"
    )
    assert "compareRunsMode" not in views.page("7", views.LADDER)


def test_tables_are_named_for_the_page(complete: TrialResult, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert names.table_tags([folder / "index.html"]) == {}
    tag = names.table_tags([folder / "index.html", folder / "changed_answers.json"])["mlflow.loggedArtifacts"]
    assert json.loads(tag) == [{"path": "changed_answers.json", "type": "table"}]
