"""The packed engine on SmolLM2-135M in NF4: a trial's result depends neither on its neighbours nor on the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Stage, StepLoss, Training, TrialSpec
from sweep.store.paths import Paths
from sweep.training.adapters import adapter_parameters, detach
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded, Encoder
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import Slot
from sweep.training.splits import load_splits
from sweep.training.trainer_engine import train
from tests.conftest import arm

pytestmark = pytest.mark.slow

STEPS = 20
LORA_PLUS = {"method": "lora_plus", "loraplus_lr_ratio": 16.0}
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedBase, list[Encoded]]:
    paths = Paths(tmp_path_factory.mktemp("mlruns"))
    setup = composed_plan(["task=pharma"]).setup
    base = load_base(setup.model, setup.quant, paths)
    encoder = Encoder(base.tokenizer, setup.task.system_prompt)
    return base, [encoder.encode(example) for example in load_splits(setup.task, paths).train[:60]]


def specs() -> list[TrialSpec]:
    """Ranks 1 to 64 with other methods, targets, ratios, dropout, rates, schedules, clipping and batch sizes."""
    plain = Training(STEPS, 2)
    return [
        TrialSpec("a", "s", Stage.SINGLE, arm(8), replace(plain, weight_decay=0.05), 1),
        TrialSpec("b", "s", Stage.SINGLE, arm(1, 4.0, 0.1, learning_rate=1e-2), replace(plain, schedule="cosine"), 2),
        TrialSpec("c", "s", Stage.SINGLE, arm(64, 1.0, 0.0, ALL, 1e-3), replace(plain, max_grad_norm=0.1), 3),
        TrialSpec("d", "s", Stage.SINGLE, arm(16, targets=("down_proj", "o_proj")), replace(plain, batch_size=3), 1),
        TrialSpec("e", "s", Stage.SINGLE, replace(arm(32, 1.0, learning_rate=2e-4), method="rslora"), plain, 2),
        TrialSpec("f", "s", Stage.SINGLE, replace(arm(4, learning_rate=3e-4), **LORA_PLUS), plain, 3),
    ]


def losses_of(pack: Pack, asked: list[TrialSpec], examples: list[Encoded]) -> tuple[list[Slot], dict[str, list[float]]]:
    slots = [pack.add(spec, examples) for spec in asked]
    losses: dict[str, list[float]] = {spec.identity: [] for spec in asked}

    def then(slot: Slot, step: StepLoss) -> None:
        losses[slot.spec.identity].append(step.loss)

    while any(slot.is_training for slot in slots):
        pack.step(then)
    for slot in slots:
        assert slot.ended is None
        pack.remove(slot)
    return slots, losses


def test_packed_alone_and_trainer_agree_at_every_step(loaded: tuple[LoadedBase, list[Encoded]]) -> None:
    base, examples = loaded
    pack = Pack(base)
    slots, together = losses_of(pack, specs(), examples)
    for number in (1, 2):
        (alone,), own = losses_of(pack, [specs()[number]], examples)
        name = specs()[number].identity
        assert len(own[name]) == STEPS
        assert together[name] == pytest.approx(own[name], abs=1e-4)
        for one, other in zip(slots[number].adapter.vectors, alone.adapter.vectors, strict=True):
            assert float((one - other).detach().abs().max()) < 1e-3
    for number in (0, 4, 5):  # each method; the trainer draws dropout differently
        one = specs()[number]
        history: list[float] = []
        adapted = train(base, one, examples, lambda model, step, own=history: own.append(step.loss))
        theirs = {name.replace(".default", ""): weight.detach().clone() for name, weight in adapter_parameters(adapted)}
        detach(adapted)
        assert together[one.identity] == pytest.approx(history, abs=1e-4)
        for name, matrix in slots[number].adapter.matrices():
            assert float((matrix - theirs[name]).detach().abs().max()) < 1e-3, name
    assert together["a"][-1] < together["a"][0] / 2
