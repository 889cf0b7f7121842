"""What CPU tests cannot show of attention, grouped products and waiting: kernels, and steps without synchronization.

Run with `pytest -m gpu tests/gpu`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from sweep.records import BaseModel, Quantization, TrialSpec
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded, Encoder
from sweep.training.packed import grouped as grouped_module
from sweep.training.packed.attention import attend_folded, takes_grouped_queries
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.grouped import grouped
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import Slot
from tasks import Example
from tests.training.conftest import TINY, spec
from tests.training.packed.test_packed_like_alone import ALL, trained

__all__ = ["spec"]  # the fixture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

Maker = Callable[..., TrialSpec]

IN_FP32, IN_BF16 = 1e-4, 0.018
"""Nats by which losses may differ (docs/engine.md)."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> LoadedBase:
    quantization = Quantization("none", double_quant=False, cache="never", compute="auto")
    return load_base(BaseModel(TINY.name, TINY.id, TINY.source), quantization, Paths(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def encoded(base: LoadedBase) -> list[Encoded]:
    encoder = Encoder(base.tokenizer, None)
    words = ("fever", "cough", "rash", "ache", "chill", "sneeze", "itch", "burn")
    return [
        encoder.encode(Example(prompt=f"Say {word} {'please ' * (7 * index % 40)}", completion=word))
        for index, word in enumerate(words)
    ]


def near(base: LoadedBase) -> float:
    return IN_FP32 if base.compute is torch.float32 else IN_BF16


def test_packed_equals_alone(base: LoadedBase, encoded: list[Encoded], spec: Maker) -> None:
    pack = Pack(base)
    specs = [spec(rank, seed=rank, steps=10, rate=1e-3, targets=ALL, dropout=0.1) for rank in (1, 8, 20)]
    for number, (_, losses) in enumerate(trained(pack, specs, encoded)):
        ((_, alone),) = trained(pack, [specs[number]], encoded)
        assert losses == pytest.approx(alone, abs=near(base))


@pytest.mark.parametrize("how", ["grouped", "batched"])
def test_products_of_all_slots_equal_the_loop(
    base: LoadedBase, encoded: list[Encoded], spec: Maker, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "batched":
        monkeypatch.setattr(grouped_module, "grouped", lambda device, dtype: False)
    elif not grouped(base.device, base.compute):
        pytest.skip("this GPU has no grouped product in this type (compute capability 9 or 10, bf16)")
    specs = [spec(rank, seed=rank, steps=10, rate=1e-3, targets=ALL) for rank in (1, 8, 20)]
    ours = trained(Pack(base), specs, encoded)
    monkeypatch.setattr(grouped_module, "stacked", lambda device: False)
    for (_, losses), (_, expected) in zip(ours, trained(Pack(base), specs, encoded), strict=True):
        assert losses == pytest.approx(expected, abs=near(base))


def test_nan_stays_in_its_slot(base: LoadedBase, encoded: list[Encoded], spec: Maker) -> None:
    pack = Pack(base)
    ill, well = (pack.add(spec(4, seed=seed, rate=1e-3, targets=ALL), encoded) for seed in (1, 2))
    with torch.no_grad():
        ill.adapter.vectors[1].fill_(float("nan"))
    losses: list[float] = []
    while well.is_training:
        pack.step(lambda slot, step: losses.append(step.loss))
    assert ill.ended is not None
    ((_, alone),) = trained(Pack(base), [spec(4, seed=2, rate=1e-3, targets=ALL)], encoded)
    assert losses == pytest.approx(alone, abs=near(base))


def test_a_step_waits_for_the_device_once(base: LoadedBase, encoded: list[Encoded], spec: Maker) -> None:
    """torch warns of each operation that makes the host wait."""
    pack = Pack(base)
    slots = [pack.add(spec(4, seed=seed, rate=1e-3, targets=ALL), encoded) for seed in range(4)]
    pack.step(lambda slot, step: None)  # libraries prepare themselves
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                pack.step(lambda slot, step: None)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = [str(one.message) for one in caught if "synchroniz" in str(one.message)]
        assert len(waits) == 1, waits
    assert all(isinstance(slot, Slot) and slot.step == 3 for slot in slots)


def test_attention_keeps_no_scores_and_no_plans(base: LoadedBase, encoded: list[Encoded]) -> None:
    pack = Pack(base)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        packed_losses(base, pack, [None], encoded)
    names = {event.key for event in profiled.key_averages()}
    assert "aten::_scaled_dot_product_efficient_attention" in names
    assert "aten::_scaled_dot_product_attention_math" not in names


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_without_repeated_keys(dtype: torch.dtype) -> None:
    if dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU does not multiply bf16")
    generator = torch.Generator("cuda").manual_seed(0)
    queries, keys, values = (
        torch.randn(2, heads, 48, 64, generator=generator, device="cuda", dtype=dtype) for heads in (8, 2, 2)
    )
    mask = torch.ones(48, 48, dtype=torch.bool, device="cuda").tril().expand(2, 1, 48, 48)
    bias = torch.zeros(mask.shape, dtype=dtype, device="cuda").masked_fill_(~mask, -torch.inf)
    folded = attend_folded(queries, keys, values, bias.repeat(1, 1, 4, 1), 0.0, None)
    repeated = functional.scaled_dot_product_attention(
        queries, keys.repeat_interleave(4, dim=1), values.repeat_interleave(4, dim=1), attn_mask=bias
    )
    torch.testing.assert_close(folded, repeated)
    if takes_grouped_queries(queries, keys, values, bias, 0.0):
        own = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, enable_gqa=True)
        torch.testing.assert_close(own, repeated)


def test_steps_of_changing_lengths_take_a_steady_time(base: LoadedBase, encoded: list[Encoded], spec: Maker) -> None:
    """New shapes cost nothing that repeated ones do not: no step of the second half is ten times the median."""
    pack = Pack(base)
    pack.add(spec(4, seed=0, steps=40, rate=1e-3, targets=ALL), encoded)
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        pack.step(lambda slot, step: None)
        seconds.append(time.perf_counter() - start)
    later = sorted(seconds[20:])
    assert later[-1] < 10 * later[len(later) // 2]
