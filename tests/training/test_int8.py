"""Products with an 8-bit base: a trial's rows are computed by themselves, whatever its neighbours in the pack hold.

On a CPU bitsandbytes does not quantize inputs in training, so these tests call the function that a GPU calls; bitsandbytes has it in
plain torch too. `tests/gpu/test_failures_cuda.py` is the twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from bitsandbytes import functional as bnb_functional
from bitsandbytes.autograd._functions import MatMul8bitLt, MatmulLtState
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.records import Quantization
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.machine import quiet_libraries
from sweep.training.quantization import quantization_config, quantized_modules

IN, OUT = 16, 24
LLM_INT8 = 6.0
"""The threshold of transformers and of the paper."""


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    quiet_libraries()


def ours() -> float:
    config = quantization_config(Quantization("int8", double_quant=False), torch.bfloat16)
    assert config is not None
    return float(config.llm_int8_threshold)


def products(inputs: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The product of the inputs with one 8-bit weight, and the gradient of its sum of squares for the inputs."""
    weight = torch.randn(OUT, IN, generator=torch.Generator().manual_seed(1)) / 4
    state = MatmulLtState()
    state.threshold, state.has_fp16_weights = threshold, False
    state.CB, state.SCB, _ = bnb_functional.int8_vectorwise_quant(weight.half())
    rows = inputs.clone().requires_grad_()
    product: torch.Tensor = MatMul8bitLt.apply(rows, state.CB, None, None, state)
    product.square().sum().backward()
    assert rows.grad is not None
    return product.detach(), rows.grad


def own_rows() -> torch.Tensor:
    return torch.randn(5, IN, generator=torch.Generator().manual_seed(0))


def neighbour(outlier: float) -> torch.Tensor:
    rows = torch.randn(4, IN, generator=torch.Generator().manual_seed(2))
    rows[2, 7] = outlier
    return rows


def test_an_outlier_of_a_neighbour_changes_products_at_llm_int8_s_threshold() -> None:
    alone, _ = products(own_rows(), LLM_INT8)
    packed, _ = products(torch.cat([own_rows(), neighbour(40.0)]), LLM_INT8)
    assert (packed[:5] - alone).abs().max() > 1e-3


@pytest.mark.parametrize("outlier", [40.0, 6.0, -1000.0, 0.0])
def test_an_outlier_of_a_neighbour_changes_nothing_at_ours(outlier: float) -> None:
    alone, own_gradient = products(own_rows(), ours())
    packed, gradient = products(torch.cat([own_rows(), neighbour(outlier)]), ours())
    assert torch.equal(packed[:5], alone)
    torch.testing.assert_close(gradient[:5], own_gradient)


@settings(max_examples=50, deadline=None)
@given(
    first=st.integers(1, 6),
    between=st.integers(0, 6),
    after=st.integers(0, 6),
    scale=st.floats(0.01, 1000),
    seed=st.integers(0, 99),
)
def test_rows_are_quantized_by_themselves(first: int, between: int, after: int, scale: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    own = torch.randn(first, IN, generator=random)
    before, behind = (scale * torch.randn(rows, IN, generator=random) for rows in (between, after))
    alone, _ = products(own, ours())
    packed, _ = products(torch.cat([before, own, behind]), ours())
    assert torch.equal(packed[between : between + first], alone)


def test_the_loaded_base_has_no_threshold(load_tiny: Callable[[str], LoadedBase]) -> None:
    modules = [module for _, module in quantized_modules(load_tiny("int8").model)]
    assert modules
    assert {module.state.threshold for module in modules} == {0.0}  # type: ignore[union-attr]


@pytest.fixture
def at_llm_int8_s_threshold(load_tiny: Callable[[str], LoadedBase]) -> Iterator[LoadedBase]:
    base = load_tiny("int8")
    states = [module.state for _, module in quantized_modules(base.model)]
    for state in states:
        state.threshold = 1e-3  # type: ignore[union-attr]
    yield base
    for state in states:
        state.threshold = 0.0  # type: ignore[union-attr]


def test_on_a_cpu_the_threshold_has_no_effect(at_llm_int8_s_threshold: LoadedBase, encoded: list[Encoded]) -> None:
    base = at_llm_int8_s_threshold
    before = completion_losses(base, base.model, encoded[:3])
    for _, module in quantized_modules(base.model):
        module.state.threshold = 0.0  # type: ignore[union-attr]
    assert completion_losses(base, base.model, encoded[:3]) == before
