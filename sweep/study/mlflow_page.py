"""What MLflow's pages show of a study as a whole: the experiment's description, and the ladder and the search as series."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sweep.config.task_limits import limits_of
from sweep.records import Declaration, StudyRecord
from sweep.reports.page.escape import in_markdown
from sweep.tracking import CHAMPION, VERDICT, names, views
from sweep.tracking.names import Point
from sweep.verdict import MarginOf
from sweep.verdict.conclusion import Conclusion, rank_results
from sweep.verdict.figures import confidence, percent, points
from sweep.verdict.terms import terms_of

TRIAL_LOSS, LOWEST_LOSS = "search/trial_loss", "search/lowest_loss"


def experiment_note(
    record: StudyRecord, conclusion: Conclusion | None, model: str | None, *, follows_history: bool = False
) -> str:
    """The description of the experiment: question, answer, how to read the page, where the report is.

    Args:
        model: name of the registered model; None if no adapter is registered.
        follows_history: whether another adapter than the verdict's may be in use.
    """
    declared = record.certification.declared if record.certification else record.declaration
    return "\n".join(
        [
            # the answer first: MLflow shows two lines until the description is unfolded
            f"**Answer ({conclusion.status if conclusion else 'undecided'}).** "
            f"{in_markdown(conclusion.headline) if conclusion else 'None yet: nothing is certified.'}",
            "",
            f"**Question.** {_question(record, declared)}",
            "",
            *[f"- {in_markdown(reason)}" for reason in (conclusion.reasons if conclusion else ())],
            *([""] if conclusion and conclusion.reasons else []),
            "**How to read this page.** Each call of the study is a run; its trials are below it. These views are also under *Views*:",
            "",
            f"- [the ladder, one row per trial]({_view(views.LADDER)}): sort by `rank`; compare `certify/loss` among the same seeds",
            f"- [the ladder as charts]({_view(views.CHARTS)}): the step is the rank; a rank is enough where `ladder/gap_upper_bound` "
            "is below `ladder/margin`",
            f"- [all trials by rank]({_view(views.TRIALS)}): filter by the tags `sweep.stage`, `sweep.rank`, `sweep.method` and "
            "`sweep.status`",
            f"- [training loss by step]({_view(views.CURVES)})",
            "",
            "Losses are nats per completion token. Compare within a split: the search looks at tune, the verdict at certify, test is "
            "evaluated once at the end.",
            "",
            f"**Report.** [Files of the latest sweep](#/experiments/{{experiment}}/runs/{{run}}/artifacts): `index.html`, "
            "`verdict.json`, `ladder.svg`, `changed_answers.json`; the same page is "
            f"`reports/{record.name}/index.html` in the study's folder.",
            *([f"**Adapter.** [{model}](#/models/{model}), {_aliases(follows_history)}."] if model else []),
            *([f"**Limits.** {in_markdown(limits)}"] if (limits := limits_of(record)) else []),
        ]
    )


def series(record: StudyRecord, conclusion: Conclusion | None) -> tuple[Point, ...]:
    """The ladder with the rank as step (of a ladder of arms its place), and the search with the number of the trial as step."""
    return (*_ladder(record, conclusion), *_search(record))


def last_moment(record: StudyRecord) -> float:
    """When the latest trial ended, in seconds; 0 without one. The values of a record are of that moment, whenever they are recorded."""
    return max((trial.result.started + trial.seconds for trial in record.all_trials()), default=0.0)


def _ladder(record: StudyRecord, conclusion: Conclusion | None) -> Iterator[Point]:
    if conclusion is None:
        return
    by_metric = conclusion.margin_in_loss is None
    margin = conclusion.margin_in_metric if by_metric else conclusion.margin_in_loss
    for row in rank_results(record, conclusion):
        values = {
            "certify_loss": row.loss,
            "gap": row.diff_to_best,
            "gap_upper_bound": row.upper_bound,
            "margin": margin,
            "adapter_bytes": float(row.adapter_bytes),
            "energy_kept": row.energy_kept,
            "forgetting": row.forgetting,
            record.metric: row.metrics.get(record.metric),
        }
        for name, value in values.items():
            if value is not None:
                yield Point(f"{names.LADDER}{name}", float(value), int(row.rank))


def _search(record: StudyRecord) -> Iterator[Point]:
    lowest = math.inf
    for trial in record.complete():
        lowest = min(lowest, trial.loss)
        yield Point(TRIAL_LOSS, trial.loss, trial.number + 1)
        yield Point(LOWEST_LOSS, lowest, trial.number + 1)


def _aliases(follows_history: bool) -> str:
    if follows_history:
        return f"alias `{CHAMPION}`: the one in use; alias `{VERDICT}`: the one of this answer"
    return f"alias `{CHAMPION}`"


def _question(record: StudyRecord, declared: Declaration) -> str:
    terms = terms_of(declared.ladder)
    ladder = ", ".join(map(str, declared.ladder))
    margins = {
        MarginOf.GAIN: f"{percent(declared.margin)} of what the best one gains from fine-tuning",
        MarginOf.LOSS: f"{percent(declared.margin)} of the loss of the best one",
        MarginOf.METRIC: f"{points(declared.margin)} of {record.metric}",
    }
    return (
        f"Which is the {terms.least} {terms.one} of {ladder} that is enough for `{record.task}` on `{record.model}`? Enough: shown, with "
        f"{confidence(declared.alpha)} confidence, to give up less than {margins[MarginOf(declared.margin_of)]}."
    )


def _view(view: str) -> str:
    return views.page("{experiment}", view)
