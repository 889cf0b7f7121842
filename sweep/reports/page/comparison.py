"""Two studies side by side: both answers, both ladders in one chart, the figures, the test scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.config.task_limits import limits_of
from sweep.config.units import show_bytes, show_seconds
from sweep.records import StudyRecord, rung_words
from sweep.reports.page.answer import Answer, answer_of
from sweep.reports.page.assemble import assemble
from sweep.reports.page.chart import Chart, axis, chart, short
from sweep.reports.page.escape import in_figure
from sweep.reports.page.finals import TestScore, test_scores
from sweep.reports.page.ladder import MEANS, SYMBOLS, Scale, reach, scale_of
from sweep.reports.page.trials import wall_clock
from sweep.reports.tables import recipe_words
from sweep.verdict.conclusion import Conclusion, rank_results
from sweep.verdict.figures import capitalized
from sweep.verdict.ladder import RankResult

COLOURS = ("var(--accent)", "var(--ramp-5)")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two studies, with its answer and figures."""

    record: StudyRecord
    conclusion: Conclusion | None
    answer: Answer
    rows: Sequence[RankResult]
    scale: Scale
    scores: Sequence[TestScore]

    @property
    def chosen(self) -> RankResult | None:
        rank = self.conclusion.rank if self.conclusion else None
        return next((row for row in self.rows if row.rank == rank), None)


def render_comparison(
    first: tuple[StudyRecord, Conclusion | None], second: tuple[StudyRecord, Conclusion | None], created: str
) -> str:
    """The page as HTML, complete in itself."""
    sides = [_side(*first), _side(*second)]
    drawn = _ladders(sides)
    return assemble(
        "comparison.html.j2",
        [drawn] if drawn else [],
        sides=sides,
        figures_of=[(name, [of(side) for side in sides]) for name, of in _FIGURES],
        warnings=_warnings(sides),
        created=created,
        limits_of=limits_of,
        show_bytes=show_bytes,
        named=lambda rank: capitalized(rung_words(rank)),
    )


def _side(record: StudyRecord, conclusion: Conclusion | None) -> Side:
    return Side(
        record,
        conclusion,
        answer_of(record, conclusion),
        rank_results(record, conclusion),
        scale_of(record, conclusion),
        test_scores(record, conclusion),
    )


def _warnings(sides: Sequence[Side]) -> list[str]:
    """What cannot be compared."""
    first, second = (side.record for side in sides)
    return [
        *(["The data differ, so losses and scores do not compare."] if first.data_hash != second.data_hash else []),
        *([f"The task metrics differ: {first.metric} and {second.metric}."] if first.metric != second.metric else []),
        *(
            [
                "The base models differ: a token of one is not a token of the other, so compare the task metric, not the loss."
            ]
            if first.model != second.model
            else []
        ),
        *(
            [
                "The ladders answer different questions: in one, smaller ranks are cut from trained adapters; in the other, each rank "
                "is trained."
            ]
            if len({side.scale.kind.is_cut for side in sides if side.conclusion is not None}) > 1
            else []
        ),
    ]


def _ladders(sides: Sequence[Side]) -> Chart | None:
    """Both ladders; in margins if both have one, so that studies with different margins share a scale."""
    from plotly import graph_objects

    in_margins = all(side.scale.margin for side in sides)
    ranks = sorted({row.rank for side in sides for row in side.rows})
    traces = []
    for number, (side, colour) in enumerate(zip(sides, COLOURS, strict=True)):
        unit = side.scale.margin if in_margins and side.scale.margin else 1.0
        if side.rows and side.scale.kind.has_gaps:
            places = [ranks.index(row.rank) + 0.09 * (2 * number - 1) for row in side.rows]
            traces.append(graph_objects.Scatter(**_points(side, places, unit, colour)))
            traces.append(graph_objects.Scatter(**_named(side, colour)))
    if not traces:
        return None
    band: dict[str, Any] = {}
    if in_margins:
        shared = {"xref": "paper", "x0": 0, "x1": 1, "layer": "below"}
        band["shapes"] = [
            {**shared, "type": "rect", "y0": 0, "y1": 1, "fillcolor": "var(--band)", "line": {"width": 0}},
            {
                **shared,
                "type": "line",
                "y0": 1,
                "y1": 1,
                "line": {"color": "var(--good)", "width": 1.5, "dash": "dash"},
            },
        ]
    return chart(
        "ladders",
        f"The ladders of {sides[0].record.name} and {sides[1].record.name} in one chart.",
        traces,
        xaxis=axis(
            "LoRA rank",
            tickvals=list(range(len(ranks))),
            ticktext=[str(rank) for rank in ranks],
            range=[-0.5, len(ranks) - 0.5],
            showgrid=False,
        ),
        yaxis=axis(f"{_gap(sides)}, {'in margins' if in_margins else 'nats per token'}"),
        **band,
    )


def _gap(sides: Sequence[Side]) -> str:
    """What the gaps are measured from; each study has its own."""
    cut, *_ = kinds = {side.scale.kind.is_cut for side in sides if side.rows} or {False}
    if len(kinds) > 1:
        return "gap to the best or the uncut rank"
    return "gap to the uncut rank" if cut else "gap to the best rank"


