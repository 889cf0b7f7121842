"""Grouped products give what the loop over the slots gives, and their number does not grow with the slots.

torch computes `grouped_mm` on a CPU as well, in fp32 too, so all but the kernel itself is tested here; `tests/gpu` has the twin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweep.errors import TrialEnded
from sweep.records import TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.losses_and_answers import AnswerRule
from sweep.training.packed import grouped as grouped_module
from sweep.training.packed import hooks
from sweep.training.packed.evaluator import evaluate
from sweep.training.packed.grouped import RowGroups, StackPlan, add_grouped_updates, grouped, runs_of, stack
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from sweep.training.packed.updates import Dropout, Update, add_updates
from tests.training.packed.counted import operators
from tests.training.packed.test_packed_like_alone import ALL, LOSS, furthest, mixed, trained

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]
IN, OUT = 16, 24


def use(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Makes packs compute updates in one of the three ways, on a CPU."""
    monkeypatch.setattr(grouped_module, "stacked", lambda device: how != "loop")
    monkeypatch.setattr(grouped_module, "grouped", lambda device, dtype: how == "grouped")
    if how == "one by one":  # as a GPU does with many rows
        monkeypatch.setattr(hooks, "BATCHED_ROWS", 0)


@pytest.fixture(params=["grouped", "batched", "one by one"])
def on_a_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, request.param)


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("batched", [True, False])
def test_grouped_products_equal_the_loop(dtype: torch.dtype, dropout: float, batched: bool) -> None:
    rows, ranks, scales = (5, 1, 7), (3, 0, 8), (2.0, 1.0, 0.5)
    downs = {rank: drawn(rank, IN, seed=rank).requires_grad_() for rank in ranks if rank}
    ups = {rank: drawn(rank, OUT, seed=rank + 1).requires_grad_() for rank in ranks if rank}  # B transposed
    dropouts = [Dropout(dropout, str(rank)) if rank and dropout else None for rank in ranks]
    results = []
    for is_grouped in (True, False):
        inputs = drawn(1, sum(rows), IN, seed=20).to(dtype).requires_grad_()
        output = drawn(1, sum(rows), OUT, seed=21).to(dtype).requires_grad_()
        if is_grouped:
            rescaled = tuple(
                scale * (own.rescaling(inputs.device) if own else 1)
                for scale, own in zip(scales, dropouts, strict=True)
            )
            plans = [
                StackPlan((width,), ranks, tuple(runs_of("m", (width,), frozenset("m")) for _ in ranks), factors, dtype)
                for width, factors in ((IN, (1.0,) * 3), (OUT, rescaled))
            ]
            (down,), (up,) = stack(plans[0], list(downs.values())), stack(plans[1], list(ups.values()))
            assert down.shape == (3, 8, IN)
            ends = torch.tensor(rows).cumsum(0).to(torch.int32)
            groups = RowGroups(ends, rows)
            if batched:
                groups = groups.with_gathered(dtype)
            added = add_grouped_updates(inputs, output * 1.0, down, up, groups, dropouts)
        else:
            updates = [
                Update(count, downs[rank], ups[rank].t(), scale, own) if rank else Update(count)
                for count, rank, scale, own in zip(rows, ranks, scales, dropouts, strict=True)
            ]
            added = add_updates(inputs, output * 1.0, updates)
        wanted = [output, inputs, *downs.values(), *ups.values()]
        results.append([added.detach(), *torch.autograd.grad(added.float().square().sum(), wanted)])
    unit = torch.finfo(dtype).eps
    for ours, expected in zip(*results, strict=True):
        assert ours.dtype == expected.dtype
        torch.testing.assert_close(ours, expected, rtol=8 * unit, atol=8 * unit * float(expected.abs().max()))


def test_modules_of_a_slot_in_the_stack() -> None:
    names, widths = ("a", "b", "c", "d"), (8, 16, 8, 24)
    assert runs_of(names, widths, frozenset("abcd")) == ((slice(0, 56), slice(0, 56)),)
    assert runs_of(names, widths, frozenset("bd")) == (
        (slice(0, 16), slice(8, 24)),
        (slice(16, 40), slice(32, 56)),
    )
    assert runs_of(names, widths, frozenset()) == ()


