"""A recipe in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.config.targets import set_name
from sweep.records import Arm, StudyRecord


def recipe_words(recipe: Arm, sets: Mapping[str, Sequence[str]]) -> str:
    """Target modules, alpha, and the method where it is not plain LoRA."""
    method = method_words(recipe)
    return f"{set_name(recipe.targets, sets)}, alpha {recipe.alpha_ratio:g} × rank" + (f", {method}" if method else "")


def method_words(recipe: Arm) -> str:
    """`rsLoRA`, `LoRA+ (B 16 times as fast as A)` or both; nothing for plain LoRA."""
    parts = ["rsLoRA"] if recipe.use_rslora else []
    if recipe.loraplus_lr_ratio != 1:
        parts.append(f"LoRA+ (B {recipe.loraplus_lr_ratio:g} times as fast as A)")
    return " and ".join(parts)


def method_of(record: StudyRecord) -> str:
    """The method that a study's trials share, in words; nothing for plain LoRA, or if nothing was trained."""
    arms = (trial.arm for trial in record.trials)
    return next((method_words(arm) for arm in arms if arm is not None), "")
