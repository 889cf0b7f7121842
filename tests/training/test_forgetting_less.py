"""Replay, decay towards the base and early stopping: the same in both engines, and what they say they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from sweep.errors import StoppedEarly
from sweep.methods import TrainingFacts, methods
from sweep.records import Quantization, StepLoss, TrialSpec
from sweep.store.paths import Paths
from sweep.training.adapters import adapter_parameters, attach, detach
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.decay import decay_towards, first_values
from sweep.training.encoding import Encoded, Encoder
from sweep.training.engine import AdaptedModel, Engine
from sweep.training.engines import open_engine
from sweep.training.forward import completion_losses
from sweep.training.initial_values import Initializer
from sweep.training.packed.pack import Pack
from sweep.training.quantization import weights_hash
from sweep.training.trainer_engine import TrainerEngine, train
from tasks.general import replay
from tests.methods.cases import marked
from tests.training.conftest import TINY
from tests.training.packed.test_packed_like_alone import furthest, trained
from tests.training.test_methods import is_whole, nats, spec_of

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]

LOSS = 1e-4
RATES = {"method": "lora_plus", "loraplus_lr_ratio": 4.0, "rate": 3e-3}


@pytest.fixture(scope="session")
def mixed(load_tiny: Loader, encoded: list[Encoded]) -> list[Encoded]:
    """The examples with general text among them."""
    return [*encoded, *Encoder(load_tiny("none").tokenizer, None).passages(replay.load()[:5], 60)]


@pytest.fixture(scope="session")
def pack(load_tiny: Loader) -> Pack:
    return Pack(load_tiny("none"))


def with_recipe(spec: TrialSpec, **recipe: Any) -> TrialSpec:
    return replace(spec, training=replace(spec.training, **recipe))


def trained_by_trainer(
    base: LoadedBase, spec: TrialSpec, examples: Sequence[Encoded]
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of all steps, and the trained weights by the names of their files."""
    history: list[float] = []
    adapted = train(base, spec, examples, lambda model, step: history.append(step.loss))
    named = adapter_parameters(adapted)
    weights = {name.replace(".default", ""): weight.detach().clone() for name, weight in named}
    detach(adapted)
    return history, weights


def assert_equal_in_both(
    load_tiny: Loader, pack: Pack, specs: Sequence[TrialSpec], examples: Sequence[Encoded]
) -> None:
    """Side by side, alone, and by the Trainer."""
    together = trained(pack, specs, examples)
    for spec, (slot, losses) in zip(specs, together, strict=True):
        ((alone, alone_losses),) = trained(pack, [spec], examples)
        assert losses == pytest.approx(alone_losses, abs=LOSS)
        assert furthest(slot, alone) < 1e-3
        history, weights = trained_by_trainer(load_tiny("none"), spec, examples)
        assert losses == pytest.approx(history, abs=LOSS)
        ours = dict(slot.adapter.matrices())
        assert len(ours) == len(weights)
        for name in ours.keys() & weights.keys():  # PEFT has other names for virtual tokens
            assert float((ours[name].detach() - weights[name]).abs().max()) < 1e-3, name


def test_replay_is_the_same_in_both_engines(load_tiny: Loader, pack: Pack, mixed: list[Encoded], spec: Maker) -> None:
    specs = [
        with_recipe(spec(8, steps=10, dropout=0.0), replay=0.25, batch_size=4),
        spec(4, seed=1, steps=10),
        with_recipe(spec(4, seed=2, steps=8, **RATES), replay=0.3, batch_size=2, gradient_accumulation=2),
        with_recipe(spec_of("prompt_tuning", steps=8), replay=0.5, batch_size=2),
    ]
    assert_equal_in_both(load_tiny, pack, specs, mixed)


@pytest.mark.parametrize(
    ("recipe", "init"), [({"gradient_accumulation": 2}, {}), ({}, RATES), ({}, {"init": "pissa", "rate": 3e-3})]
)
def test_decay_to_base_is_the_same_in_both_engines(
    load_tiny: Loader, pack: Pack, encoded: list[Encoded], spec: Maker, recipe: dict[str, Any], init: dict[str, Any]
) -> None:
    one = with_recipe(spec(8, steps=12, **init), decay_to_base=20.0, **recipe)
    assert_equal_in_both(load_tiny, pack, [one, spec(2, seed=5, steps=12)], encoded)