@pytest.mark.usefixtures("on_a_cpu")
def test_trainings_equal_the_loop(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots that differ in rank, targets, dropout, method and batch; the adapters have no filling."""
    specs = mixed(spec, 20)
    together = trained(Pack(load_tiny("none")), specs, encoded)
    use(monkeypatch, "loop")
    for (slot, losses), (other, expected) in zip(
        together, trained(Pack(load_tiny("none")), specs, encoded), strict=True
    ):
        assert losses == pytest.approx(expected, abs=LOSS)
        assert slot.adapter.side_by_side
        assert not other.adapter.side_by_side
        assert slot.adapter.parameters() == other.adapter.parameters()
        for (name, ours), (_, theirs) in zip(slot.adapter.matrices(), other.adapter.matrices(), strict=True):
            assert float((ours - theirs).detach().abs().max()) < 1e-3, name


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize("checkpointing", [True, False])
def test_packed_equals_alone(load_tiny: Loader, encoded: list[Encoded], spec: Maker, checkpointing: bool) -> None:
    pack = Pack(load_tiny("none"))
    specs = [
        replace(one, training=replace(one.training, gradient_checkpointing=checkpointing))
        for one in mixed(spec, 10)[:3]
    ]
    together = trained(pack, specs, encoded)
    for number, (slot, losses) in enumerate(together):
        ((alone, alone_losses),) = trained(pack, [specs[number]], encoded)
        assert losses == pytest.approx(alone_losses, abs=LOSS)
        assert furthest(slot, alone) < 1e-3
    pack.use_gradient_checkpointing(wanted=False)


@pytest.mark.usefixtures("on_a_cpu")
def test_nan_stays_in_its_slot(load_tiny: Loader, encoded: list[Encoded], spec: Maker) -> None:
    pack = Pack(load_tiny("none"))
    ill, well = pack.add(spec(4, seed=1, targets=ALL), encoded), pack.add(spec(4, seed=2, targets=ALL), encoded)
    with torch.no_grad():
        ill.adapter.vectors[1].fill_(float("nan"))
    losses: list[float] = []
    while well.is_training:
        pack.step(lambda slot, step: losses.append(step.loss))
    assert isinstance(ill.ended, TrialEnded)
    ((_, alone),) = trained(Pack(load_tiny("none")), [spec(4, seed=2, targets=ALL)], encoded)
    assert losses == pytest.approx(alone, abs=1e-5)


@pytest.mark.usefixtures("on_a_cpu")
def test_saved_loaded_and_evaluated(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_tiny("none")
    pack = Pack(base)
    slots = [slot for slot, _ in trained(pack, mixed(spec, 10)[1:3], encoded)]
    for number, slot in enumerate(slots):
        slot.adapter.save(tmp_path / str(number), "tiny")
    adapters = [None, *(pack.load(tmp_path / str(number)) for number in range(2))]
    assert all(adapter.side_by_side for adapter in adapters if adapter is not None)
    ours = evaluate(base, pack, adapters, encoded, AnswerRule(4))
    use(monkeypatch, "loop")
    pack = Pack(base)
    adapters = [None, *(pack.load(tmp_path / str(number)) for number in range(2))]
    theirs = evaluate(base, pack, adapters, encoded, AnswerRule(4))
    for one, other in zip(ours, theirs, strict=True):
        assert [each.answer for each in one.outcomes] == [each.answer for each in other.outcomes]
        assert [each.nats for each in one.outcomes] == pytest.approx([each.nats for each in other.outcomes], abs=1e-4)


def calls(pack: Pack, spec: Maker, encoded: Sequence[Encoded], slots: int) -> int:
    """Operators of the forward and backward pass of so many slots."""
    added = [pack.add(spec(4, seed=seed, targets=ALL), encoded) for seed in range(slots)]
    batches = [SlotBatch(slot.adapter, encoded[:2], 4) for slot in added]
    with operators() as counts:
        pack.accumulate(batches)
    for slot in added:
        pack.remove(slot)
    return sum(counts.values())


@pytest.mark.parametrize("how", ["grouped", "batched", "loop"])
def test_operators_per_step(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A slot more is a few copies with grouped products (its share of the stacks), and products in every module with the loop."""
    use(monkeypatch, how)
    pack = Pack(load_tiny("none"))
    two, eight = (calls(pack, spec, encoded, slots) for slots in (2, 8))
    per_slot, modules = (eight - two) / 6, len(pack.shapes)
    if how != "loop":
        assert per_slot < 40
    else:
        assert per_slot > 15 * modules


def test_which_devices_group(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda", 0)
    assert not grouped(torch.device("cpu"), torch.bfloat16)
    for capability, expected in (
        ((7, 5), False),
        ((8, 0), False),
        ((8, 9), False),
        ((9, 0), True),
        ((10, 0), True),
        ((12, 0), False),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, own=capability: own)
        assert grouped(cuda, torch.bfloat16) is expected, capability
        assert not grouped(cuda, torch.float32)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert not grouped(cuda, torch.bfloat16), "ROCm"
