"""What only a card can show of out of memory, failed devices and 8-bit products. Run with `pytest -m gpu tests/gpu`.

Twins on a CPU: `tests/training/test_device_errors.py`, `tests/training/packed/test_out_of_memory.py`, `tests/training/test_int8.py`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt

from sweep.training.device_errors import is_device_failure, is_out_of_memory
from tests.training.test_int8 import LLM_INT8, ours

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

IN, OUT = 64, 48

BREAK_DEVICE = """
import torch
from sweep.training.device_errors import is_device_failure, is_out_of_memory

def fails(run):
    try:
        run()
        torch.cuda.synchronize()
    except Exception as error:
        assert is_device_failure(error) and not is_out_of_memory(error), repr(error)
        return True
    return False

table = torch.ones(3, device="cuda")
assert fails(lambda: table[torch.tensor([7], device="cuda")].sum().item())
assert fails(lambda: torch.ones(1, device="cuda")), "the error is sticky"
print("both were device failures")
"""


def test_memory_that_runs_out_is_recognized_and_the_process_goes_on() -> None:
    _, total = torch.cuda.mem_get_info()
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2 * total, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)
    assert not is_device_failure(caught.value)
    assert torch.ones(2, device="cuda").sum().item() == 2


def test_a_device_side_assert_is_sticky_and_recognized() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BREAK_DEVICE], capture_output=True, text=True, timeout=120, check=False
    )
    assert "both were device failures" in done.stdout, done.stderr[-2000:]


def products(inputs: torch.Tensor, threshold: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    weight = torch.randn(OUT, IN, generator=torch.Generator().manual_seed(1)) / 8
    module = Linear8bitLt(IN, OUT, bias=False, has_fp16_weights=False, threshold=threshold)
    module.weight.data.copy_(weight)
    module.to("cuda")
    rows = inputs.to("cuda", dtype).requires_grad_()
    product = module(rows)
    product.float().square().sum().backward()
    assert rows.grad is not None
    return product.detach(), rows.grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_an_outlier_of_a_neighbour_changes_nothing(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    own, neighbour = torch.randn(16, IN, generator=random), torch.randn(16, IN, generator=random)
    neighbour[3, 7] = 40.0
    both = torch.cat([own, neighbour])
    assert not torch.equal(products(both, LLM_INT8, dtype)[0][:16], products(own, LLM_INT8, dtype)[0]), "the fault"
    alone, own_gradient = products(own, ours(), dtype)
    packed, gradient = products(both, ours(), dtype)
    assert torch.equal(packed[:16], alone)
    torch.testing.assert_close(gradient[:16], own_gradient, rtol=2e-2, atol=2e-2)
