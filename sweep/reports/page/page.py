"""The page of one study: the answer first, then the evidence, then every trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sweep.config.task_limits import limits_of
from sweep.config.units import show_bytes, show_seconds
from sweep.records import EvaluatedTrial, StudyRecord, TrialRecord, rung_words
from sweep.reports.by_method import has_methods
from sweep.reports.kinds_table import kinds_of
from sweep.reports.ladder_kind import ENERGY, is_cut, kept_words, ladder_kind
from sweep.reports.page import trials as table
from sweep.reports.page.answer import Answer
from sweep.reports.page.assemble import assemble
from sweep.reports.page.curves import curves
from sweep.reports.page.examples import MOST_CHARACTERS, Contrast
from sweep.reports.page.finals import TestScore, finals_chart, test_scores
from sweep.reports.page.ladder import ladder_chart, scale_of
from sweep.reports.page.methods import method_parts
from sweep.reports.page.methods_charts import methods_charts
from sweep.reports.page.module_ranks import module_ranks_chart
from sweep.reports.page.samples import Sample
from sweep.reports.page.search_charts import COSTS, MOST_POINTS, importances_chart, pareto_charts, rates_chart
from sweep.reports.page.trials import MOST_KINDS, failures, provenance, wall_clock
from sweep.reports.tables import recipe_words
from sweep.verdict.conclusion import Conclusion, rank_results
from sweep.verdict.cost import gap_to_full
from sweep.verdict.figures import capitalized
from sweep.verdict.ladder import RankResult
from sweep.verdict.record import MarginOf

SHOWN = {"bytes": show_bytes, "seconds": show_seconds}


@dataclass(frozen=True, slots=True)
class Beside:
    """What a page shows beside the records.

    Attributes:
        created: when the page was made, for people.
        contrasts: examples on which a smaller rank fails.
        samples: answers of the base model and of the adapter on test.
        open_runs: the command that opens MLflow's pages, None if there is none.
    """

    created: str
    contrasts: Sequence[Contrast] = ()
    samples: Sequence[Sample] = ()
    open_runs: str | None = None


def render(record: StudyRecord, conclusion: Conclusion | None, answer: Answer, beside: Beside) -> str:
    """The page as HTML, complete in itself; the same for the same arguments."""
    trials = record.all_trials()
    rows = rank_results(record, conclusion)
    scores = test_scores(record, conclusion)
    rank = conclusion.rank if conclusion else None
    declared = record.certification.declared if record.certification else record.declaration
    ladder = ladder_chart(rows, conclusion, scale_of(record, conclusion))
    drawn_curves = curves(record)
    of_arms = record.certification is not None and bool(record.certification.declared.arms)
    pareto = methods_charts(record, rows) if of_arms else pareto_charts(record)
    parts = method_parts(record)
    charts = [
        chart
        for chart in (
            ladder,
            finals_chart(scores, record.metric),
            *pareto,
            *(drawn for part in parts for drawn in part.charts),
            rates_chart(record) if not parts else None,
            importances_chart(record.importances),
            module_ranks_chart(record),
            drawn_curves.chart,
        )
        if chart is not None
    ]
    failed = failures(trials)
    kind = ladder_kind(record, conclusion)
    shown = table.rows(record, trials[: table.MOST_ROWS])
    return assemble(
        "page.html.j2",
        charts,
        record=record,
        limits=limits_of(record),
        conclusion=conclusion,
        answer=answer,
        beside=beside,
        rank=rank,
        rung=rung_words,
        cost=record.certification.declared.cost if of_arms and record.certification else None,
        gap_to_full=lambda row: gap_to_full(row, rows),
        named=lambda rank: capitalized(rung_words(rank)),
        facts=_facts(record, conclusion, rows, scores, trials),
        ladder=rows,
        kind=kind,
        kept=kept_words,
        energy=ENERGY,
        base=_base(record, certified=conclusion is not None),
        certifying=conclusion is not None,
        limit=declared.max_forgetting if conclusion is not None else None,
        asked=any(row.general_accuracy is not None for row in rows),
        scores=scores,
        kinds=kinds_of(record, conclusion),
        costs=[cost for cost in COSTS if pareto],
        complete=len(record.complete()),
        most_points=MOST_POINTS,
        parts=parts,
        curves=drawn_curves,
        contrasts=[list(group) for _, group in groupby(beside.contrasts, key=_pair)],
        most_characters=MOST_CHARACTERS,
        served=record.run_page is not None and not record.run_page.startswith("#"),
        ui=table.UI,
        columns=table.columns(
            record.metric,
            with_cuts=any(map(is_cut, trials[: table.MOST_ROWS])),
            with_methods=has_methods(record),
            with_answers=any(map(table.is_asked, trials[: table.MOST_ROWS])),
        ),
        trials=shown,
        trial_count=len(trials),
        stages=list(dict.fromkeys(row.stage for row in shown)),
        statuses=sorted({row.status for row in shown}),
        failures=failed[:MOST_KINDS],
        failed=sum(failure.count for failure in failed),
        more_failures=max(len(failed) - MOST_KINDS, 0),
        provenance=provenance(record, trials, beside.created),
        show=SHOWN,
    )


def _pair(contrast: Contrast) -> tuple[int, int]:
    return contrast.smaller_rank, contrast.larger_rank


def _facts(
    record: StudyRecord,
    conclusion: Conclusion | None,
    ladder: Sequence[RankResult],
    scores: Sequence[TestScore],
    trials: Sequence[TrialRecord],
) -> list[tuple[str, str, str]]:
    """The few figures beside the answer: name, value, and a value to compare it with."""
    facts: list[tuple[str, str, str]] = []
    rank = conclusion.rank if conclusion is not None else None
    chosen = next((row for row in ladder if row.rank == rank), None)
    largest = ladder[-1] if ladder else None
    if chosen is not None and largest is not None:
        beside = (
            f"{rung_words(largest.rank)}: {show_bytes(largest.adapter_bytes)}" if largest.rank != chosen.rank else ""
        )
        facts.append(("adapter", show_bytes(chosen.adapter_bytes), beside))
    if chosen is not None and conclusion is not None and conclusion.hands_out != chosen.rank:
        facts.append(("handed out", rung_words(conclusion.hands_out), f"better than {rung_words(chosen.rank)}"))
    if chosen is not None and is_cut(chosen.trials[0]):
        facts.append(("energy kept", kept_words(chosen), f"of the update at rank {chosen.trials[0].arm.cut_from}"))
    value = next((score.trial.metric(record.metric) for score in scores if score.chosen), None)
    if value is not None and chosen is not None:
        base = next((score.trial.metric(record.metric) for score in scores if score.trial.arm is None), None)
        facts.append(
            (f"{record.metric} on test", f"{value:.3f}", f"base model: {base:.3f}" if base is not None else "")
        )
    if chosen is not None:
        facts.append(("learning rate", f"{chosen.learning_rate:.2g}", f"{_recipe(record)}"))
    facts.append(_margin(record))
    declared = record.certification.declared if record.certification else record.declaration
    if chosen is not None and declared.max_forgetting is not None and chosen.forgetting is not None:
        facts.append(("forgetting", f"{chosen.forgetting:+.3f}", f"limit: {declared.max_forgetting:g} nats per token"))
    complete = sum(trial.is_complete for trial in trials)
    cut = sum(map(is_cut, trials))
    facts.append(("complete trials", f"{complete}", f"of {len(trials)}" + (f", {cut} without training" if cut else "")))
    if trials:
        summed = sum(trial.seconds for trial in trials)
        facts.append(("wall-clock time", show_seconds(wall_clock(trials)), f"trials summed: {show_seconds(summed)}"))
    return facts


def _base(record: StudyRecord, *, certified: bool) -> EvaluatedTrial | None:
    """The unadapted base on the split that the ladder was evaluated on."""
    if certified and record.certification is not None:
        return record.certification.base
    return record.base


def _margin(record: StudyRecord) -> tuple[str, str, str]:
    declared = record.certification.declared if record.certification else record.declaration
    error = f"error rate {100 * declared.alpha:g} %"
    if declared.margin_of == MarginOf.METRIC:
        return "margin", f"{100 * declared.margin:g} points", f"of {record.metric}, {error}"
    return "margin", f"{100 * declared.margin:g} %", f"of the {declared.margin_of}, {error}"


def _recipe(record: StudyRecord) -> str:
    if record.certification is None or record.certification.declared.arms:
        return ""
    return recipe_words(record.certification.recipe, record.target_sets)
