"""The host waits for the device once per training step and once per scoring pass, whatever the number of slots.

The operators that read a number back are the same on a CPU, where they can be counted. `tests/gpu` has the twin.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweep.records import TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.gradient_check import GRADIENT_CHECK_STEPS
from sweep.training.losses_and_answers import AnswerRule, Label
from sweep.training.packed.evaluator import evaluate, packed_losses
from sweep.training.packed.pack import Pack
from tests.training.packed.counted import read_backs

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]


@pytest.mark.parametrize("slots", [1, 4])
def test_a_training_step_reads_back_once(load_tiny: Loader, encoded: list[Encoded], spec: Maker, slots: int) -> None:
    pack = Pack(load_tiny("none"))
    for seed in range(slots):
        one = spec(2 + seed, seed=seed, steps=GRADIENT_CHECK_STEPS + 2)
        pack.add(one, encoded)
    losses: list[float] = []
    for step in range(GRADIENT_CHECK_STEPS + 2):
        counts = read_backs(lambda: pack.step(lambda slot, own: losses.append(own.loss)))
        assert counts == {"tolist": 1}, f"step {step + 1}"
    assert len(losses) == slots * (GRADIENT_CHECK_STEPS + 2)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("adapters", [1, 3])
def test_a_scoring_pass_reads_back_once(load_tiny: Loader, encoded: list[Encoded], count: int, adapters: int) -> None:
    """Losses and tokens; on a GPU both arrive in one copy."""
    base = load_tiny("none")
    pack = Pack(base)
    counts = read_backs(lambda: packed_losses(base, pack, [None] * adapters, encoded[:count]))
    assert counts == {"tolist": 2}


@pytest.mark.parametrize("count", [1, 8])
def test_choosing_labels_reads_back_twice(load_tiny: Loader, encoded: list[Encoded], count: int) -> None:
    """Which nodes of the tree are needed, and the labels; the search for needed nodes (`nonzero`) is the host's own."""
    base = load_tiny("none")
    pack = Pack(base)
    labels = tuple(Label(item.example.completion, item.completion) for item in encoded)
    counts = read_backs(lambda: evaluate(base, pack, [None], encoded[:count], AnswerRule(4, labels)))
    assert counts["cpu"] == 1
    assert counts["aten._local_scalar_dense.default"] == 0
    assert counts["aten.nonzero.default"] <= 1


def test_decoding_reads_back_once_a_token(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    pack = Pack(base)
    for tokens in (2, 6):
        counts = read_backs(lambda most=tokens: evaluate(base, pack, [None], encoded, AnswerRule(most)))  # type: ignore[misc]
        assert counts["tolist"] <= 2 + tokens - 1
        assert sum(counts.values()) == counts["tolist"]
