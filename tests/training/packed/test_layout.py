"""The packed row: shared prefixes, attention and predictions; and sharing a prefix changes no result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.records import TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engines import open_engine
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.losses_and_answers import AnswerRule, Label
from sweep.training.packed import tables
from sweep.training.packed.layout import Virtual, lay_out, shared_prompt
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from sweep.training.packed.tables import length_class
from sweep.training.trainer_engine import TrainerEngine
from tasks import Example

Tokens = tuple[int, ...]
token = st.integers(3, 60)


def item(prompt: Tokens, completion: Tokens) -> Encoded:
    return Encoded(Example("prompt", "completion"), prompt, completion)


@st.composite
def batches(draw: st.DrawFn) -> list[Encoded]:
    """Examples that may share a prefix."""
    instruction = draw(st.lists(token, max_size=6))
    rows = draw(
        st.lists(
            st.tuples(st.lists(token, min_size=1, max_size=5), st.lists(token, min_size=1, max_size=4)),
            min_size=1,
            max_size=4,
        )
    )
    return [item((*instruction, *prompt), tuple(completion)) for prompt, completion in rows]


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([(1, 2, 3), (1, 2, 4)], 2),
        ([(1, 2, 3), (1, 2, 3)], 2),  # each keeps a token to predict from
        ([(1, 2), (1, 2, 3)], 1),
        ([(1, 2), (3, 4)], 0),
        ([(1,), (1, 2)], 0),
        ([(1, 2, 3)], 0),
    ],
)
def test_the_shared_prefix(prompts: list[Tokens], shared: int) -> None:
    assert shared_prompt([item(prompt, (9,)) for prompt in prompts]) == shared


def test_a_row_by_hand() -> None:
    layout = lay_out([[item((1, 2, 3), (7, 8)), item((1, 2, 4, 5), (9,))], [item((6,), (7,))]])
    assert layout.ids.tolist() == [1, 2, 3, 7, 4, 5, 6]
    assert layout.positions.tolist() == [0, 1, 2, 3, 2, 3, 0]
    assert layout.slot_tokens == (6, 1)
    assert layout.slot_examples == (2, 1)
    assert layout.kept.tolist() == [2, 3, 5, 6]
    assert layout.labels.tolist() == [7, 8, 9, 7]
    assert layout.completions == (2, 1, 1)


def test_virtual_tokens_by_hand() -> None:
    """Embeddings of the first slot, keys and values of the second, none of the third."""
    batch, single = [item((1, 2, 3), (7, 8)), item((1, 2, 4, 5), (9,))], [item((6,), (7,))]
    layout = lay_out([batch, batch, single], virtual=[Virtual(embedded=2), Virtual(given=3), Virtual()])
    assert layout.ids.tolist() == [0, 0, 1, 2, 3, 7, 4, 5, 1, 2, 3, 7, 4, 5, 6]
    assert layout.positions.tolist() == [0, 1, 2, 3, 4, 5, 4, 5, 3, 4, 5, 6, 5, 6, 0]
    assert layout.slot_tokens == (8, 6, 1)
    assert layout.kept.tolist() == [4, 5, 7, 10, 11, 13, 14]
    assert (layout.embedded, layout.given) == (((0, 0, 2),), 3)
    own = 3  # the row's keys are counted after those given
    assert [layout.keys_of(example, keys).tolist() for example, keys in ((0, 6), (2, 7), (4, 1))] == [
        [own + token for token in range(6)],
        [0, 1, 2, *(own + token for token in (8, 9, 10, 11))],
        [own + 14],
    ]
    later = layout.after(100)
    assert later.keys_of(2, 4).tolist() == [0, 1, 2, 108]
    assert later.keys_of(0, 1).tolist() == [100]


def test_a_pass_needs_an_example() -> None:
    with pytest.raises(ValueError, match="needs an example"):
        lay_out([[], []])


@pytest.fixture(params=[128, 2], ids=["one table", "tables by length"])
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The length up to which sequences share a table; examples here have at most 15 tokens."""
    monkeypatch.setattr(tables, "SHORT", request.param)
    return int(request.param)


@given(st.integers(1, 3000), st.integers(0, 3000))
def test_the_sequences_of_a_table_have_similar_lengths(keys: int, more: int) -> None:
    if length_class(1, keys) == length_class(1, keys + more):
        assert keys + more <= max(tables.SHORT, tables.LENGTH_RATIO * keys)


