"""The input of the statistics, checked: the losses of a ladder, or every mistake in them in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from sweep.records import Rung
from sweep.verdict.bounds import Array
from sweep.verdict.margin import Margin
from sweep.verdict.record import LadderBy, MarginOf


@dataclass(frozen=True, slots=True)
class LossTable:
    """Losses of every rank on the same examples, and the declared margin and alpha.

    Attributes:
        losses: one array (seeds, examples) per rank; numbers of seeds may differ.
        base: (examples,), zeros if the margin needs no base.
        weights: (examples,), ones if none were given.
        ladder_by: how the smaller ranks were made.
    """

    losses: tuple[Array, ...]
    ranks: tuple[int, ...]
    margin: Margin
    alpha: float
    base: Array
    weights: Array
    ladder_by: LadderBy = LadderBy.TRAIN

    @property
    def is_cut(self) -> bool:
        return self.ladder_by is LadderBy.CUT

    @property
    def by_quality(self) -> bool:
        """Whether the ladder is one of ranks, of which the larger are expected to be better; one of arms is ordered by cost."""
        return not any(isinstance(rank, Rung) for rank in self.ranks)

    @property
    def examples(self) -> int:
        return int(self.losses[0].shape[1])

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(len(rows) for rows in self.losses)

    def first(self, examples: int) -> LossTable:
        """The same table with the first examples alone."""
        return replace(
            self,
            losses=tuple(rows[:, :examples] for rows in self.losses),
            base=self.base[:examples],
            weights=self.weights[:examples],
        )

    def stacked(self, seeds: int) -> Array:
        """(1, ranks, seeds, examples): the first seeds of each rank; ranks that have fewer repeat those they have."""
        return np.stack([np.resize(rows, (seeds, rows.shape[1])) for rows in self.losses])[None]


def loss_table(
    losses: Sequence[ArrayLike] | ArrayLike,
    ranks: Sequence[int],
    *,
    margin: float,
    margin_of: str,
    alpha: float,
    base: ArrayLike | None,
    weights: ArrayLike | None,
    ladder_by: str = "train",
) -> LossTable:
    """Checks the arguments of a verdict.

    Args:
        losses: one (seeds, examples) table per rank.

    Raises:
        ValueError: with one line for every mistake.
    """
    problems: list[str] = []
    tables = _tables(losses, problems)
    ladder = _ladder(ranks, problems)
    if tables and ladder and len(tables) != len(ladder):
        problems.append(
            f"ranks: {len(ladder)} given, but losses hold {len(tables)}: one (seeds, examples) table per rank"
        )
    if margin_of not in tuple(MarginOf):
        problems.append(f"margin_of: must be one of {', '.join(MarginOf)}, not {margin_of!r}")
    if ladder_by not in tuple(LadderBy):
        problems.append(f"ladder_by: must be one of {', '.join(LadderBy)}, not {ladder_by!r}")
    if not _finite(margin) or margin < 0:
        problems.append(f"margin: must be a finite number of at least 0, not {margin!r}")
    elif margin_of == MarginOf.GAIN and margin >= 1:
        problems.append(f"margin: a share of the gain must be below 1, not {margin!r}")
    if not _finite(alpha) or not 0 < alpha <= 0.5:
        problems.append(f"alpha: must be above 0 and at most 0.5, not {alpha!r}")
    examples = tables[0].shape[1] if tables else None
    if margin_of == MarginOf.GAIN and base is None:
        problems.append("base: margin_of='gain' needs the unadapted base's loss of each example, shape (examples,)")
    used = base if margin_of == MarginOf.GAIN else None
    base_losses = _per_example("base", used, examples, 0.0, problems)
    token_weights = _per_example("weights", weights, examples, 1.0, problems)
    if weights is not None and token_weights.size and not (token_weights > 0).all():
        problems.append("weights: must all be above 0")
    if problems:
        raise ValueError("\n".join(problems))
    return LossTable(
        tuple(tables),
        tuple(ladder),
        Margin(float(margin), MarginOf(margin_of)),
        float(alpha),
        base_losses,
        token_weights,
        LadderBy(ladder_by),
    )


def _tables(losses: Sequence[ArrayLike] | ArrayLike, problems: list[str]) -> list[Array]:
    shape = "shape (ranks, seeds, examples)"
    try:
        tables = [np.asarray(rows, dtype=np.float64) for rows in losses]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        problems.append(
            f"losses: must be numbers of {shape}, every seed evaluated on the same examples; these are ragged or not numeric"
        )
        return []
    if not tables:
        problems.append(f"losses: empty, expected {shape}")
        return []
    wrong = sorted({table.shape for table in tables if table.ndim != 2 or 0 in table.shape})
    if wrong:
        problems.append(
            f"losses: expected {shape}, none of them 0, but a rank has a table of shape {', '.join(map(str, wrong))}"
        )
        return []
    counts = sorted({table.shape[1] for table in tables})
    if len(counts) > 1:
        problems.append(f"losses: ranks were evaluated on different numbers of examples: {', '.join(map(str, counts))}")
        return []
    unusable = sum(int((~np.isfinite(table)).sum()) for table in tables)
    if unusable:
        problems.append(f"losses: {unusable} are NaN or infinite")
    return tables


def _ladder(ranks: Sequence[int], problems: list[str]) -> list[int]:
    whole = [
        rank if isinstance(rank, Rung) else int(rank)
        for rank in ranks
        if not isinstance(rank, bool) and isinstance(rank, int | np.integer) and rank > 0
    ]
    if len(whole) != len(ranks):
        problems.append(f"ranks: must be whole numbers above 0, not {list(ranks)}")
        return []
    if not whole:
        problems.append("ranks: empty, expected one per table of losses")
    if any(second <= first for first, second in pairwise(whole)):
        problems.append(f"ranks: must be ascending, each once, not {whole}")
    return whole


def _per_example(
    name: str, values: ArrayLike | None, examples: int | None, default: float, problems: list[str]
) -> Array:
    if values is None:
        return np.full(examples or 0, default)
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        problems.append(f"{name}: must be numbers, one per example")
        return np.empty(0)
    if row.ndim != 1 or (examples is not None and len(row) != examples):
        problems.append(
            f"{name}: shape {row.shape}, expected ({'examples' if examples is None else examples},), one per example"
        )
        return np.empty(0)
    if not np.isfinite(row).all():
        problems.append(f"{name}: {int((~np.isfinite(row)).sum())} are NaN or infinite")
    return row


def _finite(value: object) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )
