"""How many certify examples a study evaluates where it is left to choose: before any loss on certify is seen, and after a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sweep.methods import method_of, virtual_tokens
from sweep.records import LoadReport, MeanTokens, Split, StudyPlan, StudyRecord
from sweep.records.evaluation import FEWEST_CHOSEN
from sweep.records.study import USUAL_EXAMPLE_WORK
from sweep.verdict import Verdict

SHARE = 0.25
"""Evaluating a training's adapters on certify may take this share of the training's work."""

FORWARD, TRAINED, TRAINED_FULL = 2, 4, 6
"""Operations per token and weight of the base: a forward pass; with the gradients of its inputs; with those of the weights, too (Kaplan et
al. 2020, section 2.1)."""

ANSWERED = 2
"""The work of a token of an answer, in units of one that is scored: passes of a few tokens reach about half of the speed
(`sweep.commands.planning.speeds.SHARES`)."""


def with_certify_examples(plan: StudyPlan, record: StudyRecord, loaded: LoadReport) -> StudyPlan:
    """The plan with the number of certify examples that follows from the data, unless it was given or chosen before."""
    plan = with_examples_kept(plan, record)
    if plan.setup.scoring.certify_examples is not None:
        return plan
    available = loaded.examples.get(Split.CERTIFY.value, FEWEST_CHOSEN)
    return with_examples(plan, first_examples(plan, loaded.tokens, available))


def first_examples(plan: StudyPlan, tokens: Mapping[str, MeanTokens], available: int) -> int:
    """The number of certify examples to begin with, from counted tokens: how fast a machine is must not change a verdict.

    A training of a cut ladder is evaluated at every smaller rank, too, which is what counts; one of a trained ladder once.

    Args:
        tokens: see `LoadReport.tokens`.
        available: number of examples in the data.
    """
    work = example_work(plan, tokens)
    adapters = len(plan.declaration.ladder) - 1 if plan.declaration.cut_from is not None else 1
    affordable = int(SHARE / (adapters * work)) if adapters * work > 0 else FEWEST_CHOSEN
    return min(max(affordable, FEWEST_CHOSEN), available)


def example_work(plan: StudyPlan, tokens: Mapping[str, MeanTokens]) -> float:
    """The work of evaluating a certify example with one adapter, in units of the work of a training.

    Args:
        tokens: see `LoadReport.tokens`.
    """
    if "train" not in tokens or "certify" not in tokens:
        return USUAL_EXAMPLE_WORK
    training, certify, virtual = plan.training, tokens["certify"], virtual_tokens(plan.arm)
    own, replayed = (tokens.get(part, tokens["train"]).all for part in ("train", "replay"))
    row = (1 - training.replay) * own + training.replay * replayed + virtual
    each = TRAINED_FULL if method_of(plan.arm).trains_base else TRAINED
    trained = each * training.steps * training.batch_size * training.gradient_accumulation * row
    answered = ANSWERED * certify.predicted if plan.setup.scoring.answers != "none" else 0.0
    return FORWARD * (certify.all + virtual + answered) / trained if trained > 0 else USUAL_EXAMPLE_WORK


def more_examples(plan: StudyPlan, record: StudyRecord, verdict: Verdict) -> int | None:
    """The number of certify examples with which a look is to be repeated; None if more seeds decide sooner, or nothing does.

    Evaluating more examples with the adapters that are there and training more seeds are compared by `Verdict.needed`, the cheapest
    way to close the bracket; beyond `certify.seeds`, more examples alone are left.
    """
    if not plan.adds_examples:
        return None
    needed, examples = verdict.needed, verdict.examples
    if needed is not None and needed.seeds <= plan.declaration.seeds:
        return needed.examples if needed.examples > examples else None
    alone, available = verdict.examples_needed, record.available.get(Split.CERTIFY.value)
    if alone is None or available is None or not examples < alone <= available:
        return None
    return alone


def with_examples_kept(plan: StudyPlan, record: StudyRecord) -> StudyPlan:
    """The plan with at least as many certify examples as earlier looks used: a look cannot be undone.

    Where the study chooses their number, with the one that it has chosen, if it has.
    """
    certification, asked = record.certification, plan.setup.scoring.certify_examples
    if certification is None:
        return plan
    known = (certification.examples or len(certification.tokens)) if certification.looks else 0
    if asked is None:
        known = max(known, certification.planned_examples)
    return with_examples(plan, known) if known > (asked or 0) else plan


def with_examples(plan: StudyPlan, examples: int) -> StudyPlan:
    """The plan with this number of certify examples."""
    scoring = replace(plan.setup.scoring, certify_examples=examples)
    return replace(plan, setup=replace(plan.setup, scoring=scoring))