def test_the_loss_weighs_rows_and_not_tokens(load_tiny: Loader, pack: Pack, mixed: list[Encoded], spec: Maker) -> None:
    one = with_recipe(spec(4, steps=1), replay=0.25, batch_size=4)
    ((slot, losses),) = trained(pack, [one], mixed)
    base = load_tiny("none")
    own, general = [row for row in slot.ordered if not row.replayed], [row for row in slot.ordered if row.replayed]
    assert (len(own), len(general)) == (3, 1)

    def mean(rows: Sequence[Encoded]) -> float:
        found = completion_losses(base, base.model, rows)
        return sum(each.nats for each in found) / sum(len(row.completion) for row in rows)

    assert losses[0] == pytest.approx(0.75 * mean(own) + 0.25 * mean(general), abs=LOSS)
    assert len(general[0].completion) > sum(len(row.completion) for row in own), "a mean over tokens would be another"


def test_decay_takes_back_the_rates_share_of_the_distance() -> None:
    slow, fast = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.AdamW([{"params": [slow], "lr": 0.1}, {"params": [fast], "lr": 0.4}])
    first = first_values(optimizer)
    with torch.no_grad():
        slow += 10
        fast -= 10
    decay_towards(first, optimizer, 0.5)
    assert slow.tolist() == pytest.approx([10.5, 11.5])
    assert fast.tolist() == pytest.approx([-5.0])
    decay_towards(first, optimizer, 1e6)
    assert (slow.tolist(), fast.tolist()) == ([1.0, 2.0], [3.0]), "never beyond the first values"


def test_full_fine_tuning_decays_towards_the_base(tmp_path: Path, encoded: list[Encoded]) -> None:
    base = load_base(TINY, Quantization("none", double_quant=False), Paths(tmp_path))
    before = weights_hash(base.model)
    bare = {name: weight.detach().clone() for name, weight in base.model.named_parameters()}
    moved = []
    for decay in (0.0, 100.0):
        spec = with_recipe(spec_of("full"), decay_to_base=decay)
        adapted = train(base, spec, encoded, lambda model, step: None)
        moved.append(
            sum(float((weight.detach() - bare[name]).norm()) for name, weight in base.model.named_parameters())
        )
        detach(adapted)
        assert weights_hash(base.model) == before
    assert 0 < moved[1] < 0.7 * moved[0]


@pytest.mark.parametrize("name", marked(name for name, method in methods().items() if method.starts_at_base))
def test_methods_that_can_decay_start_at_the_base(name: str, load_tiny: Loader, encoded: list[Encoded]) -> None:
    base, spec = load_tiny("none"), spec_of(name)
    assert spec.arm is not None
    bare = nats(TrainerEngine(base).bare(), encoded[:3])
    starts = Initializer(base).starts(spec.arm, spec.seed, encoded)
    adapted = attach(base.model, spec.arm, spec.seed, TrainingFacts(spec.training.steps), starts)
    found = [each.nats for each in completion_losses(base, adapted, encoded[:3])]
    detach(adapted)
    assert found == pytest.approx(bare, abs=1e-4)


@pytest.mark.parametrize(
    ("engine_name", "method"), [("packed", "lora"), ("trainer", "lora"), ("trainer", "full"), ("packed", "ia3")]
)
def test_a_training_can_end_early_and_take_earlier_weights(
    engine_name: str, method: str, tmp_path: Path, encoded: list[Encoded]
) -> None:
    base = load_base(TINY, Quantization("none", double_quant=False), Paths(tmp_path))
    engine: Engine
    engine, _ = open_engine(engine_name, base, encoded[:2])
    before = weights_hash(base.model)
    kept: list[Any] = []

    def on_step(adapted: AdaptedModel, step: StepLoss) -> None:
        if step.step == 3:
            kept.append((adapted.copy_weights(), nats(adapted, encoded)))
        if step.step == 6:
            raise StoppedEarly("enough")

    engine.begin(spec_of(method), encoded, on_step)
    over = []
    while not over:
        over = engine.advance()
    (trained_one,) = over
    assert trained_one.error is None
    adapted = trained_one.adapted
    assert adapted is not None
    ((weights, losses),) = kept
    assert fmean(nats(adapted, encoded)) < fmean(losses)
    adapted.restore_weights(weights)
    assert nats(adapted, encoded) == pytest.approx(losses, abs=1e-5)
    adapted.release()
    assert is_whole(base)
    assert weights_hash(base.model) == before


def test_a_slot_that_stops_frees_its_place_and_changes_no_other(
    pack: Pack, encoded: list[Encoded], spec: Maker
) -> None:
    early, late = pack.add(spec(4, seed=1), encoded), pack.add(spec(8, seed=2), encoded)
    losses: list[float] = []

    def record(slot: Any, step: StepLoss) -> None:
        if slot is early and step.step == 2:
            raise StoppedEarly("enough")
        if slot is late:
            losses.append(step.loss)

    while late.is_training:
        pack.step(record)
    assert (early.step, late.step) == (2, 8)
    pack.remove(early)
    pack.remove(late)
    ((_, alone),) = trained(pack, [spec(8, seed=2)], encoded)
    assert losses == pytest.approx(alone, abs=LOSS)
