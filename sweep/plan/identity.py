"""What makes two trials, or two studies, the same one: a hash of every field that changes the result, and of no other."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sweep.records import Arm, Foundation, StudyPlan, Training, to_json

RESULT_VERSION = 1
"""Raised whenever the code changes what a trial's result would be."""


def trial_identity(
    foundation: Foundation, base_hash: str, data_hash: str, arm: Arm | None, training: Training, seed: int
) -> str:
    """The trial's identity, 32 hex digits.

    Neither names nor paths count, only contents: base weights and data by their hashes. Nor do the number of workers,
    threads or reports. For the unadapted base (`arm` None) training and seed do not count either.
    """
    question: dict[str, Any] = {
        "base": base_hash,
        "data": data_hash,
        "quant": to_json(foundation.quant),
        "scoring": _scoring(foundation),
    }
    if arm is not None:
        question |= {"engine": foundation.engine, "arm": to_json(arm), "training": to_json(training), "seed": seed}
    return _hash(question)[:32]


def study_identity(plan: StudyPlan, data_hash: str) -> str:
    """The study's identity, 10 hex digits: what all its trials share, and the space they are chosen from.

    How many trials there are and how they are chosen does not count, so more trials or another sampler continue a study.
    """
    model = to_json(plan.foundation.model)
    question = {
        "model": {key: model[key] for key in ("id", "path", "revision")},
        "data": data_hash,
        "quant": to_json(plan.foundation.quant),
        "scoring": _scoring(plan.foundation),
        "engine": plan.foundation.engine,
        "method": plan.arm.method,
        "training": to_json(plan.training),
        "seed": plan.seed,
        "space": to_json(plan.space),
    }
    return _hash(question)[:10]


def _scoring(foundation: Foundation) -> dict[str, Any]:
    task, scoring = foundation.task, foundation.scoring
    return {
        "metric": task.metric,
        "system_prompt": task.system_prompt,
        "max_length": task.max_length,
        "examples": scoring.examples,
        "max_new_tokens": scoring.max_new_tokens,
        "general_paragraphs": scoring.general_paragraphs,
    }


def _hash(question: dict[str, Any]) -> str:
    words = json.dumps({"version": RESULT_VERSION, **question}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(words.encode()).hexdigest()
