"""A tiny base model in each storage, loaded once, and examples for it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from sweep.records import Arm, BaseModel, Quantization, Stage, Training, TrialSpec
from sweep.records.quants import KINDS
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded, Encoder
from tasks import Example

TINY = BaseModel(name="tiny", id="tiny", source="made")


@pytest.fixture(scope="session", autouse=True)
def frozen_libraries() -> Iterator[None]:
    """As in a worker: memory is measured after a garbage collection, which need not visit the imported libraries."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def load_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedBase]:
    folder = tmp_path_factory.mktemp("models")

    @cache
    def load(quant: str) -> LoadedBase:
        """`nf4`, `fp4`, `int8` or `none`; `nf4 copied` keeps dequantized copies, `single` quantizes no constants, and `bfloat16` is
        the type of products."""
        name, *how = quant.split()
        quantization = Quantization(
            name,
            double_quant=KINDS[name].blocks and "single" not in how,
            cache="always" if "copied" in how else "never",
            compute="bfloat16" if "bfloat16" in how else "auto",
        )
        return load_base(TINY, quantization, Paths(Path(folder)))

    return load


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    words = ("fever", "cough", "rash", "ache", "chill", "sneeze", "itch", "burn")
    return [
        Example(prompt=f"Say {word} {'please ' * (index % 4)}", completion=word) for index, word in enumerate(words)
    ]


@pytest.fixture(scope="session")
def encoded(load_tiny: Callable[[str], LoadedBase], examples: list[Example]) -> list[Encoded]:
    encoder = Encoder(load_tiny("none").tokenizer, None)
    return [encoder.encode(example) for example in examples]


@pytest.fixture
def spec() -> Callable[..., TrialSpec]:
    def make(rank: int = 4, seed: int = 0, steps: int = 8, rate: float = 1e-2, **arm: object) -> TrialSpec:
        recipe = {"alpha_ratio": 2.0, "dropout": 0.0, "targets": ("q_proj", "v_proj"), **arm}
        return TrialSpec(
            "identity", "study", Stage.SINGLE, Arm(rank=rank, learning_rate=rate, **recipe), Training(steps, 2), seed
        )

    return make
