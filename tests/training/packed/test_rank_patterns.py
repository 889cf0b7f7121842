"""Arms whose modules differ in rank, alpha and layers: packed = alone = Trainer, in every layout, stored so that plain PEFT reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftConfig, PeftModel

from sweep.errors import ConfigurationError
from sweep.methods.module_ranks import module_rank, module_scale
from sweep.records import Arm, Training, TrialSpec
from sweep.training.adapter_size import adapter_sizes
from sweep.training.adapters import adapter_parameters, detach, from_pretrained, module_ranks, save_adapter
from sweep.training.base_model import LoadedBase
from sweep.training.cut import cut_adapter, cut_matrices
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.initial_values import Initializer
from sweep.training.packed.adapter import Host
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.kinds import load_slot_adapter, new_adapter
from sweep.training.packed.lora import LoraAdapter
from sweep.training.packed.memory.model import parameters_of
from sweep.training.packed.pack import Pack
from sweep.training.trainer_engine import train
from tests.training.packed.test_grouped import use
from tests.training.packed.test_packed_like_alone import ALL, LOSS, furthest, trained

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]

PATTERNED: dict[str, dict[str, object]] = {
    "ranks": {"rank_pattern": (("layers.0.*.q_proj", 4), ("down_proj", 16), ("v_proj", 3))},
    "ranks and alphas": {"rank_pattern": (("down_proj", 16),), "alpha_pattern": (("v_proj", 12.0), ("down_proj", 8.0))},
    "nested": {"rank_pattern": (("layers.0.self_attn.q_proj", 2), ("q_proj", 5), ("down_proj", 16))},
    "layers": {"layers": (1,)},
    "rslora": {"method": "rslora", "rank_pattern": (("down_proj", 16), ("o_proj", 1)), "layers": (0,)},
    "LoRA+": {"method": "lora_plus", "loraplus_lr_ratio": 4.0, "rank_pattern": (("q_proj", 2),), "dropout": 0.1},
}


@pytest.fixture(scope="session")
def packs(load_tiny: Loader) -> Callable[[str], Pack]:
    made: dict[str, Pack] = {}

    def pack(quant: str) -> Pack:
        if quant not in made:
            made[quant] = Pack(load_tiny(quant))
        return made[quant]

    return pack


def one_of(spec: Maker, case: str, steps: int = 12) -> TrialSpec:
    one = spec(8, steps=steps, targets=ALL, rate=3e-3, **PATTERNED[case])
    return replace(one, training=replace(one.training, weight_decay=0.05, max_grad_norm=0.5))


def arm_of(spec: Maker, case: str) -> Arm:
    arm = one_of(spec, case).arm
    assert arm is not None
    return arm


def with_update(arm: Arm, pack: Pack, base: LoadedBase) -> LoraAdapter:
    """An adapter whose update is not zero."""
    adapter = LoraAdapter(arm, Host(pack.shapes, base.device))
    with torch.no_grad():
        adapter.initialize(0)
        generator = torch.Generator().manual_seed(1)
        for matrix in adapter.up.values():
            matrix.copy_(0.05 * torch.randn(matrix.shape, generator=generator))
    return adapter


@pytest.mark.parametrize(
    ("case", "quant"),
    [
        ("ranks and alphas", "none"),
        *(
            pytest.param(case, "none", marks=pytest.mark.slow)
            for case in PATTERNED
            if case not in ("ranks and alphas", "LoRA+")
        ),
        pytest.param("ranks", "nf4", marks=pytest.mark.slow),
    ],
)
def test_packed_equals_the_trainer(
    load_tiny: Loader, packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, case: str, quant: str
) -> None:
    one = one_of(spec, case)
    neighbours = [spec(2, seed=5, steps=12, dropout=0.1), spec(32, seed=6, steps=12, targets=("down_proj", "q_proj"))]
    (slot, losses), *_ = trained(packs(quant), [one, *neighbours], encoded)
    history: list[float] = []
    adapted = train(load_tiny(quant), one, encoded, lambda model, step: history.append(step.loss))
    theirs = {name.replace(".default", ""): weight.detach().clone() for name, weight in adapter_parameters(adapted)}
    detach(adapted)
    assert losses == pytest.approx(history, abs=LOSS)
    assert {name: matrix.shape for name, matrix in slot.adapter.matrices()} == {
        name: matrix.shape for name, matrix in theirs.items()
    }
    for name, matrix in slot.adapter.matrices():
        assert float((matrix - theirs[name]).detach().abs().max()) < 1e-3, name


@pytest.mark.slow
@pytest.mark.parametrize("how", ["loop", "grouped", "batched", "one by one"])
def test_packed_equals_alone_in_every_layout(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    specs = [spec(16, seed=2, steps=12, targets=("v_proj", "k_proj")), *(one_of(spec, case) for case in PATTERNED)]
    plain = Pack(load_tiny("none"))
    alone = [trained(plain, [each], encoded)[0] for each in specs]
    use(monkeypatch, how)
    together = trained(Pack(load_tiny("none")), specs, encoded)
    for (slot, losses), (other, expected) in zip(together, alone, strict=True):
        assert losses == pytest.approx(expected, abs=LOSS)
        pairs = zip(slot.adapter.matrices(), other.adapter.matrices(), strict=True)
        assert max(float((one - two).detach().abs().max()) for (_, one), (_, two) in pairs) < 1e-3
        assert slot.adapter.parameters() == other.adapter.parameters()
        if how == "loop":
            assert furthest(slot, other) < 1e-3
        elif slot.spec.arm and slot.spec.arm.rank_pattern:
            rows = slot.adapter.vectors[0].view(slot.adapter.rank, -1)
            kept = sum(module_rank(slot.spec.arm, name) * pack_width(plain, name) for name in slot.adapter.names)
            assert int((rows != 0).sum()) <= kept, "what fills a smaller rank up stays zero"


def pack_width(pack: Pack, name: str) -> int:
    return pack.shapes[name][0]


def test_ranks_start_alike(packs: Callable[[str], Pack], load_tiny: Loader, spec: Maker) -> None:
    base, pack = load_tiny("none"), packs("none")
    arm = arm_of(spec, "ranks")
    whole, own = (
        LoraAdapter(each, Host(pack.shapes, base.device)) for each in (replace(arm, rank=16, rank_pattern=()), arm)
    )
    whole.initialize(3)
    own.initialize(3)
    for name, matrix in own.down.items():
        assert len(matrix) == module_rank(arm, name)
        assert torch.equal(matrix, whole.down[name][: len(matrix)])


@pytest.mark.parametrize(
    "case", ["nested", *(pytest.param(case, marks=pytest.mark.slow) for case in PATTERNED if case != "nested")]
)
def test_plain_peft_loads_the_adapter(
    load_tiny: Loader, packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, tmp_path: Path, case: str
) -> None:
    base, pack = load_tiny("none"), packs("none")
    arm = arm_of(spec, case)
    adapter = with_update(arm, pack, base)
    adapter.save(tmp_path, "tiny")
    again = load_slot_adapter(tmp_path, Host(pack.shapes, base.device))
    ours, reloaded = packed_losses(base, pack, [adapter, again], encoded)
    loaded = PeftModel.from_pretrained(base.model, str(tmp_path))  # a warning of PEFT would be an error
    theirs = completion_losses(base, loaded, encoded)
    detach(loaded)
    for other in (reloaded, theirs):
        assert [loss.nats for loss in ours] == pytest.approx([loss.nats for loss in other], abs=1e-5)
    ranks = {name: len(matrix) for name, matrix in adapter.down.items()}
    assert module_ranks(tmp_path) == (ranks if arm.rank_pattern else {})


def test_the_size_counts_the_ranks_and_layers(load_tiny: Loader, packs: Callable[[str], Pack], spec: Maker) -> None:
    base, pack = load_tiny("none"), packs("none")
    arms = [arm_of(spec, case) for case in ("ranks", "layers")]
    sizes = list(adapter_sizes(base, arms, Training(1, 1)))
    for arm, size in zip(arms, sizes, strict=True):
        adapter = new_adapter(arm, Host(pack.shapes, base.device))
        assert size.problem is None
        assert size.parameters == adapter.parameters() == parameters_of(arm, adapter.names, pack.shapes)
        assert adapter.parameters() == sum(matrix.numel() for _, matrix in adapter.matrices())
    with pytest.raises(ConfigurationError, match=r"lora.layers=7: no target module"):
        new_adapter(replace(arms[0], layers=(7,)), Host(pack.shapes, base.device))


@pytest.mark.parametrize("case", ["ranks and alphas", pytest.param("rslora", marks=pytest.mark.slow)])
def test_a_cut_leaves_modules_with_a_rank_of_their_own(
    load_tiny: Loader, packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, tmp_path: Path, case: str
) -> None:
    base, pack = load_tiny("none"), packs("none")
    parent = arm_of(spec, case)
    adapter = with_update(parent, pack, base)
    adapter.save(tmp_path / "whole", "tiny")
    arm = replace(parent, rank=2, cut_from=8)
    cut = cut_adapter(tmp_path / "whole", tmp_path / "cut", arm)
    loaded = load_slot_adapter(tmp_path / "cut", Host(pack.shapes, base.device))
    assert isinstance(loaded, LoraAdapter)
    assert (loaded.parameters(), json.loads((tmp_path / "cut/adapter_config.json").read_text())["r"]) == (
        cut.parameters,
        2,
    )
    assert 0 < cut.energy_kept < 1
    lost, whole = 0.0, 0.0
    for name, down in adapter.down.items():
        scale, rank = module_scale(parent, name), module_rank(arm, name)
        assert len(loaded.down[name]) == rank
        own = scale * (adapter.up[name] @ down).detach()
        left = module_scale(arm, name) * (loaded.up[name] @ loaded.down[name]).detach()
        expected_down, expected_up, _ = cut_matrices(down, adapter.up[name], scale, rank)
        torch.testing.assert_close(left, scale * (expected_up @ expected_down).detach(), atol=1e-5, rtol=1e-4)
        lost, whole = lost + float((own - left).square().sum()), whole + float(own.square().sum())
    assert cut.energy_kept == pytest.approx(1 - lost / whole, abs=1e-5)
    # as in an adapter that is trained with this arm
    assert module_scale(arm, adapter.names[0]) == pytest.approx(loaded._scales[adapter.names[0]])


@pytest.mark.slow
@pytest.mark.parametrize("init", ["gaussian", "orthogonal", "eva", "loftq"])
def test_initial_values_have_the_rank_of_each_module(
    load_tiny: Loader, packs: Callable[[str], Pack], encoded: list[Encoded], spec: Maker, init: str
) -> None:
    quant = "nf4" if init == "loftq" else "none"
    one = spec(
        4,
        steps=8,
        targets=ALL,
        init=init,
        rank_pattern=(("down_proj", 6), ("q_proj", 2)),
        alpha_pattern=(("q_proj", 8.0),),
    )
    assert one.arm is not None
    starts = Initializer(load_tiny(quant)).starts(one.arm, 0, encoded)
    assert {name.rpartition(".")[2]: len(start.down) for name, start in starts.items()} == {
        **dict.fromkeys(ALL, 4),
        "down_proj": 6,
        "q_proj": 2,
    }
    ((_, losses),) = trained(packs(quant), [one], encoded)
    history: list[float] = []
    detach(train(load_tiny(quant), one, encoded, lambda model, step: history.append(step.loss)))
    assert losses == pytest.approx(history, abs=LOSS)


@pytest.mark.slow
def test_dora_has_them_too(load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path) -> None:
    base = load_tiny("none")
    one = spec(
        4, steps=8, targets=ALL, method="dora", rank_pattern=(("layers.0.*.q_proj", 2), ("q_proj", 6)), layers=(0, 1)
    )
    adapted = train(base, one, encoded, lambda model, step: None)
    save_adapter(adapted, tmp_path, "tiny")
    ours = completion_losses(base, adapted, encoded)
    detach(adapted)
    config = PeftConfig.from_pretrained(str(tmp_path))
    assert config.rank_pattern["model.layers.1.self_attn.q_proj"] == 6
    loaded = from_pretrained(base.model, tmp_path)
    theirs = completion_losses(base, loaded, encoded)
    detach(loaded)
    assert [loss.nats for loss in ours] == pytest.approx([loss.nats for loss in theirs], abs=1e-5)
