"""Initializations of A and B: what they are by definition, and that both engines train the same from them and leave the base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftConfig

from sweep.methods import scale
from sweep.methods.initialization import INITIALIZATIONS, stored_arm
from sweep.records import Arm, TrialSpec
from sweep.training.adapters import adapter_parameters, detach, from_pretrained, save_adapter
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.initial_values import EXACT, Initializer, leading, main_directions
from sweep.training.input_grams import calibration_examples, input_grams
from sweep.training.packed.adapter import Host
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.kinds import load_slot_adapter
from sweep.training.packed.lora import LoraAdapter
from sweep.training.packed.pack import Pack
from sweep.training.quantization import plain_weight, weights_hash
from sweep.training.starts import Start
from sweep.training.trainer_engine import train
from tests.training.packed.test_packed_like_alone import LOSS, trained

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]

OTHERS = [name for name in INITIALIZATIONS if name != "default"]
Q = "model.layers.0.self_attn.q_proj"
RATES = {"pissa": 1e-3, "olora": 1e-3}


def quant_for(init: str) -> str:
    return "none" if "none" in INITIALIZATIONS[init].quants else "nf4"


def arm(init: str, rank: int = 4, **fields: object) -> Arm:
    return Arm(rank, 2.0, 0.0, ("q_proj", "v_proj"), RATES.get(init, 5e-3), init=init, **fields)  # type: ignore[arg-type]


def product(base: LoadedBase, one: Arm, encoded: list[Encoded], seed: int = 0) -> torch.Tensor:
    """s B A of the first module."""
    start = Initializer(base).starts(one, seed, encoded)[Q]
    return scale(one) * start.up @ start.down


def weight(base: LoadedBase) -> torch.Tensor:
    return plain_weight(base.model.get_submodule(Q))


@pytest.mark.parametrize("method", ["lora", "rslora"])
def test_pissa_starts_from_the_largest_singular_values(load_tiny: Loader, encoded: list[Encoded], method: str) -> None:
    base = load_tiny("none")
    u, singular, v = torch.linalg.svd(weight(base))
    expected = u[:, :4] * singular[:4] @ v[:4]
    assert torch.allclose(product(base, arm("pissa", method=method), encoded), expected, atol=1e-5)


def test_olora_starts_from_the_first_part_of_a_qr_decomposition(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    start = Initializer(base).starts(arm("olora"), 0, encoded)[Q]
    assert torch.allclose(start.up.t() @ start.up, torch.eye(4), atol=1e-5)
    # column by column, QR decomposes exactly: the first 4 columns of W are spanned by the first 4 of Q
    assert torch.allclose((start.up @ start.down)[:, :4], weight(base)[:, :4], atol=1e-5)


@pytest.mark.parametrize("quant", ["nf4", "nf4 copied", "fp4", "int8"])
def test_loftq_starts_with_most_of_the_quantization_error_removed(
    load_tiny: Loader, encoded: list[Encoded], quant: str
) -> None:
    base, whole = load_tiny(quant), weight(load_tiny("none"))
    error = whole - weight(base)
    assert 0 < float(error.norm()) < 0.2 * float(whole.norm())
    one = arm("loftq", rank=8)
    left = error - product(base, one, encoded)
    singular = torch.linalg.svdvals(error)
    assert float(left.norm()) == pytest.approx(float(singular[8:].norm()), rel=1e-3)
    everything = error - product(base, replace(one, rank=64), encoded)
    assert float(everything.norm()) < 1e-4


def test_eva_starts_from_the_directions_of_the_inputs(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    start = Initializer(base).starts(arm("eva"), 0, encoded)[Q]
    assert not start.up.any()
    assert torch.allclose(start.down @ start.down.t(), torch.eye(4), atol=1e-5)
    (grams,) = input_grams(base, [{Q: torch.eye(64)}], calibration_examples(encoded))
    energies = torch.linalg.eigvalsh(grams[Q]).flip(0)
    seen = (start.down.double() @ grams[Q] @ start.down.double().t()).diagonal()
    assert torch.allclose(seen, energies[:4], rtol=1e-4)


def test_directions_without_inputs_are_left_out() -> None:
    inputs = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).double()
    found = main_directions(inputs.t() @ inputs, 6)
    assert found.shape == (3, 8)
    assert torch.allclose((inputs.float() @ found.t()) @ found, inputs.float(), atol=1e-5)


def test_random_initializations_depend_on_the_seed_and_the_module(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    for name in ("gaussian", "orthogonal"):
        one, again, other = (Initializer(base).starts(arm(name), seed, encoded) for seed in (0, 0, 1))
        assert torch.equal(one[Q].down, again[Q].down)
        assert not torch.equal(one[Q].down, other[Q].down)
        assert float(product(base, arm(name), encoded).abs().max()) < 1e-5
        assert one[Q].up.any() == (name == "orthogonal")
    wide = Initializer(base).starts(arm("gaussian", rank=64), 0, encoded)[Q].down
    assert float(wide.std()) == pytest.approx(1 / 64, rel=0.1)


@pytest.mark.parametrize("init", ["pissa", "olora", "loftq", "eva"])
def test_a_rank_above_the_width_starts_as_by_default_beyond_it(
    load_tiny: Loader, encoded: list[Encoded], init: str
) -> None:
    base, one = load_tiny(quant_for(init)), arm(init, rank=80)
    starts = Initializer(base).starts(one, 0, encoded)
    for start in starts.values():
        assert start.down.shape[0] == start.up.shape[1] == 80
        assert start.down.any(dim=1).all(), "a row of zeros beside a column of zeros would never train"
        assert not start.up[:, 70:].any()


def test_wide_weights_are_decomposed_by_iteration() -> None:
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(EXACT + 52, 20, generator=draw) @ torch.randn(20, EXACT + 1, generator=draw)
    down, up = leading(matrix, 24)
    assert (down.shape, up.shape) == ((24, EXACT + 1), (EXACT + 52, 24))
    assert float((up @ down - matrix).norm()) < 1e-3 * float(matrix.norm())


def test_what_is_known_serves_smaller_ranks(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("nf4")
    for init in ("pissa", "olora", "loftq", "eva"):
        kept = Initializer(base)
        kept.starts(arm(init, rank=16), 0, encoded)
        small, alone = kept.starts(arm(init), 0, encoded), Initializer(base).starts(arm(init), 0, encoded)
        for name, start in small.items():
            assert torch.allclose(start.up @ start.down, alone[name].up @ alone[name].down, atol=1e-5)


@pytest.mark.parametrize(
    ("init", "quant", "method"),
    [
        *((name, quant_for(name), {}) for name in OTHERS),
        ("pissa", "nf4", {"method": "rslora"}),
        ("olora", "int8", {"method": "lora_plus", "loraplus_lr_ratio": 4.0}),
        ("eva", "fp4", {"method": "rslora_plus", "loraplus_lr_ratio": 4.0}),
    ],
)
def test_packed_equals_alone_and_the_trainer(
    load_tiny: Loader,
    encoded: list[Encoded],
    spec: Maker,
    tmp_path: Path,
    init: str,
    quant: str,
    method: dict[str, object],
) -> None:
    base = load_tiny(quant)
    before = weights_hash(base.model)
    bare = sum(loss.nats for loss in completion_losses(base, base.model, encoded))
    one = spec(8, steps=12, rate=RATES.get(init, 5e-3), targets=("q_proj", "v_proj", "down_proj"), init=init, **method)
    one = replace(one, training=replace(one.training, weight_decay=0.05, max_grad_norm=0.5))
    pack = Pack(base)
    (slot, packed), *_ = trained(pack, [one, spec(2, seed=5, steps=12), spec(4, seed=6, steps=12, init="eva")], encoded)
    ((_, alone),) = trained(pack, [one], encoded)
    history: list[float] = []
    adapted = train(base, one, encoded, lambda model, step: history.append(step.loss))
    theirs = {name.replace(".default", ""): matrix.detach().clone() for name, matrix in adapter_parameters(adapted)}
    losses = [loss.nats for loss in completion_losses(base, adapted, encoded)]
    save_adapter(adapted, tmp_path / "theirs", base.id)
    detach(adapted)
    assert packed == pytest.approx(alone, abs=LOSS)
    assert packed == pytest.approx(history, abs=LOSS)
    assert sum(packed[-3:]) < sum(packed[:3])
    for name, matrix in slot.adapter.matrices():
        assert float((matrix - theirs[name]).detach().abs().max()) < 1e-3, name
    assert weights_hash(base.model) == before
    assert sum(losses) < bare
    # both are stored as plain LoRA adapters, which give these losses wherever they are loaded
    slot.adapter.save(tmp_path / "ours", base.id)
    for folder in (tmp_path / "theirs", tmp_path / "ours"):
        config = PeftConfig.from_pretrained(str(folder))
        assert (config.r, config.lora_alpha) == (stored_arm(one.arm).rank, pytest.approx(stored_arm(one.arm).alpha))  # type: ignore[arg-type]
        assert config.init_lora_weights is True
        plain = from_pretrained(base.model, folder)
        found = [loss.nats for loss in completion_losses(base, plain, encoded)]
        detach(plain)
        assert found == pytest.approx(losses, abs=1e-3)
        loaded = load_slot_adapter(folder, Host(pack.shapes, base.device))
        (packed_again,) = packed_losses(base, pack, [loaded], encoded)
        assert [loss.nats for loss in packed_again] == pytest.approx(losses, abs=1e-3)


@pytest.mark.parametrize("init", [name for name in OTHERS if name != "loftq"])
def test_the_first_loss_is_that_of_the_base(load_tiny: Loader, encoded: list[Encoded], spec: Maker, init: str) -> None:
    base = load_tiny("nf4")
    pack = Pack(base)
    slot = pack.add(spec(8, init=init), encoded)
    (started,) = packed_losses(base, pack, [slot.adapter], encoded)
    pack.remove(slot)
    bare = completion_losses(base, base.model, encoded)
    assert [loss.nats for loss in started] == pytest.approx([loss.nats for loss in bare], abs=LOSS)


@pytest.mark.parametrize(
    ("init", "quant"), [("pissa", "none"), ("loftq", "nf4"), ("eva", "none"), ("orthogonal", "nf4")]
)
def test_dora_starts_with_the_magnitudes_of_the_weights(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path, init: str, quant: str
) -> None:
    base, one = load_tiny(quant), spec(4, steps=8, rate=RATES.get(init, 5e-3), method="dora", init=init)
    before = weights_hash(base.model)
    history: list[float] = []
    adapted = train(base, one, encoded, lambda model, step: history.append(step.loss))
    losses = [loss.nats for loss in completion_losses(base, adapted, encoded)]
    save_adapter(adapted, tmp_path, base.id)
    detach(adapted)
    assert weights_hash(base.model) == before
    again = from_pretrained(base.model, tmp_path)
    assert [loss.nats for loss in completion_losses(base, again, encoded)] == pytest.approx(losses, abs=1e-3)
    detach(again)
    assert sum(history[-3:]) < sum(history[:3])
    ((_, plain),) = trained(Pack(base), [spec(4, steps=1, init=init)], encoded)
    assert history[0] == pytest.approx(plain[0], abs=LOSS), "LoRA and DoRA start as the same function"


@pytest.mark.parametrize("init", OTHERS)
def test_the_seed_decides(load_tiny: Loader, encoded: list[Encoded], spec: Maker, init: str) -> None:
    """A training that was killed is made again, by another process, and must give the same adapter."""
    one = spec(4, seed=2, steps=3, init=init)
    histories = [trained(Pack(load_tiny("nf4")), [one], encoded)[0][1] for _ in range(2)]
    assert histories[0] == histories[1]


def test_gradient_checkpointing_changes_nothing(load_tiny: Loader, encoded: list[Encoded], spec: Maker) -> None:
    base, histories = load_tiny("none"), []
    for checkpointing in (False, True):
        one = spec(4, steps=4, rate=1e-3, init="pissa")
        one = replace(one, training=replace(one.training, gradient_checkpointing=checkpointing))
        histories.append(trained(Pack(base), [one], encoded)[0][1])
        theirs: list[float] = []
        detach(train(base, one, encoded, lambda model, step, theirs=theirs: theirs.append(step.loss)))  # type: ignore[misc]
        histories.append(theirs)
    assert all(history == pytest.approx(histories[0], abs=LOSS) for history in histories)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_the_initial_product_is_beside_the_others_in_every_layout(side_by_side: bool) -> None:
    """Side by side, as on a GPU, A and B of all modules are one matrix each."""
    draw = torch.Generator().manual_seed(0)
    shapes = {"a.q_proj": (6, 4), "a.v_proj": (6, 8)}
    adapter = LoraAdapter(arm("pissa", rank=3), Host(shapes, torch.device("cpu"), side_by_side))
    starts = {
        name: Start(torch.randn(3, inputs, generator=draw), torch.randn(outputs, 3, generator=draw))
        for name, (inputs, outputs) in shapes.items()
    }
    adapter.initialize(0, starts)
    with torch.no_grad():
        adapter.up["a.q_proj"].add_(1)
    downs, ups = adapter.in_type(torch.float32)
    products = {name: ups[name] @ downs[name] for name in shapes}
    assert torch.allclose(products["a.q_proj"], torch.ones(4, 3) @ starts["a.q_proj"].down, atol=1e-5)
    assert not products["a.v_proj"].abs().max() > 1e-5
    assert (adapter.rank, adapter.parameters()) == (6, 3 * (6 + 4 + 6 + 8))
    assert adapter.bytes == (4 + 1) * 4 * adapter.parameters()
    sum(product.square().sum() for product in products.values()).backward()  # type: ignore[union-attr]
    assert all(matrix.grad is not None for _, matrix in adapter.matrices())
    assert adapter.down["a.q_proj"].grad.any()  # type: ignore[union-attr]
    if side_by_side:
        all_a, all_b = adapter.stackable()
        assert (all_a.shape, all_b.shape) == ((6, 12), (6, 12))
        assert torch.allclose(all_b[:, :4].t() @ all_a[:, :6], products["a.q_proj"], atol=1e-5)
