"""Holds target-module names against those that a model really has."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.console.suggest import did_you_mean


def check_targets(targets: Sequence[str], linear_modules: Sequence[str], key: str) -> list[str]:
    """Problems with target-module names, each with a suggestion; empty if all name real modules.

    Args:
        targets: name suffixes, as PEFT matches them.
        linear_modules: full names of the model's linear modules.
        key: the configuration key to name in the text.
    """
    suffixes = sorted({name.rsplit(".", 1)[-1] for name in linear_modules})
    return [
        f"{key}: the model has no linear module named '{target}'{did_you_mean(target, suffixes)} "
        f"(it has: {', '.join(suffixes)})"
        for target in targets
        if not any(name == target or name.endswith(f".{target}") for name in linear_modules)
    ]
