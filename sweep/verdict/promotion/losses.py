"""Losses of two models on the same examples, checked, and added up by group: the input of the promotion's statistics."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sweep.verdict.bounds import Array


@dataclass(frozen=True, slots=True)
class PairedLosses:
    """The losses of two models on the same examples, by unit: a group of examples that depend on each other, or one example.

    Attributes:
        difference: (units,), the first model's loss minus the second's, in nats, summed over the unit's completion tokens.
        tokens: (units,), number of completion tokens.
        examples: how many examples the units hold.
    """

    difference: Array
    tokens: Array
    examples: int

    @classmethod
    def of(
        cls,
        first: ArrayLike,
        second: ArrayLike,
        tokens: ArrayLike,
        groups: Sequence[Hashable] | None = None,
        *,
        called: str = "losses",
    ) -> PairedLosses:
        """Adds up the examples of each group.

        Args:
            first, second: (examples,), nats of each example's completion, summed over its tokens.
            tokens: (examples,), above 0.
            groups: of each example; None for an example that depends on no other.
            called: what the losses are, for the messages.

        Raises:
            ValueError: with one line for every mistake.
        """
        rows = {"first": first, "second": second, "tokens": tokens}
        arrays, problems = {}, []
        for name, values in rows.items():
            try:
                arrays[name] = np.asarray(values, dtype=np.float64)
            except (TypeError, ValueError):
                problems.append(f"{called}: {name} must be numbers, one per example")
                continue
            if arrays[name].ndim != 1:
                problems.append(f"{called}: {name} must be one number per example, not of shape {arrays[name].shape}")
            elif unusable := int((~np.isfinite(arrays[name])).sum()):
                problems.append(f"{called}: {unusable} of {name} are NaN or infinite")
        lengths = {name: values.size for name, values in arrays.items()}
        if groups is not None:
            lengths["groups"] = len(groups)
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{count} {name}" for name, count in lengths.items())
            problems.append(f"{called}: {counted}; one of each per example")
        if "tokens" in arrays and not (arrays["tokens"] > 0).all():
            problems.append(f"{called}: tokens must all be above 0")
        if problems:
            raise ValueError("\n".join(problems))
        return cls._added_up(arrays["first"] - arrays["second"], arrays["tokens"], groups)

    @classmethod
    def _added_up(cls, difference: Array, tokens: Array, groups: Sequence[Hashable] | None) -> PairedLosses:
        examples = len(tokens)
        if groups is None:
            return cls(difference, tokens, examples)
        places: dict[Hashable, int] = {}
        keys = [("alone", number) if group is None else ("group", group) for number, group in enumerate(groups)]
        unit = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.intp)
        added = np.zeros((len(places), 2))
        np.add.at(added, unit, np.stack([difference, tokens], axis=1))
        return cls(added[:, 0], added[:, 1], examples)

    @property
    def units(self) -> int:
        return len(self.tokens)

    @property
    def mean(self) -> float:
        """The difference in nats per token; NaN without examples."""
        return float(self.difference.sum() / self.tokens.sum()) if self.units else float("nan")


@dataclass(frozen=True, slots=True)
class GainLosses:
    """What an adapter gains over the base: `champion` minus base on the examples of an earlier time, and on those of a later one."""

    before: PairedLosses
    after: PairedLosses
