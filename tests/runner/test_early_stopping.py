"""When early stopping looks, when it ends a training, and which weights it keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from sweep.errors import StoppedEarly
from sweep.records import Split, Stage, Training
from sweep.records.trial import MAY_SEE, MAY_STOP_BY
from sweep.runner.early_stopping import EarlyStopping


class Model:
    """A model with one weight, the number of the step."""

    def __init__(self) -> None:
        self.step = 0

    def copy_weights(self) -> Sequence[torch.Tensor]:
        return [torch.tensor(self.step)]

    def restore_weights(self, weights: Sequence[torch.Tensor]) -> None:
        self.step = int(weights[0])


def trained(losses: Sequence[float], *, every: int = 2, patience: int = 2) -> tuple[int, Any, EarlyStopping]:
    """Trains with these losses on tune, one for each look; returns the last step, the model and the looks."""
    stopping, model, values = (
        EarlyStopping(Training(2 * len(losses), early_stopping=every, patience=patience)),
        Model(),
        iter(losses),
    )
    for step in range(1, stopping.recipe.steps + 1):
        model.step = step
        if stopping.is_look(step):
            try:
                stopping.look(model, step, lambda: next(values))  # type: ignore[arg-type]
            except StoppedEarly:
                break
    last = model.step
    stopping.restore(model)  # type: ignore[arg-type]
    return last, model, stopping


def test_ends_after_patience_and_keeps_the_best() -> None:
    last, model, stopping = trained([3.0, 2.0, 2.0, 2.5, 1.0])
    assert last == 8
    assert model.step == stopping.kept_step == 4
    assert [(look.step, look.loss) for look in stopping.looks] == [(2, 3.0), (4, 2.0), (6, 2.0), (8, 2.5)]


def test_a_better_look_starts_the_count_again() -> None:
    last, model, stopping = trained([3.0, 3.5, 2.0, 2.1, 1.9])
    assert (last, model.step, len(stopping.looks)) == (10, 10, 5)


def test_the_last_step_is_a_look_and_ends_nothing() -> None:
    stopping = EarlyStopping(Training(10, early_stopping=4))
    assert [step for step in range(1, 11) if stopping.is_look(step)] == [4, 8, 10]
    last, model, _ = trained([1.0, 2.0, 3.0], patience=2)
    assert (last, model.step) == (6, 2)


def test_losses_that_are_not_finite_are_no_improvement() -> None:
    last, model, stopping = trained([math.nan, 2.0, math.inf, 1.0, 3.0])
    assert (last, model.step, stopping.kept_step) == (10, 8, 8)
    last, model, stopping = trained([math.nan, math.nan, math.nan])
    assert (last, model.step, stopping.kept_step) == (4, 4, None), "without a finite loss the last weights stay"


def test_it_looks_at_tune_alone_in_every_stage() -> None:
    assert MAY_STOP_BY is Split.TUNE
    assert MAY_SEE[Stage.CERTIFY] == (Split.CERTIFY,), "what is evaluated takes no part in choosing the steps"


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_looks_in_a_row(patience: int) -> None:
    last, _, _ = trained([1.0, 2.0, 2.0, 2.0, 2.0, 2.0], patience=patience)
    assert last == 2 + 2 * patience
