"""Methods beside LoRA's family in a pack: a trial's losses and adapter are those of the trial alone, and of the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweep.errors import TrialEnded, TrialPruned
from sweep.methods import LORA_VARIANTS, methods
from sweep.records import StepLoss, TrialSpec
from sweep.training.adapters import adapter_parameters, attach, detach, from_pretrained, trainable_parameters
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, Engine, TrainedTrial
from sweep.training.engines import open_engine
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.losses_and_answers import AnswerRule, Label
from sweep.training.packed.hooks import SlotRows
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import Slot
from sweep.training.quantization import weights_hash
from sweep.training.trainer_engine import train
from tests.training.packed.test_packed_like_alone import furthest, trained
from tests.training.test_methods import spec_of

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]

LOSS = 1e-4
OTHERS = [name for name, method in methods().items() if method.packed and name not in LORA_VARIANTS]


@pytest.fixture(scope="session")
def packs(load_tiny: Loader) -> Callable[[str], Pack]:
    made: dict[str, Pack] = {}

    def pack(quant: str) -> Pack:
        if quant not in made:
            made[quant] = Pack(load_tiny(quant))
        return made[quant]

    return pack


@pytest.fixture
def engine(load_tiny: Loader, encoded: list[Encoded]) -> Engine:
    opened, note = open_engine("packed", load_tiny("none"), encoded[:3])
    assert note is None
    return opened


def with_neighbours(name: str, spec: Maker, steps: int = 12) -> list[TrialSpec]:
    """Two trials of the method that differ in what trials can, between others of LoRA."""
    one, other = spec_of(name, steps=steps), spec_of(name, steps=steps - 4, seed=7)
    assert other.arm is not None
    other = replace(other, arm=replace(other.arm, learning_rate=other.arm.learning_rate / 3))
    return [
        spec(2, seed=5, steps=steps, dropout=0.1),
        replace(one, training=replace(one.training, weight_decay=0.05, max_grad_norm=0.5)),
        spec(16, seed=6, steps=steps, targets=("down_proj", "k_proj")),
        replace(other, training=replace(other.training, batch_size=3, schedule="cosine", gradient_accumulation=2)),
    ]


def all_trained(engine: Engine, specs: Sequence[TrialSpec], encoded: Sequence[Encoded]) -> list[TrainedTrial]:
    """The trials in the order of `specs`."""
    for spec in specs:
        engine.begin(spec, encoded, lambda adapted, step: None)
    over: list[TrainedTrial] = []
    while len(over) < len(specs):
        over += engine.advance()
    return [next(each for each in over if each.spec is spec) for spec in specs]


def adapted_of(trial: TrainedTrial) -> AdaptedModel:
    assert trial.adapted is not None
    return trial.adapted


@pytest.mark.parametrize("name", OTHERS)
def test_no_method_turns_off_checkpointing_for_its_pack(
    name: str, engine: Engine, load_tiny: Loader, encoded: list[Encoded], spec: Maker
) -> None:
    """The memory of the pack is predicted with it."""
    specs = with_neighbours(name, spec)
    plain = [adapted_of(each).losses(encoded) for each in all_trained(engine, specs, encoded)]
    engine.auto_checkpointing = True
    layers = load_tiny("none").model.get_decoder().layers  # type: ignore[operator]
    passes: list[bool] = []
    handle = layers[0].register_forward_pre_hook(
        lambda layer, _: passes.append(torch.is_grad_enabled() and not layer.gradient_checkpointing)
    )
    own = [adapted_of(each).losses(encoded) for each in all_trained(engine, specs, encoded)]
    handle.remove()
    engine.auto_checkpointing = False
    assert passes
    assert not any(passes)
    for one, other in zip(own, plain, strict=True):
        assert [loss.nats for loss in one] == pytest.approx([loss.nats for loss in other], abs=LOSS)


@pytest.mark.slow
@pytest.mark.parametrize("quant", ["none", "nf4"])
@pytest.mark.parametrize("name", OTHERS)
def test_packed_equals_alone(
    packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, name: str, quant: str
) -> None:
    specs = with_neighbours(name, spec)
    together = trained(packs(quant), specs, encoded)
    for number, (slot, losses) in enumerate(together):
        ((alone, alone_losses),) = trained(packs(quant), [specs[number]], encoded)
        assert len(losses) == specs[number].training.steps
        assert losses == pytest.approx(alone_losses, abs=LOSS)
        assert furthest(slot, alone) < 1e-3


@pytest.mark.parametrize("quant", ["none", *(pytest.param(each, marks=pytest.mark.slow) for each in ("nf4", "int8"))])
@pytest.mark.parametrize("name", OTHERS)
def test_packed_equals_the_trainer(
    load_tiny: Loader, packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, name: str, quant: str
) -> None:
    specs = with_neighbours(name, spec)
    together = trained(packs(quant), specs, encoded)
    for one, (slot, losses) in list(zip(specs, together, strict=True))[1::2]:
        history: list[float] = []
        adapted = train(load_tiny(quant), one, encoded, lambda model, step, own=history: own.append(step.loss))
        theirs = [weight.detach().clone() for _, weight in adapter_parameters(adapted)]
        detach(adapted)
        assert losses == pytest.approx(history, abs=LOSS)
        for (matrix_name, matrix), weight in zip(slot.adapter.matrices(), theirs, strict=True):
            assert float((matrix.detach() - weight).abs().max()) < 1e-3, matrix_name


@pytest.mark.parametrize("name", OTHERS)
def test_plain_peft_gives_the_losses_and_answers_of_the_pack(
    engine: Engine,
    load_tiny: Loader,
    encoded: list[Encoded],
    spec: Maker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    for module in ("forward", "packed.evaluator"):  # the tiny model's words are mostly not printable
        monkeypatch.setattr(f"sweep.training.{module}.as_text", lambda base, ids: str(list(ids)))
    base, before = load_tiny("none"), weights_hash(load_tiny("none").model)
    over = all_trained(engine, with_neighbours(name, spec, steps=40), encoded)
    models = [engine.bare(), *map(adapted_of, over)]
    outcomes = engine.evaluate(models, encoded, AnswerRule(6))
    for number in (2, 4):
        folder = tmp_path / str(number)
        models[number].save(folder)
        plain = from_pretrained(base.model, folder)
        theirs, answers = completion_losses(base, plain, encoded), greedy_answers(base, plain, encoded, 6)
        detach(plain)
        assert [one.nats for one in outcomes[number].outcomes] == pytest.approx([one.nats for one in theirs], abs=LOSS)
        known = {item.example.completion: str(list(item.completion[:-1])) for item in encoded}
        decoded = [known.get(str(one.answer), one.answer) for one in outcomes[number].outcomes]
        assert decoded == answers
        assert any(len(answer) > len("[1, 2]") for answer in answers)
        again = engine.load(folder)
        assert [loss.nats for loss in again.losses(encoded)] == pytest.approx([one.nats for one in theirs], abs=LOSS)
        assert again.parameters == models[number].parameters
    bare = [loss.nats for loss in engine.bare().losses(encoded)]
    assert [one.nats for one in outcomes[0].outcomes] == pytest.approx(bare, abs=LOSS)
    assert weights_hash(base.model) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_answer_is_the_label_that_the_trainers_engine_finds(
    engine: Engine, load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path, name: str
) -> None:
    first, second = encoded[0].completion, encoded[1].completion
    beginnings = [first, (*first[:-1], *second), first[:1], (*first[:-1], second[0]), second, (*second, *first)]
    labels = tuple(Label(f"label {number}", ids) for number, ids in enumerate(dict.fromkeys(beginnings)))
    over = all_trained(engine, with_neighbours(name, spec, steps=6), encoded)
    models = [engine.bare(), *map(adapted_of, over)]
    answers = [
        [one.answer for one in each.outcomes] for each in engine.evaluate(models, encoded, AnswerRule(4, labels))
    ]
    reference, _ = open_engine("trainer", load_tiny("none"), encoded[:3])
    for number in (2, 4):
        models[number].save(tmp_path / str(number))
        loaded = reference.load(tmp_path / str(number))
        (theirs,) = reference.evaluate([loaded], encoded, AnswerRule(4, labels))
        loaded.release()
        assert answers[number] == [one.answer for one in theirs.outcomes]


@pytest.mark.parametrize("name", OTHERS)
def test_first_weights_and_their_number_are_those_of_peft(packs: Callable[[str], Pack], name: str) -> None:
    pack, one = packs("none"), spec_of(name)
    assert one.arm is not None
    adapter = pack.adapter(one.arm)
    adapter.initialize(one.seed)
    torch.manual_seed(one.seed)
    adapted = attach(pack._base.model, one.arm, one.seed)
    theirs = {each: weight.detach().clone() for each, weight in adapter_parameters(adapted)}
    count = trainable_parameters(adapted)
    detach(adapted)
    assert adapter.parameters() == pack.without_memory(one.arm).parameters() == count
    for (_, matrix), weight in zip(adapter.matrices(), theirs.values(), strict=True):
        assert torch.equal(matrix, weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_gradient_checkpointing_changes_nothing(
    packs: Callable[[str], Pack], encoded: list[Encoded], name: str
) -> None:
    histories = []
    for checkpointing in (False, True):
        one = spec_of(name, steps=4, checkpointing=checkpointing)
        ((_, losses), _) = trained(packs("none"), [one, replace(one, seed=5)], encoded)
        histories.append(losses)
    assert histories[1] == pytest.approx(histories[0], abs=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_nan_stays_in_its_slot(packs: Callable[[str], Pack], encoded: list[Encoded], name: str) -> None:
    pack, one = packs("none"), spec_of(name, steps=6)
    ill, well = pack.add(replace(one, seed=1), encoded), pack.add(one, encoded)
    with torch.no_grad():
        ill.adapter.vectors[0].fill_(float("nan"))
    losses: list[float] = []
    while well.is_training:
        pack.step(lambda slot, step: losses.append(step.loss))
    assert isinstance(ill.ended, TrialEnded)
    pack.remove(ill)
    pack.remove(well)
    ((_, alone),) = trained(pack, [one], encoded)
    assert losses == pytest.approx(alone, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_trial_that_is_pruned_leaves_the_others(
    packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, name: str
) -> None:
    pack, one = packs("none"), spec_of(name, steps=6)
    pruned, kept = pack.add(replace(one, seed=1), encoded), pack.add(one, encoded)
    losses: list[float] = []

    def after(slot: Slot, step: StepLoss) -> None:
        if slot is pruned and step.step == 2:
            raise TrialPruned("trailed")
        if slot is kept:
            losses.append(step.loss)

    while kept.is_training:
        pack.step(after)
    assert pruned.step == 2
    pack.remove(pruned)
    pack.remove(kept)
    ((_, alone),) = trained(pack, [one], encoded)
    assert losses == pytest.approx(alone, abs=LOSS)


@pytest.mark.parametrize("name", OTHERS)
def test_the_loss_of_a_slot_has_no_gradient_for_other_slots(
    packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, name: str
) -> None:
    pack, one = packs("none"), spec_of(name)
    slots = [pack.add(each, encoded) for each in (one, spec(4), replace(one, seed=1))]
    layout = pack.lay_out([slot.adapter for slot in slots], [encoded[:3], encoded[3:5], encoded[5:]])
    rows = [SlotRows(slot.adapter, count) for slot, count in zip(slots, layout.slot_tokens, strict=True)]
    with pack.forward(layout, rows) as logits:
        logits[sum(layout.completions[:5]) :].sum().backward()
    assert not any(vector.grad.any() for slot in slots[:2] for vector in slot.adapter.vectors)
    assert slots[2].adapter.vectors[0].grad.any()
    for slot in slots:
        pack.remove(slot)