def test_a_short_and_a_long_example_have_tables_of_their_own() -> None:
    layout = lay_out([[item((1,) * 10, (2,)), item((2,) * 300, (2,)), item((3,) * 290, (2,))]])
    assert [tuple(table.mask.shape) for table in layout.tables] == [(1, 1, 10, 10), (2, 1, 300, 300)]
    assert [layout.sequences[example] for example in range(3)] == [(0, 0), (1, 0), (1, 1)]
    assert layout.keys_of(2, 290).tolist() == list(range(310, 600))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(batches(), min_size=1, max_size=3))
def test_each_token_attends_to_its_own_past_only(short: int, slots: list[list[Encoded]]) -> None:
    layout = lay_out(slots)
    flat = torch.cat([table.queries.reshape(-1) for table in layout.tables])[layout.places]
    assert flat.tolist() == list(range(len(layout.ids)))
    seen_by = [
        table.keys[sequence][table.mask[sequence, 0, query]].tolist()
        for table in layout.tables
        for sequence in range(table.queries.shape[0])
        for query in range(table.queries.shape[1])
    ]
    for place, own in enumerate(layout.places.tolist()):
        seen = seen_by[own]
        # the positions before it and its own, once each, in the same slot
        assert layout.positions[seen].tolist() == list(range(int(layout.positions[place]) + 1))
        assert seen[-1] == place
    assert sum(layout.slot_tokens) == len(layout.ids)
    expected = [token for slot in slots for example in slot for token in example.completion]
    assert layout.labels.tolist() == expected


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=batches())
def test_sharing_a_prefix_changes_no_gradient(
    short: int, load_tiny: Callable[[str], LoadedBase], spec: Callable[..., TrialSpec], batch: list[Encoded]
) -> None:
    base = load_tiny("none")
    pack = Pack(base)
    slot = pack.add(spec(4, targets=("q_proj", "v_proj", "down_proj")), batch)
    with torch.no_grad():
        slot.adapter.vectors[1].normal_(generator=torch.Generator().manual_seed(0), std=0.1)
    tokens = sum(len(example.completion) for example in batch)

    def gradients(passes: list[list[Encoded]]) -> list[torch.Tensor]:
        slot.adapter.zero_gradients()
        for part in passes:
            pack.accumulate([SlotBatch(slot.adapter, part, tokens)])
        return [vector.grad.clone() for vector in slot.adapter.vectors if vector.grad is not None]

    together, alone = gradients([batch]), gradients([[example] for example in batch])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["MistralForCausalLM", "Qwen2ForCausalLM", "Gemma2ForCausalLM", "GPTNeoXForCausalLM"])
def test_other_models_are_packed_correctly_or_refused(
    kind: str, short: int, load_tiny: Callable[[str], LoadedBase]
) -> None:
    """The models have few, small layers, and attention windows shorter than the examples."""
    import transformers

    tiny = load_tiny("none")
    model_class = getattr(transformers, kind)
    config = model_class.config_class(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        **({} if kind == "GPTNeoXForCausalLM" else {"sliding_window": 4}),
    )
    torch.manual_seed(0)
    model = model_class(config).requires_grad_(False).eval()
    names = tuple(
        name for name, module in model.named_modules() if type(module) is torch.nn.Linear and "head" not in name
    )
    base = replace(tiny, model=model, linear_modules=names)
    rows = [item((5, 6, 7, 8, 9, number), (11, 12, number)) for number in range(20, 24)]
    engine, note = open_engine("packed", base, rows)
    if kind == "Gemma2ForCausalLM":
        assert note is not None
        assert "softcap" in note
        return
    assert note is None
    (result,) = engine.evaluate([engine.bare()], rows, AnswerRule(10))
    assert [one.answer for one in result.outcomes] == greedy_answers(base, model, rows, 10)
    labels = tuple(Label(str(ids), ids) for ids in ((11, 12, 13), (11, 14), (15, 12, 13, 16), (9,)))
    chosen, plainly = (
        [one.answer for one in each.evaluate([each.bare()], rows, AnswerRule(4, labels))[0].outcomes]
        for each in (engine, TrainerEngine(base))
    )
    assert chosen == plainly
    packed = [loss.nats for loss in engine.bare().losses(rows)]
    assert packed == pytest.approx([loss.nats for loss in completion_losses(base, model, rows)], abs=1e-4)
