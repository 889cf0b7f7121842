"""Identities of adapters, trials and studies: a hash of every field that changes the result, and of no other field.

`adapter_identity` covers what determines the weights; `trial_identity` covers that and how the adapter is evaluated. So another
metric, split or number of examples is another trial of the same adapter, and trains nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sweep.methods import trains_packed
from sweep.records import (
    AUTO_COMPUTE,
    Arm,
    Declaration,
    LadderArm,
    Quantization,
    SearchedMethod,
    SearchSpace,
    Split,
    StudyPlan,
    Training,
    TrialResult,
    WorkerSetup,
    examples_of,
    to_json,
)
from sweep.records.evaluation import QUESTIONS, TRIAL_QUESTIONS
from sweep.records.plan import KNOWN_COSTS
from sweep.records.task_data import DROP
from sweep.records.trial import questions_of
from tasks.metrics import LABEL_METRICS
from tasks.scoring import code_hash, is_own

RESULT_VERSION = 2
"""Increased whenever the code changes what a trial's result would be."""

CUT = "svd-1"
"""The way in which adapters are cut: each module's update by its truncated SVD. Another way has another name."""


def trial_identity(
    setup: WorkerSetup,
    base_hash: str,
    data_hash: str,
    arm: Arm | None,
    training: Training,
    seed: int,
    *,
    split: Split = Split.TUNE,
    answers: bool = True,
    adapter_of: str | None = None,
) -> str:
    """The trial's identity, 32 hex digits.

    Base weights and data count by content, not by name or path. The numbers of workers, threads and reports do not count, nor
    do training and seed for the unadapted base (`arm` None).
    """
    question: dict[str, Any] = {
        "base": base_hash,
        "data": data_hash,
        "quant": _quantization(setup.quant_of(arm)),
        "scoring": _scoring(setup, split, answers),
    }
    if adapter_of is not None:
        question["adapter_of"] = adapter_of
    elif arm is not None:
        question |= {"engine": _engine(setup, arm), "arm": _arm(arm), "training": _training(training), "seed": seed}
    return _hash(question)[:32]


def adapter_identity(
    setup: WorkerSetup, base_hash: str, train_hash: str, arm: Arm | None, training: Training, seed: int
) -> str:
    """The identity of a trained or cut adapter, 32 hex digits; of the unadapted base where `arm` is None.

    Args:
        train_hash: hash of the data that decides on the weights (`LoadReport.weights_hash`): the training split alone, unless training
            is stopped by another one.
    """
    question: dict[str, Any] = {
        "base": base_hash,
        "quant": _quantization(setup.quant_of(arm)),
        "engine": _engine(setup, arm),
        "system_prompt": setup.task.system_prompt,
        **_shortened(setup),
    }
    if arm is not None:
        question |= {
            "train": train_hash,
            "max_length": setup.task.max_length,
            "arm": _arm(arm),
            "training": _training(training),
            "seed": seed,
        }
    return _hash({"adapter": question})[:32]


def is_current(result: TrialResult, setup: WorkerSetup) -> bool:
    """Whether a recorded trial was evaluated as the configuration asks for: same metric, answers and examples."""
    spec, provenance = result.spec, result.provenance
    if provenance is None:
        return True
    asked = trial_identity(
        setup,
        provenance.base_hash,
        provenance.data_hash,
        spec.arm,
        spec.training,
        spec.seed,
        split=spec.split,
        answers=spec.answers,
        adapter_of=spec.adapter_of,
    )
    return asked == spec.identity


def study_identity(plan: StudyPlan, data_hash: str, base_hash: str | None = None) -> str:
    """The study's identity, 10 hex digits: what all its trials share, and the space they are chosen from.

    The number of trials and the way they are chosen do not count, so more trials or another sampler continue a study. The task
    metric and how answers are made do not count either: they change no loss, and a continued study evaluates what is missing.

    Args:
        base_hash: hash of the files in `model.path`, which stand for the folder: it may be moved; None if they are not known.
    """
    model = plan.setup.model
    question = {
        # the key is from when the path itself was hashed; models without one keep their identities
        "model": {"id": model.id, "path": base_hash if model.path else None, "revision": model.revision},
        "data": data_hash,
        "quant": _quantization(plan.setup.quant),
        "scoring": {
            "examples": plan.setup.scoring.examples,
            "system_prompt": plan.setup.task.system_prompt,
            "max_length": plan.setup.task.max_length,
            **_shortened(plan.setup),
        },
        "engine": plan.setup.engine,
        "method": plan.arm.method,
        "training": _training(plan.training),
        "seed": plan.seed,
        "space": to_json(plan.space),
    }
    if plan.methods:
        question |= {"method": None, "space": None, "methods": [_searched(each) for each in _by_name(plan.methods)]}
    else:
        question |= _fixed(plan.arm, plan.space)
    return _hash(question)[:10]


def _by_name(methods: Sequence[SearchedMethod]) -> list[SearchedMethod]:
    """In one order, however they were written."""
    return sorted(methods, key=lambda each: each.name)


def _searched(each: SearchedMethod) -> dict[str, Any]:
    return {"method": each.name, "space": to_json(each.space), **_fixed(each.arm, each.space)}


