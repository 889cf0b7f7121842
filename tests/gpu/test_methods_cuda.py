"""Every method on a card. Run with `pytest -m gpu tests/gpu`.

Twin on a CPU: `tests/training/test_methods.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from sweep.methods import methods
from sweep.records import Quantization
from sweep.records.quants import KINDS
from sweep.store.paths import Paths
from sweep.training.base_model import load_base
from sweep.training.encoding import Encoder
from sweep.training.quantization import weights_hash
from sweep.training.trainer_engine import TrainerEngine
from tasks import Example
from tests.training.conftest import TINY
from tests.training.test_methods import COMBINATIONS, is_whole, nats, spec_of, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

WORDS: Sequence[str] = ("fever", "cough", "rash", "ache", "chill", "sneeze", "itch", "burn")


@pytest.mark.parametrize(("name", "quant"), COMBINATIONS)
def test_trains_saves_loads_and_leaves_the_base(name: str, quant: str, tmp_path: Path) -> None:
    compute = "float32" if methods()[name].float32 else "auto"
    base = load_base(TINY, Quantization(quant, double_quant=KINDS[quant].blocks, compute=compute), Paths(tmp_path))
    assert base.device.type == "cuda"
    encoder = Encoder(base.tokenizer, None)
    encoded = [encoder.encode(Example(f"Say {word} {'please ' * (len(word) % 4)}", word)) for word in WORDS]
    engine, before = TrainerEngine(base), weights_hash(base.model)
    bare = nats(engine.bare(), encoded)
    adapted, steps = train(engine, spec_of(name), encoded)
    losses = nats(adapted, encoded)
    assert all(torch.isfinite(torch.tensor(step.loss)) for step in steps)
    assert sum(losses) < sum(bare)
    adapted.save(tmp_path / "adapter")
    adapted.release()
    assert is_whole(base)
    assert weights_hash(base.model) == before
    again = engine.load(tmp_path / "adapter")
    assert nats(again, encoded) == pytest.approx(losses, rel=0.02)
    again.release()
