"""The contract of engines, tested with each engine."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from sweep.errors import ConfigurationError, TrialFailed, TrialPruned
from sweep.records import StepLoss, TrialSpec
from sweep.store.paths import ORIGIN
from sweep.training.adapters import detach
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, Engine, TrainedTrial
from sweep.training.engines import open_engine
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.losses_and_answers import AnswerRule
from sweep.training.quantization import weights_hash

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]


RSLORA = {"method": "rslora"}
LORA_PLUS = {"method": "lora_plus", "loraplus_lr_ratio": 16.0}
BOTH = {"method": "rslora_plus", "loraplus_lr_ratio": 4.0}


@pytest.fixture(params=["packed", "trainer"])
def engine(request: pytest.FixtureRequest, load_tiny: Loader, encoded: list[Encoded]) -> Engine:
    opened, note = open_engine(request.param, load_tiny("none"), encoded[:3])
    assert note is None
    return opened


def trained(engine: Engine, spec: TrialSpec, encoded: list[Encoded], on_step: Any = None) -> TrainedTrial:
    engine.begin(spec, encoded, on_step or (lambda adapted, step: None))
    while True:
        for over in engine.advance():
            return over


def answered(engine: Engine, adapted: AdaptedModel, encoded: list[Encoded], most: int) -> list[str | None]:
    (result,) = engine.evaluate([adapted], encoded, AnswerRule(most))
    return [one.answer for one in result.outcomes]


def test_a_saved_adapter_names_its_base_by_hub_id(
    engine: Engine, load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path
) -> None:
    over = trained(engine, spec(4, steps=2), encoded)
    assert over.adapted is not None
    over.adapted.save(tmp_path / "adapter")
    over.adapted.release()
    base = load_tiny("none")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    origin = json.loads((tmp_path / "adapter" / ORIGIN).read_text())
    assert origin == {
        "base_model": "tiny",
        "base_folder": str(base.folder),
        "base_source": "made",
        "base_sha256": base.hash,
    }
    (tmp_path / "plain").touch()
    modes = {file.name: file.stat().st_mode for file in (tmp_path / "adapter").iterdir()}
    assert set(modes) == {"adapter_config.json", "adapter_model.safetensors", ORIGIN}
    assert set(modes.values()) == {(tmp_path / "plain").stat().st_mode}


def test_a_trained_adapter_is_evaluated_saved_and_loaded(
    engine: Engine, load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path
) -> None:
    before = weights_hash(load_tiny("none").model)
    over = trained(engine, spec(8, steps=20), encoded)
    assert over.error is None
    assert over.adapted is not None
    assert over.seconds > 0
    assert over.adapted.parameters > 0
    losses = [loss.nats for loss in over.adapted.losses(encoded)]
    answers = answered(engine, over.adapted, encoded, 4)
    over.adapted.save(tmp_path / "adapter")
    over.adapted.release()
    bare = [loss.nats for loss in engine.bare().losses(encoded)]
    assert sum(losses) < sum(bare)
    assert engine.bare().parameters == 0
    again = engine.load(tmp_path / "adapter")
    assert [loss.nats for loss in again.losses(encoded)] == pytest.approx(losses, abs=1e-5)
    assert answered(engine, again, encoded, 4) == answers
    again.release()
    assert weights_hash(load_tiny("none").model) == before


@pytest.mark.parametrize("method", [{}, RSLORA, BOTH])
def test_plain_peft_loads_the_saved_adapter(
    engine: Engine,
    load_tiny: Loader,
    encoded: list[Encoded],
    spec: Maker,
    tmp_path: Path,
    method: dict[str, object],
) -> None:
    over = trained(engine, spec(4, steps=8, dropout=0.1, targets=("down_proj", "q_proj"), **method), encoded)
    assert over.adapted is not None
    losses = [loss.nats for loss in over.adapted.losses(encoded)]
    answers = answered(engine, over.adapted, encoded, 12)
    over.adapted.save(tmp_path / "adapter")
    over.adapted.release()
    base = load_tiny("none")
    plain = PeftModel.from_pretrained(base.model, str(tmp_path / "adapter"))
    assert plain.peft_config["default"].target_modules == {"down_proj", "q_proj"}
    assert plain.peft_config["default"].base_model_name_or_path == "tiny"
    assert plain.peft_config["default"].use_rslora == bool(method)
    assert [loss.nats for loss in completion_losses(base, plain, encoded)] == pytest.approx(losses, abs=1e-5)
    assert greedy_answers(base, plain, encoded, 12) == answers
    detach(plain)
    again = engine.load(tmp_path / "adapter")
    assert [loss.nats for loss in again.losses(encoded)] == pytest.approx(losses, abs=1e-5)
    again.release()


def test_rslora_scales_by_the_root_of_the_rank(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    """rsLoRA at rank 4 with alpha 4 equals LoRA with alpha 8."""
    histories: list[list[float]] = []
    for one in (spec(4, alpha_ratio=1.0, **RSLORA), spec(4, alpha_ratio=2.0)):
        own: list[float] = []
        over = trained(engine, one, encoded, lambda _, step, own=own: own.append(step.loss))
        assert over.adapted is not None
        over.adapted.release()
        histories.append(own)
    assert histories[0] == pytest.approx(histories[1], abs=1e-5)


def test_b_learns_faster_than_a_in_lora_plus(
    engine: Engine, encoded: list[Encoded], spec: Maker, tmp_path: Path
) -> None:
    """AdamW's first step equals the rate for any gradient; A moves from the second step on, because B is zero before."""
    one = spec(4, rate=1e-4, steps=2, **LORA_PLUS)
    one = replace(one, training=replace(one.training, schedule="constant", warmup_fraction=0.0))
    saved: list[dict[str, torch.Tensor]] = []
    rates: list[float] = []

    def after(adapted: AdaptedModel, step: StepLoss) -> None:
        rates.append(step.learning_rate)
        adapted.save(tmp_path / str(step.step))
        saved.append(load_file(tmp_path / str(step.step) / "adapter_model.safetensors"))

    over = trained(engine, one, encoded, after)
    assert over.adapted is not None
    over.adapted.release()
    first, second = saved
    moved = {name: second[name] - first[name] for name in first}
    assert max(float(weight.abs().max()) for name, weight in first.items() if "lora_B" in name) == pytest.approx(16e-4)
    # A's first gradient comes at step 2, where the bias correction gives a step of sqrt(1.999) / 1.9 of the rate
    assert max(float(step.abs().max()) for name, step in moved.items() if "lora_A" in name) == pytest.approx(
        0.744e-4, rel=0.01
    )
    assert rates == [1e-4, 1e-4]


