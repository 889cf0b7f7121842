"""The contract of methods: each trains, is saved and loaded in PEFT's format, answers, and leaves the base as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pytest
import torch
from transformers import AutoModelForCausalLM

from sweep.commands.app import composed_plan
from sweep.errors import TrialPruned
from sweep.methods import LORA_VARIANTS, method_of, methods
from sweep.records import Quantization, Stage, StepLoss, Training, TrialSpec
from sweep.records.quants import KINDS
from sweep.store.paths import Paths
from sweep.training.adapters import CONFIG, detach, from_pretrained, module_ranks, weight_bytes
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.quantization import onednn_multiplies_bfloat16, weights_hash
from sweep.training.trainer_engine import TrainerEngine
from tests.methods.cases import CASES, is_further, marked
from tests.training.conftest import TINY

Loader = Callable[[str], LoadedBase]

STEPS = 12
COMBINATIONS = [
    # FP4 does what NF4 does, in another code
    pytest.param(
        name, quant, marks=pytest.mark.slow if quant == "fp4" or (is_further(name) and quant != "none") else ()
    )
    for name, method in methods().items()
    for quant in method.quants
]


def spec_of(name: str, steps: int = STEPS, seed: int = 3, checkpointing: bool = False) -> TrialSpec:
    case = CASES[name]
    keys = [f"method={name}", f"train.learning_rate={case.rate}", "model=tiny", "certify=none", *case.keys]
    plan = composed_plan([*keys, f"quant={methods()[name].quants[-1]}"], searches=False)
    return TrialSpec("id", "s", Stage.SINGLE, plan.arm, Training(steps, 4, gradient_checkpointing=checkpointing), seed)


def train(engine: TrainerEngine, spec: TrialSpec, encoded: Sequence[Encoded]) -> tuple[AdaptedModel, list[StepLoss]]:
    steps: list[StepLoss] = []
    engine.begin(spec, encoded, lambda adapted, step: steps.append(step))
    (trained,) = engine.advance()
    if trained.error is not None:
        raise trained.error
    assert trained.adapted is not None
    return trained.adapted, steps


def nats(adapted: AdaptedModel, encoded: Sequence[Encoded]) -> list[float]:
    return [loss.nats for loss in adapted.losses(encoded)]


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    """A base for each test: one that fails leaves no adapter behind for the next."""
    return lambda quant: load_base(
        TINY, Quantization(quant, double_quant=KINDS[quant].blocks, cache="never"), Paths(tmp_path)
    )


def is_whole(base: LoadedBase) -> bool:
    """Whether nothing of an adapter is left on the base."""
    names = [
        name for name, _ in base.model.named_modules() if "lora_" in name or "adapt" in name or "base_layer" in name
    ]
    return not names and not any(parameter.requires_grad for parameter in base.model.parameters())


def test_every_method_has_a_case() -> None:
    assert set(CASES) == set(methods()), "add a line to tests/methods/cases.py"


@pytest.mark.parametrize(("name", "quant"), COMBINATIONS)
def test_trains_saves_loads_and_leaves_the_base(
    name: str, quant: str, load: Loader, encoded: list[Encoded], tmp_path: Path
) -> None:
    base = load(quant)
    engine, before = TrainerEngine(base), weights_hash(base.model)
    bare = nats(engine.bare(), encoded)
    adapted, steps = train(engine, spec_of(name), encoded)
    losses = nats(adapted, encoded)
    assert adapted.parameters > 0
    assert sum(losses) < sum(bare)
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert fmean(step.loss for step in steps[-4:]) < fmean(step.loss for step in steps[:4])
    adapted.save(tmp_path / "adapter")
    adapted.release()
    assert is_whole(base)
    assert weights_hash(base.model) == before
    assert weight_bytes(tmp_path / "adapter") > 0
    assert nats(engine.bare(), encoded) == bare
    again = engine.load(tmp_path / "adapter")
    assert nats(again, encoded) == pytest.approx(losses, abs=2e-4)
    again.release()
    assert weights_hash(base.model) == before


@pytest.mark.parametrize("name", marked(methods()))
def test_a_loss_does_not_depend_on_its_batch(name: str, load: Loader, encoded: list[Encoded]) -> None:
    engine = TrainerEngine(load("none"))
    adapted, _ = train(engine, spec_of(name, steps=3), encoded)
    alone = [nats(adapted, [each])[0] for each in encoded]
    together = nats(adapted, encoded)
    adapted.release()
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("name", marked(methods()))
def test_decoded_answers_are_those_of_the_logits(name: str, load: Loader, encoded: list[Encoded]) -> None:
    base = load("none")
    engine = TrainerEngine(base)
    adapted, _ = train(engine, spec_of(name), encoded)
    losses = adapted.losses(encoded)
    decoded = greedy_answers(base, adapted.model, encoded, 8)  # type: ignore[attr-defined]
    adapted.release()
    for item, loss, answer in zip(encoded, losses, decoded, strict=True):
        assert loss.is_greedy_answer == (answer == item.example.completion)


@pytest.mark.parametrize("name", marked(name for name, method in methods().items() if method.peft))
def test_plain_peft_loads_it(name: str, load: Loader, encoded: list[Encoded], tmp_path: Path) -> None:
    base = load("none")
    adapted, _ = train(TrainerEngine(base), spec_of(name, steps=4), encoded)
    losses = nats(adapted, encoded)
    adapted.save(tmp_path / "adapter")
    adapted.release()
    assert (tmp_path / "adapter" / CONFIG).is_file()
    plain = from_pretrained(base.model, tmp_path / "adapter")
    assert [loss.nats for loss in completion_losses(base, plain, encoded)] == pytest.approx(losses, abs=1e-4)
    detach(plain)
    assert is_whole(base)


@pytest.mark.parametrize("name", marked(methods()))
def test_gradient_checkpointing_changes_nothing_where_it_can_be_used(
    name: str, load: Loader, encoded: list[Encoded]
) -> None:
    engine = TrainerEngine(load("none"))
    if not methods()[name].checkpointing:
        pytest.skip(f"refused before training: {methods()[name].why_not['checkpointing']}")
    histories = []
    for checkpointing in (False, True):
        adapted, steps = train(engine, spec_of(name, steps=5, checkpointing=checkpointing), encoded)
        adapted.release()
        histories.append([step.loss for step in steps])
    assert histories[1] == pytest.approx(histories[0], abs=1e-4)


@pytest.mark.parametrize("name", marked(methods()))
def test_the_seed_decides(name: str, load: Loader, encoded: list[Encoded]) -> None:
    engine, histories = TrainerEngine(load("none")), []
    for _ in range(2):
        torch.rand(7)  # whatever was drawn before
        adapted, steps = train(engine, spec_of(name, steps=3), encoded)
        adapted.release()
        histories.append([step.loss for step in steps])
    assert histories[0] == histories[1]


def test_the_others_say_why_they_are_not_packed() -> None:
    """The contract of those that are: `tests/training/packed/`."""
    packed = {name for name, method in methods().items() if method.packed}
    assert packed == {*LORA_VARIANTS, "ia3", "prompt_tuning", "prefix_tuning"}
    assert all(method.packed != bool(method.why_not.get("packed")) for method in methods().values())


def test_adalora_ends_with_the_ranks_that_it_chose(load: Loader, encoded: list[Encoded], tmp_path: Path) -> None:
    adapted, _ = train(TrainerEngine(load("none")), spec_of("adalora"), encoded)
    adapted.save(tmp_path)
    base = adapted.model.get_base_model()  # type: ignore[attr-defined]
    modules = {name for name, module in base.named_modules() if hasattr(module, "base_layer")}
    adapted.release()
    ranks = module_ranks(tmp_path)
    assert set(ranks) == modules
    assert sum(ranks.values()) == 4 * len(ranks)
    assert method_of(spec_of("adalora").arm).has_rank  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["full", "prefix_tuning", "ia3", "adaption_prompt"])
def test_a_trial_that_is_stopped_leaves_the_base(name: str, load: Loader, encoded: list[Encoded]) -> None:
    base = load("none")
    engine, before = TrainerEngine(base), weights_hash(base.model)
    bare = nats(engine.bare(), encoded)

    def stop(adapted: AdaptedModel, step: StepLoss) -> None:
        if step.step == 3:
            raise TrialPruned("trailed")

    engine.begin(spec_of(name), encoded, stop)
    (trained,) = engine.advance()
    assert isinstance(trained.error, TrialPruned)
    assert is_whole(base)
    assert weights_hash(base.model) == before
    assert nats(engine.bare(), encoded) == bare


def test_full_weights_are_a_model_of_transformers(load: Loader, encoded: list[Encoded], tmp_path: Path) -> None:
    base = load("none")
    adapted, _ = train(TrainerEngine(base), spec_of("full"), encoded)
    losses = nats(adapted, encoded)
    adapted.save(tmp_path / "adapter")
    adapted.release()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float32)
    assert [loss.nats for loss in completion_losses(base, model, encoded)] == pytest.approx(losses, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        each if not is_further(str(each.values[0])) else pytest.param(*each.values, marks=pytest.mark.slow)
        for each in COMBINATIONS
        if each.values[1] != "int8" and not methods()[str(each.values[0])].float32
    ],
)
def test_products_in_bfloat16(name: str, quant: str, encoded: list[Encoded], tmp_path: Path) -> None:
    if not onednn_multiplies_bfloat16():
        pytest.skip("this processor cannot multiply bfloat16")
    quantization = Quantization(quant, double_quant=KINDS[quant].blocks, cache="never", compute="bfloat16")
    base = load_base(TINY, quantization, Paths(tmp_path))
    engine = TrainerEngine(base)
    bare = nats(engine.bare(), encoded)
    adapted, _ = train(engine, spec_of(name), encoded)
    losses = nats(adapted, encoded)
    adapted.release()
    assert sum(losses) < sum(bare)
    assert nats(engine.bare(), encoded) == bare
