"""The seed determines all randomness of a trial."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sweep.records import TrialSpec
from sweep.training.adapters import detach
from sweep.training.base_model import LoadedBase
from sweep.training.batches import training_order
from sweep.training.encoding import Encoded
from sweep.training.trainer_engine import train


def losses_of(base: LoadedBase, spec: TrialSpec, encoded: list[Encoded]) -> list[float]:
    losses: list[float] = []
    detach(train(base, spec, encoded, lambda model, step: losses.append(step.loss)))
    return losses


def test_same_seed_same_losses_other_seed_others(
    load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base = load_tiny("nf4")
    first = losses_of(base, spec(seed=3, dropout=0.1), encoded)
    assert losses_of(base, spec(seed=4, dropout=0.1), encoded) != first
    assert losses_of(base, spec(seed=3, dropout=0.1), encoded) == first


def test_every_rank_sees_the_same_data_in_the_same_order(
    load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    """B is zero at first, so the first loss is that of the base on the first batch, for any rank."""
    base = load_tiny("none")
    assert losses_of(base, spec(rank=1, steps=1), encoded) == losses_of(base, spec(rank=32, steps=1), encoded)


@given(st.integers(1, 40), st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_the_order_passes_over_all_examples_before_it_repeats_one(examples: int, needed: int, seed: int) -> None:
    order = training_order(examples, needed, seed)
    assert len(order) == needed
    for start in range(0, needed, examples):
        epoch = order[start : start + examples]
        assert len(set(epoch)) == len(epoch)
    assert order == training_order(examples, needed, seed)
