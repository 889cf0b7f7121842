"""A trial's losses and adapter do not depend on other slots, and equal those of transformers' Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftModel

from sweep.errors import TrialEnded
from sweep.records import StepLoss, TrialSpec
from sweep.training.adapters import adapter_parameters, detach
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import Slot
from sweep.training.trainer_engine import train

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]

LOSS = 1e-4
LORA_PLUS = {"method": "lora_plus", "loraplus_lr_ratio": 16.0}
METHODS: list[dict[str, object]] = [
    {},
    {"method": "rslora"},
    LORA_PLUS,
    {"method": "rslora_plus", "loraplus_lr_ratio": 4.0},
]
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def trained(pack: Pack, specs: Sequence[TrialSpec], examples: Sequence[Encoded]) -> list[tuple[Slot, list[float]]]:
    """Trains the specs side by side; returns each slot with its losses."""
    slots = [pack.add(spec, examples) for spec in specs]
    losses: dict[int, list[float]] = {id(slot): [] for slot in slots}

    def record(slot: Slot, step: StepLoss) -> None:
        losses[id(slot)].append(step.loss)

    while any(slot.is_training for slot in slots):
        pack.step(record)
    for slot in slots:
        pack.remove(slot)
    return [(slot, losses[id(slot)]) for slot in slots]


def furthest(one: Slot, other: Slot) -> float:
    pairs = zip(one.adapter.vectors, other.adapter.vectors, strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def mixed(spec: Maker, steps: int) -> list[TrialSpec]:
    """Specs of ranks 1 to 64 that differ in all other fields as well."""
    specs = [
        spec(1, seed=3, steps=steps, rate=2e-2, alpha_ratio=4.0, dropout=0.1),
        spec(64, seed=1, steps=steps, rate=1e-3, targets=ALL),
        spec(8, seed=1, steps=steps, rate=5e-3, dropout=0.3, targets=("down_proj", "o_proj")),
        spec(16, seed=2, steps=steps - 5, rate=1e-2, alpha_ratio=1.0),
        spec(32, seed=4, steps=steps, rate=1e-3, alpha_ratio=1.0, method="rslora"),
        spec(4, seed=4, steps=steps, rate=1e-3, targets=("v_proj", "up_proj"), **LORA_PLUS),
    ]
    recipes = [
        {"schedule": "cosine"},
        {"max_grad_norm": 0.05},
        {"batch_size": 3, "weight_decay": 0.1},
        {"schedule": "constant_with_warmup", "gradient_accumulation": 2},
        {"batch_size": 4},
        {"weight_decay": 0.1, "schedule": "polynomial"},
    ]
    return [
        replace(each, training=replace(each.training, **recipe)) for each, recipe in zip(specs, recipes, strict=True)
    ]


@pytest.fixture(scope="session")
def packs(load_tiny: Loader) -> Callable[[str], Pack]:
    made: dict[str, Pack] = {}

    def pack(quant: str) -> Pack:
        if quant not in made:
            made[quant] = Pack(load_tiny(quant))
        return made[quant]

    return pack


@pytest.mark.parametrize("quant", ["none", "nf4", "nf4 copied", "int8", pytest.param("fp4", marks=pytest.mark.slow)])
def test_packed_equals_alone(packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, quant: str) -> None:
    specs = mixed(spec, 20)
    together = trained(packs(quant), specs, encoded)
    for number, (slot, losses) in enumerate(together):
        ((alone, alone_losses),) = trained(packs(quant), [specs[number]], encoded)
        assert len(losses) == specs[number].training.steps
        assert losses == pytest.approx(alone_losses, abs=LOSS)
        assert furthest(slot, alone) < 1e-3


@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ({}, {}),
        ({"gradient_accumulation": 2}, {}),
        ({"schedule": "cosine", "max_grad_norm": 0.1}, {}),
        ({}, {"method": "rslora", "rate": 3e-3}),
        ({"gradient_accumulation": 2}, {**LORA_PLUS, "rate": 1e-3}),
    ],
)
def test_packed_equals_the_trainer(
    load_tiny: Loader,
    packs: Callable[[str], Pack],
    encoded: list[Encoded],
    spec: Maker,
    recipe: dict[str, object],
    method: dict[str, object],
) -> None:
    one = spec(8, steps=30, targets=ALL, **method)
    one = replace(one, training=replace(one.training, weight_decay=0.05, **recipe))
    neighbours = [spec(2, seed=5, steps=30), spec(32, seed=6, steps=30)]
    (slot, losses), *_ = trained(packs("none"), [one, *neighbours], encoded)
    history: list[float] = []
    adapted = train(load_tiny("none"), one, encoded, lambda model, step: history.append(step.loss))
    theirs = {name.replace(".default", ""): weight.detach().clone() for name, weight in adapter_parameters(adapted)}
    detach(adapted)
    assert losses == pytest.approx(history, abs=LOSS)
    for name, matrix in slot.adapter.matrices():
        assert float((matrix - theirs[name]).detach().abs().max()) < 1e-3, name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_pack_equals_alone(
    packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, data: st.DataObject
) -> None:
    drawn = st.builds(
        lambda rank, seed, rate, ratio, dropout, targets, size, method: replace(
            one := spec(
                rank, seed=seed, steps=4, rate=rate, alpha_ratio=ratio, dropout=dropout, targets=targets, **method
            ),
            training=replace(one.training, batch_size=size),
        ),
        st.sampled_from([1, 2, 4, 16, 64]),
        st.integers(0, 5),
        st.floats(1e-4, 2e-2),
        st.sampled_from([0.5, 1.0, 4.0]),
        st.sampled_from([0.0, 0.2]),
        st.sampled_from([("q_proj",), ("q_proj", "v_proj"), ALL, ("gate_proj",)]),
        st.integers(1, 4),
        st.sampled_from(METHODS),
    )
    specs = data.draw(st.lists(drawn, min_size=2, max_size=5))
    together = trained(packs("none"), specs, encoded)
    chosen = data.draw(st.integers(0, len(specs) - 1))
    ((_, alone),) = trained(packs("none"), [specs[chosen]], encoded)
    assert together[chosen][1] == pytest.approx(alone, abs=LOSS)


def test_the_loss_of_a_slot_has_no_gradient_for_other_slots(
    packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker
) -> None:
    from sweep.training.packed.hooks import SlotRows
    from sweep.training.packed.layout import lay_out

    pack = packs("none")
    slots = [pack.add(spec(rank, seed=rank, targets=ALL), encoded) for rank in (2, 8, 4)]
    layout = lay_out([encoded[:3], encoded[3:5], encoded[5:]])
    rows = [SlotRows(slot.adapter, count) for slot, count in zip(slots, layout.slot_tokens, strict=True)]
    first = sum(layout.completions[:3])
    second = sum(layout.completions[3:5])
    with pack.forward(layout, rows) as logits:
        logits[first : first + second].sum().backward()
    for slot in (slots[0], slots[2]):
        assert all(not vector.grad.any() for vector in slot.adapter.vectors)
    assert slots[1].adapter.vectors[1].grad.any()
    for slot in slots:
        pack.remove(slot)


def test_nan_stays_in_its_slot(packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker) -> None:
    pack = packs("none")
    ill, well = pack.add(spec(4, seed=1), encoded), pack.add(spec(4, seed=2), encoded)
    with torch.no_grad():
        ill.adapter.vectors[1].fill_(float("nan"))
    losses: list[float] = []
    while well.is_training:
        pack.step(lambda slot, step: losses.append(step.loss))
    assert isinstance(ill.ended, TrialEnded)
    assert "diverged" in str(ill.ended)
    pack.remove(ill)
    pack.remove(well)
    ((_, alone),) = trained(pack, [spec(4, seed=2)], encoded)
    assert losses == pytest.approx(alone, abs=1e-6)


def test_a_slot_can_be_added_while_others_train(
    packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker
) -> None:
    pack = packs("none")
    losses: dict[int, list[float]] = {1: [], 2: []}
    early = pack.add(spec(4, seed=1), encoded)

    def record(slot: Slot, step: StepLoss) -> None:
        losses[slot.spec.seed].append(step.loss)

    for _ in range(3):
        pack.step(record)
    late = pack.add(spec(8, seed=2), encoded)
    while early.is_training or late.is_training:
        pack.step(record)
    pack.remove(early)
    pack.remove(late)
    for seed, rank in ((1, 4), (2, 8)):
        ((_, alone),) = trained(pack, [spec(rank, seed=seed)], encoded)
        assert losses[seed] == pytest.approx(alone, abs=LOSS)


@pytest.mark.parametrize("method", METHODS)
def test_plain_peft_loads_the_adapter(
    load_tiny: Loader,
    packs: Callable[[str], Pack],
    encoded: list[Encoded],
    spec: Maker,
    tmp_path: Path,
    method: dict[str, object],
) -> None:
    base, pack = load_tiny("none"), packs("none")
    one = spec(8, steps=10, rate=3e-3, targets=ALL, alpha_ratio=4.0, **method)
    (slot, _), (other, _) = trained(pack, [one, spec(4, seed=2, steps=10)], encoded)
    slot.adapter.save(tmp_path / "adapter", "tiny")
    ours, _ = packed_losses(base, pack, [slot.adapter, other.adapter], encoded)
    loaded = PeftModel.from_pretrained(base.model, str(tmp_path / "adapter"))
    theirs = completion_losses(base, loaded, encoded)
    detach(loaded)
    assert [loss.nats for loss in ours] == pytest.approx([loss.nats for loss in theirs], abs=1e-5)
    assert [loss.is_greedy_answer for loss in ours] == [loss.is_greedy_answer for loss in theirs]