def _points(side: Side, places: Sequence[float], unit: float, colour: str) -> dict[str, Any]:
    rows = side.rows
    bounds = [side.scale.kind.bounds(row) for row in rows]
    return {
        "x": list(places),
        "y": [short(row.diff_to_best / unit) for row in rows],
        "mode": "markers",
        "showlegend": False,
        "marker": {
            "symbol": [SYMBOLS[row.state] for row in rows],
            "size": [17 if row is side.chosen else 12 for row in rows],
            "opacity": 1,
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        "text": [
            f"<b>{in_figure(side.record.name)}, {in_figure(rung_words(row.rank))}</b><br>{MEANS[row.state]}<br>{row.diff_to_best:+.4f} "
            f"{in_figure(side.scale.unit)}"
            for row in rows
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [
                short(reach(row.diff_to_best, upper) / unit) for row, (_, upper) in zip(rows, bounds, strict=True)
            ],
            "arrayminus": [
                short(reach(lower, row.diff_to_best) / unit) for row, (lower, _) in zip(rows, bounds, strict=True)
            ],
            "color": colour,
            "thickness": 2,
            "width": 6,
        },
    }


def _named(side: Side, colour: str) -> dict[str, Any]:
    """The entry of the legend: a study has one colour and several symbols."""
    marker = {"symbol": "square", "size": 12, "color": colour}
    return {"x": [None], "y": [None], "mode": "markers", "name": in_figure(side.record.name), "marker": marker}


def _bracket(side: Side) -> str:
    bracket = side.conclusion.bracket if side.conclusion else ()
    return " to ".join(dict.fromkeys(str(rank) for rank in bracket)) or "–"


def _of_chosen(show: Callable[[RankResult], str]) -> Callable[[Side], str]:
    return lambda side: show(side.chosen) if side.chosen else "–"


def _metric(side: Side) -> str:
    value = side.chosen.metrics.get(side.record.metric) if side.chosen else None
    return "–" if value is None else f"{value:.3f}"


def _base_loss(side: Side) -> str:
    base = side.record.base
    return f"{base.loss:.4f}" if base else "–"


def _recipe(side: Side) -> str:
    if side.record.certification is None or side.record.certification.declared.arms:
        return "–"
    recipe = side.record.certification.recipe
    return f"{recipe_words(recipe, side.record.target_sets)}, dropout {recipe.dropout:g}"


def _ladder(side: Side) -> str:
    if side.conclusion is None:
        return "–"
    training = side.scale.kind.training
    return f"cut from rank {training.rank}" if training else f"each {side.scale.kind.terms.one} trained"


def _memory(side: Side) -> str:
    if (training := side.scale.kind.training) is not None:
        return f"{show_bytes(training.peak_bytes)}, to train rank {training.rank}"
    return _of_chosen(lambda row: show_bytes(row.peak_memory_bytes))(side)


def _training(side: Side) -> str:
    if (training := side.scale.kind.training) is not None:
        return f"{show_seconds(training.seconds)}, at rank {training.rank}"
    return _of_chosen(lambda row: show_seconds(row.train_seconds))(side)


def _declared(side: Side) -> str:
    declared = side.record.certification.declared if side.record.certification else side.record.declaration
    limit = "" if declared.max_forgetting is None else f", forgetting below {declared.max_forgetting:g}"
    return f"{declared.margin:g} of {declared.margin_of}, alpha {declared.alpha:g}{limit}"


def _trials(side: Side) -> str:
    trials = side.record.all_trials()
    summed = show_seconds(sum(trial.seconds for trial in trials))
    return f"{len(trials)}; wall-clock {show_seconds(wall_clock(trials))}, summed over trials {summed}"


def _device(side: Side) -> str:
    sources = [trial.provenance for trial in side.record.all_trials() if trial.provenance]
    return (
        "; ".join(dict.fromkeys(", ".join(filter(None, (source.device, source.compute))) for source in sources)) or "–"
    )


_FIGURES: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("status", lambda side: side.answer.status),
    ("rank", _of_chosen(lambda row: str(row.rank))),
    ("bracket", _bracket),
    ("ladder", _ladder),
    ("adapter", _of_chosen(lambda row: show_bytes(row.adapter_bytes))),
    ("loss on certify", _of_chosen(lambda row: f"{row.loss:.4f}")),
    (
        "bits per byte on certify",
        _of_chosen(lambda row: "–" if row.bits_per_byte is None else f"{row.bits_per_byte:.4f}"),
    ),
    ("task metric on certify", _metric),
    ("forgetting", _of_chosen(lambda row: "–" if row.forgetting is None else f"{row.forgetting:+.4f}")),
    (
        "general answers",
        _of_chosen(lambda row: "–" if row.general_accuracy is None else f"{row.general_accuracy:.3f}"),
    ),
    ("learning rate", _of_chosen(lambda row: f"{row.learning_rate:.2g}")),
    ("peak memory", _memory),
    ("training", _training),
    ("base model's loss on tune", _base_loss),
    ("recipe", _recipe),
    ("margin", _declared),
    ("model", lambda side: side.record.model),
    ("task", lambda side: f"{side.record.task}, {side.record.metric}"),
    ("data sha256", lambda side: side.record.data_hash[:16]),
    ("trials", _trials),
    ("device", _device),
)
