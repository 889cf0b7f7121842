"""Saved views of MLflow's page of an experiment: which runs, sorted how, with which columns and charts.

MLflow keeps a view as a tag of the experiment and lists it under "Views"; `runs?viewStateShareKey=ID` opens it. Without a view its table
shows one row per sweep and no metric.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.records import Stage
from sweep.tracking import names

TAG = "mlflow.sharedViewState."
LADDER, CHARTS, TRIALS, CURVES = "goldilocks-ladder", "goldilocks-charts", "goldilocks-trials", "goldilocks-curves"
PAGES = "workflowType=machine_learning"
"""MLflow's pages for training, rather than for applications of language models."""
MODES: Mapping[str, str] = {CHARTS: "CHART", CURVES: "CHART"}
"""Views that open as charts; the others open as a table."""

_FIRST, _LAST = ("0", "attributes.`Run Name`"), ("runDateAndNestInfo", "duration")
"""What MLflow's table always shows: the boxes to tick and the name, which stay in front, and the time of a run."""

_LONGEST = 5000
"""Characters of an experiment's tag."""


@dataclass(frozen=True, slots=True)
class View:
    """One saved view.

    Attributes:
        id: in the address.
        name: in the list of views.
        filter: in MLflow's search syntax.
        columns: ids of columns, from left to right.
        sort: id of the column that sorts the table, ascending.
        charts: the metrics of each line chart, by its title, drawn together against the step.
        steps: `log` for steps that are ranks.
    """

    id: str
    name: str
    filter: str
    columns: Sequence[str]
    sort: str
    charts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    steps: str = "linear"

    @property
    def state(self) -> dict[str, Any]:
        """What MLflow's page calls the state of the view."""
        charts: dict[str, Any] = {}
        if self.charts:
            charts = {
                "isAccordionReordered": True,
                "compareRunSections": [{"uuid": self.id, "name": self.name, "display": True, "isReordered": False}],
                "compareRunCharts": [self._chart(title, metrics) for title, metrics in self.charts.items()],
            }
        return {
            "searchFilter": self.filter,
            "orderByKey": self.sort,
            "orderByAsc": True,
            "selectedColumns": list(self.columns),
            "columnOrder": [*_FIRST, *self.columns, *_LAST],
            "runsHiddenMode": "SHOW_ALL",
            **charts,
        }

    def _chart(self, title: str, metrics: Sequence[str]) -> dict[str, Any]:
        shown = [names.valid_name(metric) for metric in metrics]
        return {
            "type": "LINE",
            "uuid": f"{self.id}-{title}",
            "metricSectionId": self.id,
            "displayName": title,
            "runsCountToCompare": 100,
            "deleted": False,
            "isGenerated": False,
            "metricKey": shown[0],
            "selectedMetricKeys": shown,
            "xAxisKey": "step",
            "xAxisScaleType": self.steps,
            "scaleType": "linear",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "ignoreOutliers": False,
            "useGlobalXaxisKey": False,
            "useGlobalLineSmoothing": False,
            "range": {},
        }


def views(metric: str) -> tuple[View, ...]:
    """The views of a study.

    Args:
        metric: the name of its task metric.
    """
    by_rank = _metric(names.RANK_METRIC)
    about = (_tag(names.STAGE), _tag(names.METHOD), _tag(names.SEED), _tag(names.STATUS))
    costs = (_metric("adapter/bytes"), _metric("forgetting/loss_delta"), _metric("time/total_seconds"))
    return (
        View(
            LADDER,
            "Ladder: certify trials by rank",
            f"tags.`{names.SPLIT}` = 'certify' AND tags.`{names.STAGE}` != '{Stage.PROMOTION}'",
            (by_rank, _metric("certify/loss"), _metric(f"certify/{metric}"), *about, *costs),
            by_rank,
        ),
        View(
            CHARTS,
            "Ladder as charts: loss and bound against rank",
            f"metrics.`{names.LADDER}certify_loss` > 0",
            (_tag(names.VERDICT), _metric("verdict/rank")),
            "attributes.start_time",
            {
                "Gap, bound and margin": [f"{names.LADDER}{name}" for name in ("gap", "gap_upper_bound", "margin")],
                "Loss on certify": [f"{names.LADDER}certify_loss"],
                metric: [f"{names.LADDER}{metric}"],
                "Adapter, bytes": [f"{names.LADDER}adapter_bytes"],
            },
            "log",
        ),
        View(
            TRIALS,
            "All trials by rank",
            f"tags.`{names.STAGE}` != 'none'",
            (
                by_rank,
                *about,
                *(_metric(f"{split}/loss") for split in ("tune", "certify", "test")),
                *(_metric(f"{split}/{metric}") for split in ("tune", "certify", "test")),
                _metric(names.PEAK_RATE),
                *costs,
            ),
            by_rank,
        ),
        View(
            CURVES,
            "Training loss by step",
            f"metrics.`{names.TRAIN_LOSS}` > 0",
            (by_rank, _tag(names.STAGE)),
            by_rank,
            {"Training loss": [names.TRAIN_LOSS], "Learning rate": [names.LEARNING_RATE]},
        ),
    )


def view_tags(metric: str, when: float) -> dict[str, str]:
    """The tags of an experiment that hold the views, without those that would be too long.

    Args:
        when: the time that the list of views shows, in seconds.
    """
    tags: dict[str, str] = {}
    for place, view in enumerate(views(metric)):
        created = round(when * 1000) - place  # the list begins with the latest
        envelope = {"name": view.name, "createdAt": created, "updatedAt": created, "state": json.dumps(view.state)}
        if len(text := json.dumps(envelope)) <= _LONGEST:
            tags[f"{TAG}{view.id}"] = text
    return tags


def page(experiment: str, view: str) -> str:
    """The address of a view, after that of MLflow's page."""
    mode = f"&compareRunsMode={MODES[view]}" if view in MODES else ""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={view}{mode}&{PAGES}"


def _metric(name: str) -> str:
    return f"metrics.`{names.valid_name(name)}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"
