"""The contents of verdict.json, schema 1: a study's answer for programs. `verdict.schema.json` beside this file is its schema."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from sweep.methods import LORA_VARIANTS, is_rank_stabilized
from sweep.methods.module_ranks import has_patterns, written_alphas
from sweep.records import Certification, CompletedTrial, Declaration, EvaluatedTrial, Status, StudyRecord
from sweep.records.arm import DEFAULT_INIT
from sweep.verdict import words
from sweep.verdict.conclusion import Conclusion, Finding, chosen, kinds_on_test, on_test, rank_results
from sweep.verdict.cost import gap_to_full, measured
from sweep.verdict.general_answers import AnswersChange, change_on_test, mean_change
from sweep.verdict.ladder import RankResult, ladder_data
from sweep.verdict.terms import terms_of

SCHEMA = 1
_COUNTED = (Status.COMPLETE, Status.PRUNED, Status.FAILED, Status.INFEASIBLE)


def verdict_json(record: StudyRecord, conclusion: Conclusion | None, created: str) -> dict[str, Any]:
    """verdict.json as plain JSON types, without infinities; the same record gives the same but for `created`.

    Args:
        conclusion: None for a study that was explored and not certified: every rank is undecided then.
        created: the time of writing, ISO 8601, UTC.
    """
    ladder = rank_results(record, conclusion)
    declared = record.certification.declared if record.certification else record.declaration
    handed_out = chosen(record, conclusion)
    provenance = handed_out.provenance if handed_out else None
    verdict = conclusion.verdict if conclusion else None
    tested = on_test(record, conclusion)
    contents: dict[str, Any] = {
        "schema": SCHEMA,
        "study": record.name,
        "model": record.model,
        "task": record.task,
        "created": created,
        "status": conclusion.status if conclusion else "undecided",
        "rank": conclusion.rank if conclusion else None,
        "bracket": _bracket(conclusion, ladder),
        "margin": declared.margin,
        "margin_of": declared.margin_of,
        "margin_in_loss": conclusion.margin_in_loss if conclusion else None,
        "margin_in_metric": conclusion.margin_in_metric if conclusion else None,
        "alpha": declared.alpha,
        "ladder_by": declared.ladder_by,
        "cut_from": declared.cut_from,
        "hands_out": conclusion.hands_out if conclusion else handed_out.rank if handed_out else None,
        "primary_metric": record.metric,
        "headline": conclusion.headline if conclusion else None,
        "reasons": list(conclusion.reasons) if conclusion else list(reasons_unjudged(record)),
        "findings": [_finding(finding) for finding in conclusion.findings] if conclusion else [],
        "weak_kinds": [asdict(kind) for kind in conclusion.weak_kinds] if conclusion else [],
        "kinds": [asdict(kind) for kind in conclusion.kinds[1:]] if conclusion else [],
        "kinds_on_test": [asdict(kind) for kind in kinds_on_test(record, conclusion)[1:]],
        "max_forgetting": declared.max_forgetting,
        "ladder": [_rank(each, _base_trial(record)) for each in ladder],
        "confirmation": _confirmation(conclusion),
        "left_out": [asdict(left) for left in conclusion.left_out] if conclusion else [],
        "base": _base(record),
        "test": {name: _evaluation(trial, record.certification) for name, trial in tested.items()},
        "forgetting": _forgetting(handed_out, change_on_test(tested)),
        "trials": _counts(record),
        "adapter_config": _adapter(handed_out),
        "looks": list(record.certification.looks) if record.certification else [],
        "seeds_needed": verdict.seeds_needed if verdict else None,
        "examples_needed": verdict.examples_needed if verdict else None,
        "needed": asdict(verdict.needed) if verdict and verdict.needed else None,
        "settle": {"command": conclusion.settle[0], "seconds": conclusion.settle[1]}
        if conclusion and conclusion.settle
        else None,
        "versions": dict(provenance.versions) if provenance else {},
        "device": provenance.device if provenance else None,
        "compute": (provenance.compute or None) if provenance else None,
        "data_hash": record.data_hash,
        "config_hash": record.identity,
    }
    if declared.arms:
        contents |= _of_arms(record, declared, conclusion, ladder)
    plain = _without_infinities(contents)
    assert isinstance(plain, dict)
    return plain


def _of_arms(
    record: StudyRecord, declared: Declaration, conclusion: Conclusion | None, ladder: Sequence[RankResult]
) -> dict[str, Any]:
    """What only a ladder of arms has: the cost that orders it, and beside each place the arm at it."""
    rank = conclusion.rank if conclusion else None
    before = {int(rung): arm.cost for rung, arm in zip(declared.ladder, declared.arms, strict=True)}
    return {
        "cost": declared.cost,
        "arm": None if rank is None else str(rank),
        "ladder": [
            {
                **_rank(row, _base_trial(record)),
                "arm": str(row.rank),
                "method": row.method,
                "cost": measured(row, declared.cost),
                "cost_before": before.get(row.rank),
                "gap_to_full": gap_to_full(row, ladder),
                "trainable_fraction": row.trainable_fraction,
            }
            for row in ladder
        ]
        if conclusion
        else [],
        "left_out": [{**asdict(left), "rank": int(left.rank), "arm": str(left.rank)} for left in conclusion.left_out]
        if conclusion
        else [],
    }


def verdict_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of verdict.json."""
    text = files("sweep.verdict").joinpath("verdict.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def reasons_unjudged(record: StudyRecord) -> Iterator[str]:
    """Why there is no verdict on a study without a complete trial on certify."""
    certification, terms = record.certification, terms_of(record.declaration.ladder)
    yield words.every_recipe_once(terms)
    if certification is None or not certification.rates:
        yield words.not_tuned(terms)
    yield words.not_certified(terms)
    if certification is not None:
        for left in ladder_data(certification, record.declaration, record.metric).left_out:
            yield words.left(left)
        if certification.stopped:
            yield words.stopped(certification.stopped, terms)


def _finding(finding: Finding) -> dict[str, Any]:
    """Without `next` where no experiment follows."""
    return {name: value for name, value in asdict(finding).items() if value is not None}


def _bracket(conclusion: Conclusion | None, ladder: Sequence[RankResult]) -> list[int]:
    """The whole ladder if nothing is excluded yet; empty if every rank is."""
    if conclusion and conclusion.verdict is not None and conclusion.verdict.exhausted:
        return []
    if conclusion and conclusion.bracket:
        return list(conclusion.bracket)
    return [ladder[0].rank, ladder[-1].rank] if ladder else []


def _rank(result: RankResult, base: EvaluatedTrial | None) -> dict[str, Any]:
    shown = result.verdict.forgetting
    answers = mean_change(base.measures, [trial.measures for trial in result.trials]) if base is not None else None
    return {
        "rank": result.rank,
        "state": result.state.value,
        "seeds": result.seeds,
        "learning_rate": result.learning_rate,
        "at_edge": result.at_edge,
        "mean": result.verdict.mean,
        "diff_to_best": result.diff_to_best,
        "upper_bound": result.upper_bound,
        "lower_bound": result.lower_bound,
        "loss": result.loss,
        "bits_per_byte": result.bits_per_byte,
        "metrics": dict(result.metrics),
        "adapter_bytes": result.adapter_bytes,
        "trainable_parameters": result.trainable_parameters,
        "energy_kept": result.energy_kept,
        "peak_memory_bytes": result.peak_memory_bytes,
        "train_seconds": result.train_seconds,
        "forgetting": result.forgetting,
        "forgetting_test": asdict(shown) if shown is not None else None,
        "general_accuracy": result.general_accuracy,
        "general_change": asdict(answers) if answers is not None else None,
        "metric_state": result.metric_state.value if result.metric_state else None,
    }


def _base(record: StudyRecord) -> dict[str, Any]:
    base = _base_trial(record)
    return _evaluation(base) if base else {}


def _base_trial(record: StudyRecord) -> EvaluatedTrial | None:
    """The unadapted base on the split that the ladder was evaluated on."""
    certification = record.certification
    return certification.base if certification and certification.base else record.base


def _evaluation(trial: EvaluatedTrial, certification: Certification | None = None) -> dict[str, Any]:
    measures = trial.measures
    return {
        "rank": trial.rank if certification is None else certification.rung_of(trial),
        "split": trial.spec.split.value,
        "loss": measures.loss,
        "bits_per_byte": measures.bits_per_byte,
        "general_accuracy": measures.general_accuracy,
        "examples": measures.examples,
        "metrics": dict(measures.metrics),
    }


def _forgetting(trial: CompletedTrial | None, answers: AnswersChange | None) -> Mapping[str, Any]:
    measures = trial.measures if trial else None
    asked = {"questions": {**asdict(answers), "change": answers.change}} if answers else {}
    if measures is None or measures.forgetting_loss_delta is None or measures.general_loss is None:
        return asked
    interval = {"low": measures.forgetting_low, "high": measures.forgetting_high}
    known = {name: value for name, value in interval.items() if value is not None}
    return {"loss_delta": measures.forgetting_loss_delta, **known, "general_loss": measures.general_loss, **asked}


def _counts(record: StudyRecord) -> dict[str, int]:
    """How the trials of all stages that train ended."""
    certification = record.certification
    later = certification.trained() if certification else ()
    ended = Counter(trial.status for trial in (*record.trials, *later))
    interrupted = record.interrupted + sum(trial.status is Status.INTERRUPTED for trial in later)
    return {**{status.value: ended[status] for status in _COUNTED}, "interrupted": interrupted}


def _adapter(trial: CompletedTrial | None) -> dict[str, Any]:
    if trial is None:
        return {}
    arm = trial.arm
    quant = {"quant": arm.quant} if arm.quant is not None else {}
    if not arm.rank:
        return {
            "method": arm.method,
            "learning_rate": arm.learning_rate,
            "seed": trial.seed,
            **({"target_modules": list(arm.targets)} if arm.targets else {}),
            **({"own": dict(arm.own)} if arm.own else {}),
            **quant,
        }
    return {
        "r": arm.rank,
        "lora_alpha": arm.alpha,
        "lora_dropout": arm.dropout,
        "target_modules": list(arm.targets),
        "use_rslora": is_rank_stabilized(arm),
        "loraplus_lr_ratio": arm.loraplus_lr_ratio,
        "learning_rate": arm.learning_rate,
        "seed": trial.seed,
        **({"init": arm.init} if arm.init != DEFAULT_INIT else {}),
        **({"rank_pattern": dict(arm.rank_pattern)} if arm.rank_pattern else {}),
        **({"alpha_pattern": written_alphas(arm)} if has_patterns(arm) else {}),
        **({"layers": list(arm.layers)} if arm.layers else {}),
        **({"cut_from": arm.cut_from} if arm.cut_from is not None else {}),
        **({"method": arm.method} if arm.method not in LORA_VARIANTS else {}),
        **quant,
    }


def _confirmation(conclusion: Conclusion | None) -> dict[str, Any] | None:
    if conclusion is None or conclusion.confirmation is None:
        return None
    return {**asdict(conclusion.confirmation), "agree": conclusion.confirmation.agree}


def _without_infinities(value: Any) -> Any:
    """JSON has neither infinities nor NaN: None means unknown."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_infinities(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_infinities(inner) for inner in value]
    return value