def test_a_step_may_end_the_trial(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    def prune(adapted: AdaptedModel, step: StepLoss) -> None:
        adapted.losses(encoded[:2])
        if step.step == 3:
            raise TrialPruned("trailed")

    over = trained(engine, spec(4), encoded, prune)
    assert isinstance(over.error, TrialPruned)
    assert over.adapted is None


def test_a_loss_that_is_not_finite_ends_the_trial(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    over = trained(engine, spec(4, steps=30, rate=1e30), encoded)
    assert isinstance(over.error, TrialFailed)
    assert "diverged" in str(over.error)


def test_an_exception_of_the_callback_is_the_error_of_the_trial(
    engine: Engine, encoded: list[Encoded], spec: Maker
) -> None:
    def explode(adapted: AdaptedModel, step: StepLoss) -> None:
        raise RuntimeError("out of memory")

    assert isinstance(trained(engine, spec(4), encoded, explode).error, RuntimeError)


def test_an_unknown_target_is_a_configuration_error(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        trained(engine, spec(4, targets=("nowhere",)), encoded)


def test_a_missing_adapter_is_reported(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(TrialFailed, match="missing"):
        engine.load(tmp_path)


def test_a_training_pass_changes_nothing(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    def histories(on_step: Any) -> list[float]:
        losses: list[float] = []

        def after(adapted: AdaptedModel, step: StepLoss) -> None:
            losses.append(step.loss)
            on_step(adapted)

        over = trained(engine, spec(4, dropout=0.2), encoded, after)
        assert over.adapted is not None
        over.adapted.release()
        return losses

    def probe(adapted: AdaptedModel) -> None:
        with torch.random.fork_rng():
            adapted.training_pass(encoded[:3])

    assert histories(probe) == histories(lambda adapted: None)


@pytest.mark.parametrize(
    ("method", "recipe"),
    [
        ({}, {}),
        ({}, {"gradient_checkpointing": True}),
        (RSLORA, {"weight_decay": 0.1}),
        (LORA_PLUS, {"weight_decay": 2.0}),
        (BOTH, {"schedule": "polynomial", "max_grad_norm": 0.1}),
    ],
)
def test_engines_agree(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, method: dict[str, object], recipe: dict[str, object]
) -> None:
    one = spec(8, steps=12, targets=("q_proj", "up_proj"), **({"rate": 2e-3, **method} if method else {}))
    one = replace(one, training=replace(one.training, **recipe))
    losses, rates = [], []
    for name in ("packed", "trainer"):
        own: list[StepLoss] = []
        engine, _ = open_engine(name, load_tiny("none"), encoded[:2])
        over = trained(engine, one, encoded, lambda _, step, own=own: own.append(step))
        assert over.adapted is not None
        over.adapted.release()
        losses.append([step.loss for step in own])
        rates.append([step.learning_rate for step in own])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)


def test_a_model_that_cannot_be_packed_uses_the_trainer(
    load_tiny: Loader, encoded: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.training.packed import engine as packed

    base = load_tiny("none")
    monkeypatch.setattr(packed, "use_packed_attention", None, raising=False)
    monkeypatch.setattr(packed.PackedEngine, "_check", lambda *_: (_ for _ in ()).throw(ValueError("it is odd")))
    opened, note = open_engine("packed", base, encoded[:2])
    assert type(opened).__name__ == "TrainerEngine"
    assert note == "engine=packed cannot train this model (it is odd); engine=trainer is used instead"


OUT_OF_MEMORY = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
DEVICE_FAILED = "CUDA error: device-side assert triggered"


@pytest.mark.parametrize("text", [OUT_OF_MEMORY, DEVICE_FAILED])
def test_what_the_machine_lacks_does_not_change_the_engine(
    load_tiny: Loader, encoded: list[Encoded], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr("sweep.training.packed.engine.packed_losses", fail)
    with pytest.raises(RuntimeError, match=text.split(" when", maxsplit=1)[0]):
        open_engine("packed", load_tiny("none"), encoded[:2])


def test_a_trial_that_ran_out_of_memory_keeps_no_tensor(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    tensors: list[weakref.ref[torch.Tensor]] = []

    def fail(adapted: AdaptedModel, step: StepLoss) -> None:
        activations = torch.ones(3)
        tensors.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    over = trained(engine, spec(4), encoded, fail)
    assert isinstance(over.error, torch.OutOfMemoryError)
    assert [tensor() for tensor in tensors] == [None]


def test_a_device_that_failed_ends_no_trial(engine: Engine, encoded: list[Encoded], spec: Maker) -> None:
    def fail(adapted: AdaptedModel, step: StepLoss) -> None:
        raise RuntimeError(DEVICE_FAILED)

    for seed in range(2):
        engine.begin(spec(4, seed=seed), encoded, fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        engine.advance()
