"""Memory on a CUDA device: predicted against reserved, checkpointing, logits in chunks, and the timing of slots.

Twins on a CPU: `tests/training/packed/memory/`, `tests/training/packed/test_output_head.py` and
`tests/training/test_checkpointing.py`. Run with `pytest -m gpu tests/gpu/test_memory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from sweep.records import Arm, BaseModel, CapacityRequest, Quantization, TrialSpec
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded
from sweep.training.made_models import make_tiny_model
from sweep.training.memory import release
from sweep.training.packed.engine import PackedEngine
from sweep.training.packed.memory.capacity import forecast
from sweep.training.packed.memory.estimate import estimated_training, widths_of
from sweep.training.packed.memory.probes import model_sizes
from tasks import Example
from tests.training.conftest import spec

__all__ = ["spec"]  # the fixture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TOKENS = 1024

OFF = 0.1
"""Share by which a prediction may be off, the reserve of `capacity.RESERVE`."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedBase]:
    """A base of random weights in NF4, wide enough that passes take hundreds of megabytes: 8 layers, 32,000 words."""
    folder = tmp_path_factory.mktemp("wide")
    make_tiny_model(folder)  # for its tokenizer
    config = LlamaConfig(
        hidden_size=1024,
        intermediate_size=3584,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=4,
        vocab_size=32_000,
        max_position_embeddings=4 * TOKENS,
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    model = BaseModel(name="wide", id="wide", path=str(folder))
    yield load_base(model, Quantization("nf4"), Paths(tmp_path_factory.mktemp("mlruns")))
    release()


def made(completion: int, count: int = 32) -> list[Encoded]:
    example = Example(prompt="", completion="")
    return [
        Encoded(example, (3 + number, *[7] * (TOKENS - completion - 1)), (9,) * completion) for number in range(count)
    ]


@pytest.fixture
def asked(spec: Callable[..., TrialSpec]) -> TrialSpec:
    own = spec(16, steps=2)
    assert own.arm is not None
    arm: Arm = replace(own.arm, targets=ALL)
    return replace(own, arm=arm, training=replace(own.training, batch_size=4))


@pytest.mark.parametrize("completion", [16, 512])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("slots", [1, 4])
def test_predicted_memory_is_what_the_allocator_reserves(
    base: LoadedBase, asked: TrialSpec, slots: int, checkpointing: bool, completion: int
) -> None:
    training = replace(asked.training, gradient_checkpointing=checkpointing)
    asked, examples = replace(asked, training=training), made(completion)
    engine = PackedEngine(base, [])
    assert asked.arm is not None
    predicted = forecast(base, engine.pack, asked.arm, training, 0, examples, []).peak(slots)
    release()
    torch.cuda.reset_peak_memory_stats(base.device)
    for number in range(slots):
        engine.begin(replace(asked, identity=str(number)), examples, lambda adapted, step: None)
    ended = 0
    while ended < slots:
        ended += len(engine.advance())
    reserved = torch.cuda.max_memory_reserved(base.device)
    print(f"{slots} slots, {checkpointing=}, {completion=}: {predicted / reserved - 1:+.1%}")
    assert reserved <= (1 + OFF) * predicted  # trials that were promised to fit do
    assert predicted <= 1.3 * reserved


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_from_the_configuration_is_near_the_fitted_costs(
    base: LoadedBase, asked: TrialSpec, checkpointing: bool
) -> None:
    assert asked.arm is not None
    training = replace(asked.training, gradient_checkpointing=checkpointing)
    fitted = forecast(base, PackedEngine(base, []).pack, asked.arm, training, 0, made(16), []).model.training
    sizes = model_sizes(base)
    config = base.model.config.get_text_config()  # type: ignore[union-attr,operator]
    estimated = estimated_training(sizes, widths_of(config, sizes), asked.arm, checkpointing=checkpointing)
    print(f"{checkpointing=}: {estimated.token / fitted.token - 1:+.1%}")
    assert estimated.token == pytest.approx(fitted.token, rel=0.35)


def test_slots_are_timed_and_the_choice_is_one_of_them(base: LoadedBase, asked: TrialSpec, tmp_path: Path) -> None:
    assert asked.arm is not None
    request = CapacityRequest(None, (asked.arm,), asked.training, 0, 1)
    engine = PackedEngine(base, [])
    found = engine.capacity(request, None, made(16), [])
    print(found.timings)
    assert found.slots in found.timings
    assert not engine.pack.slots
    # a resumed study does not measure again
    known = {torch.cuda.get_device_name(base.device): {1: 1.0, 2: 2.0}}
    assert engine.capacity(replace(request, timings=known), None, made(16), []).slots == 1


@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointing_gives_the_same_losses(base: LoadedBase, asked: TrialSpec, checkpointing: bool) -> None:
    losses: list[list[float]] = []
    for own in (False, checkpointing):
        engine, seen = PackedEngine(base, []), list[float]()
        training = replace(asked.training, gradient_checkpointing=own)
        engine.begin(replace(asked, training=training), made(16), lambda _, step, seen=seen: seen.append(step.loss))  # type: ignore[misc]
        while not engine.advance():
            pass
        losses.append(seen)
    # kernels that add atomically may differ in the last digit
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
