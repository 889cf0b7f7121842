"""What earlier versions stored is found again: JSON and identities of LoRA's arms, pinned from before there were other methods.

Identities of cut adapters name the way of cutting (`sweep.store.identity.CUT`): with another one the digests change.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from sweep.commands.app import composed_plan
from sweep.records import StudyPlan, Training, arm_from_json, to_json
from sweep.store.identity import adapter_identity, certification_identity, recipe_of, study_identity, trial_identity

PROMPT = ["task.system_prompt=You answer for a pharmaceutical tender desk."]
RATES = [
    *PROMPT,
    "train.learning_rate=3e-3",
    "search.space.learning_rate.low=1e-3",
    "search.space.learning_rate.high=1e-2",
]
CASES: dict[str, list[str]] = {
    "lora": ["lora.r=8", *PROMPT],
    "trainer": ["lora.r=16", "lora.alpha=8", "lora.dropout=0.1", "engine=trainer", "quant=none", *PROMPT],
    "rslora": ["method=rslora", "lora.targets=all_linear", "quant=int8", "quant.compute=float32", *PROMPT],
    "lora_plus": ["method=lora_plus", "model=tiny", "quant.compute=float32", *RATES],
    "rslora_plus": [
        "method=rslora_plus",
        "method.loraplus_lr_ratio=4",
        "train.steps=7",
        "search.space.rank=[4,8]",
        *RATES,
    ],
}
PINNED: dict[str, str] = {
    "lora": "ad8bdd1c7069c0c2",
    "trainer": "9fe0ccc91f8a1225",
    "rslora": "309b7739607e8fdd",
    "lora_plus": "8a390f522e2fe53f",
    "rslora_plus": "99ccbf9916d6da67",
}


def digest(plan: StudyPlan) -> str:
    """Of everything that is stored of an arm, and of a study's identity."""
    plan = replace(plan, setup=replace(plan.setup, quant=replace(plan.setup.quant, compute="float32"), threads=1))
    cut = replace(plan.arm, rank=4, cut_from=32)
    words = [
        study_identity(plan, "data"),
        certification_identity(plan.arm),
        certification_identity(plan.arm, 32),
        json.dumps(recipe_of(cut)),
        json.dumps(to_json(plan.space)),
    ]
    for arm in (plan.arm, cut, None):
        words.append(json.dumps(to_json(arm)) if arm is not None else "")
        words.append(adapter_identity(plan.setup, "base", "train", arm, plan.training, plan.seed))
        words.append(trial_identity(plan.setup, "base", "data", arm, plan.training, plan.seed))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


@pytest.mark.parametrize("case", CASES)
def test_as_before(case: str) -> None:
    plan = composed_plan(CASES[case])
    assert digest(plan) == PINNED[case]
    assert arm_from_json(json.loads(json.dumps(to_json(plan.arm)))) == plan.arm


def test_what_is_used_against_forgetting_is_stored_and_read_again() -> None:
    plan = composed_plan(["train.replay=0.25", "train.decay_to_base=2", "train.early_stopping=8", "train.patience=3"])
    stored = json.loads(json.dumps(to_json(plan.training)))
    assert Training(**stored) == plan.training
    assert to_json(plan.setup.task)["replay"] == "", "our own text"
    plain = composed_plan([])
    assert not {"replay", "decay_to_base", "early_stopping", "patience"} & set(to_json(plain.training))
    assert "replay" not in to_json(plain.setup.task)