def _fixed(recipe: Arm, space: SearchSpace) -> dict[str, Any]:
    """A method's own values that are not searched; those that are belong to the space."""
    arm, fixed = _arm(recipe), {}
    if "loraplus_lr_ratio" in arm:
        fixed["loraplus_lr_ratio"] = arm["loraplus_lr_ratio"]
    fixed |= {name: arm[name] for name in ("init", "rank_pattern", "alpha_pattern", "layers") if name in arm}
    if own := [pair for pair in arm.get("own", ()) if pair[0] not in dict(space.own)]:
        fixed["own"] = own
    return fixed


def _engine(setup: WorkerSetup, arm: Arm | None) -> str:
    """The engine that trains an arm: beside `packed`, `trainer` trains the methods that are not packed."""
    return setup.engine if arm is None or trains_packed(arm) else "trainer"


def certification_identity(recipe: Arm, cut_from: int | None = None) -> str:
    """The identity of a study's certification, 10 hex digits: the recipe without rank and rate.

    Args:
        cut_from: the rank that the ladder is cut from; None if every rank is trained.
    """
    question: dict[str, Any] = {"recipe": recipe_of(recipe)}
    if cut_from is not None:
        question["cut_from"] = cut_from
    return _hash(question)[:10]


def ladder_identity(declared: Declaration) -> str:
    """The identity of a certification of a ladder of arms, 10 hex digits: its arms, where their rates come from, and their cost.

    What the arms are called does not count, nor in which order they are written unless that is the order of the ladder.
    """
    arms = [_of_ladder(each) for each in declared.arms]
    if declared.cost in KNOWN_COSTS:
        arms.sort(key=lambda each: json.dumps(each, sort_keys=True))
    return _hash({"arms": arms, "cost": declared.cost})[:10]


def _of_ladder(each: LadderArm) -> dict[str, Any]:
    quant = {"quant": each.arm.quant} if each.arm.quant is not None else {}
    return {"arm": _arm(each.arm), "from": each.learning_rate, "rates": list(each.rates), **quant}


def recipe_of(arm: Arm) -> dict[str, Any]:
    """An arm's fields without rank and learning rate: what all ranks of a ladder share."""
    return {key: value for key, value in _arm(arm.parent).items() if key not in ("rank", "learning_rate")}


def _arm(arm: Arm) -> dict[str, Any]:
    """The arm's fields, without those that have no effect: identities from before they existed have none.

    Its quantization is not among them: it is that of the base, whether the study or the arm says so.
    """
    fields = to_json(arm)
    fields.pop("quant", None)
    if arm.loraplus_lr_ratio == 1:
        fields.pop("loraplus_lr_ratio", None)
    if arm.cut_from is None:
        fields.pop("cut_from", None)
    else:
        fields["cut"] = CUT
    return fields


def _training(training: Training) -> dict[str, Any]:
    """The training recipe's fields. Gradient checkpointing gives the same numbers, so `auto` has the identity of `false`, its former
    default, whatever a worker decides; `true` keeps the one it always had, for the trials that are stored under it."""
    fields = to_json(training)
    if training.leaves_checkpointing_open:
        fields["gradient_checkpointing"] = False
    return fields


def _quantization(quant: Quantization) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": quant.name, "double_quant": quant.double_quant}
    # identities from before the type could be chosen name none; float32 is what processors computed in then
    if quant.compute not in (AUTO_COMPUTE, "float32"):
        fields["compute"] = quant.compute
    # on a GPU, int8 was once computed with LLM.int8()'s threshold of 6, where a pack's trials changed each other's products; on a
    # CPU, which int8 in float32 stands for, the threshold has no effect
    if quant.name == "int8" and quant.compute != "float32":
        fields["llm_int8_threshold"] = 0
    return fields


def _shortened(setup: WorkerSetup) -> dict[str, Any]:
    """How long examples are shortened, and to what; leaving them out is the default, which identities do not mention."""
    task = setup.task
    return {} if task.too_long == DROP else {"too_long": task.too_long, "max_length": task.max_length}


def _scoring(setup: WorkerSetup, split: Split, answers: bool) -> dict[str, Any]:
    task = setup.task
    scoring = {
        "split": split.value,
        "examples": examples_of(setup.scoring, split),
        "system_prompt": task.system_prompt,
        "max_length": task.max_length,
        **_shortened(setup),
        "general_paragraphs": setup.scoring.general_paragraphs,
    }
    # identities from before the questions could be chosen do not name them; those not on test are from before any were asked there
    if split is Split.TEST and setup.scoring.general_questions != QUESTIONS:
        scoring["general_questions"] = setup.scoring.general_questions
    if split is not Split.TEST and (asked := questions_of(setup.scoring, split)) != TRIAL_QUESTIONS:
        scoring["trial_questions"] = asked
    if answers:
        scoring |= {"metric": task.metric, "max_new_tokens": setup.scoring.max_new_tokens}
        # decoding answers is the default, which identities do not mention
        decoded = ("generate",) if task.metric in LABEL_METRICS else ("generate", "auto")
        if is_own(task.metric):
            scoring["metric_code"] = code_hash(task.metric)
        if setup.scoring.answers not in decoded:
            scoring["answers"] = setup.scoring.answers
    return scoring


def _hash(question: dict[str, Any]) -> str:
    words = json.dumps({"version": RESULT_VERSION, **question}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(words.encode()).hexdigest()
