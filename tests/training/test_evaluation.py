"""Losses and answers of several adapters in shared passes equal those of plain passes, with each engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import TrialSpec
from sweep.training import forward
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted, Engine, open_engine
from sweep.training.forward import SCORE_LOGITS, SCORE_TOKENS, completion_losses, examples_at_once
from sweep.training.packed import evaluator
from sweep.training.packed.engine import PackedEngine, SlotAdapted
from sweep.training.scored import AnswerRule, CompletionLoss, Label, is_most_likely, most_likely
from tasks import Example

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]


def labels_of(encoded: list[Encoded]) -> tuple[Label, ...]:
    return tuple(Label(item.example.completion, item.completion) for item in encoded)


def like_family(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    """Labels with common beginnings; one is a single token, one is a prefix of another."""
    first, second = labels[0].ids, labels[1].ids
    made = [first, (*first[:-1], *second), first[:1], (*first[:-1], second[0]), second, (*second, *first)]
    return tuple(Label(f"label {number}", ids) for number, ids in enumerate(dict.fromkeys(made)))


def by_plain_passes(base: LoadedBase, encoded: list[Encoded], labels: tuple[Label, ...]) -> list[str]:
    """The most likely label, from one plain pass per prompt and label."""
    answers = []
    for item in encoded:
        losses = completion_losses(base, base.model, [replace(item, completion=label.ids) for label in labels])
        answers.append(min(zip(losses, labels, strict=True), key=lambda pair: pair[0].nats)[1].text)
    return answers


@pytest.fixture(params=["packed", "trainer"])
def engine(request: pytest.FixtureRequest, load_tiny: Loader, encoded: list[Encoded]) -> Engine:
    opened, _ = open_engine(request.param, load_tiny("none"), encoded[:3])
    return opened


@pytest.fixture
def packed(load_tiny: Loader, encoded: list[Encoded]) -> PackedEngine:
    return PackedEngine(load_tiny("none"), encoded[:3])


@pytest.fixture
def adapters(packed: PackedEngine, encoded: list[Encoded], spec: Maker) -> list[Adapted]:
    """The base alone and three adapters, two of which have learned some answers."""
    for rank, steps in ((2, 25), (8, 25), (4, 5)):
        packed.begin(spec(rank, seed=rank, steps=steps, targets=("q_proj", "down_proj")), encoded, lambda *_: None)
    over = []
    while more := packed.advance():
        over += more
    while len(over) < 3:
        over += packed.advance()
    return [packed.bare(), *(each.adapted for each in over if each.adapted is not None)]


@pytest.mark.parametrize("make", [tuple, like_family])
def test_the_answer_is_the_most_likely_label(
    engine: Engine,
    load_tiny: Loader,
    encoded: list[Encoded],
    make: Callable[[tuple[Label, ...]], tuple[Label, ...]],
) -> None:
    labels = make(labels_of(encoded))
    (scores,) = engine.score([engine.bare()], encoded, AnswerRule(4, labels))
    assert list(scores.answers or ()) == by_plain_passes(load_tiny("none"), encoded, labels)
    assert set(scores.seconds) == {"score", "answer"}


def test_labels_of_one_token_each(engine: Engine, load_tiny: Loader, encoded: list[Encoded]) -> None:
    labels = tuple(Label(f"label {token}", (token,)) for token in range(5, 40))
    (scores,) = engine.score([engine.bare()], encoded, AnswerRule(4, labels))
    assert list(scores.answers or ()) == by_plain_passes(load_tiny("none"), encoded, labels)


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=6))
def test_a_probability_above_one_half_is_the_largest(encoded: list[Encoded], weights: list[float]) -> None:
    labels = labels_of(encoded)[: len(weights)]
    nats = [-math.log(weight / math.fsum(weights)) for weight in weights]
    for item, label, own in zip(encoded, labels, nats, strict=False):
        if is_most_likely(item, CompletionLoss(own, 3), labels):
            assert most_likely(labels, nats) == label.text
        # a completion that is not a label cannot be the answer
        others = tuple(other for other in labels if other != label)
        assert not is_most_likely(item, CompletionLoss(own, 3), others)
    assert is_most_likely(encoded[0], CompletionLoss(0.5, 3), labels)


@pytest.mark.parametrize("by", ["decoding", "labels", "losses alone"])
@pytest.mark.parametrize("tokens", [40, 200, 4096])
def test_evaluating_together_equals_evaluating_alone(
    packed: PackedEngine,
    adapters: list[Adapted],
    encoded: list[Encoded],
    by: str,
    tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = {
        "decoding": AnswerRule(5),
        "labels": AnswerRule(5, labels_of(encoded)),
        "losses alone": None,
    }[by]
    alone = [packed.score([adapter], encoded, rule)[0] for adapter in adapters]
    monkeypatch.setattr(forward, "SCORE_TOKENS", tokens)
    monkeypatch.setattr(evaluator, "CACHED_TOKENS", 2 * tokens)
    reported: list[tuple[str, int]] = []
    together = packed.score(adapters, encoded, rule, lambda phase, done: reported.append((phase, done)))
    for one, other in zip(together, alone, strict=True):
        assert one.answers == other.answers
        assert [loss.nats for loss in one.losses] == pytest.approx([loss.nats for loss in other.losses], abs=1e-4)
    assert ("score", len(encoded)) in reported
    assert (("answer", len(encoded)) in reported) == (rule is not None)
    assert len({scores.losses[0].nats for scores in together}) == len(adapters), "adapters have different losses"


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=20),
    st.integers(1, 16),
)
def test_an_evaluation_pass_is_limited_in_tokens_and_in_logits(lengths: list[tuple[int, int]], adapters: int) -> None:
    examples = [Encoded(Example(prompt="", completion=""), (0,) * prompt, (0,) * words) for prompt, words in lengths]
    count = examples_at_once(examples, adapters)
    assert count >= 1
    if count > 1:
        assert adapters * count * max(prompt + words for prompt, words in lengths) <= SCORE_TOKENS
        assert adapters * count * max(words for _, words in lengths) <= SCORE_LOGITS


@pytest.mark.parametrize("most", [1, 2, 3, 12])
def test_decoding_continues_from_the_part_that_agrees(
    load_tiny: Loader, packed: PackedEngine, adapters: list[Adapted], encoded: list[Encoded], most: int
) -> None:
    """Answers do not depend on the expected completions, whose cached part is reused."""
    unrelated = [replace(item, completion=(7, *item.completion)) for item in encoded]
    # completions that agree with the answer at first and differ later
    (decoded,) = packed.score([adapters[1]], unrelated, AnswerRule(most))
    tokenizer = load_tiny("none").tokenizer
    partly = [
        replace(
            item, completion=(*tokenizer(f" {answer}", add_special_tokens=False)["input_ids"][:1], *item.completion)
        )
        for item, answer in zip(encoded, decoded.answers or (), strict=True)
    ]
    for expected in (encoded, partly):
        (scores,) = packed.score([adapters[1]], expected, AnswerRule(most))
        asked = [len(item.completion) <= most for item in expected]
        pairs = zip(scores.answers or (), decoded.answers or (), strict=True)
        assert [one == other for one, other in pairs].count(True) == len(asked)


def test_nan_of_one_adapter_does_not_affect_others(
    packed: PackedEngine, adapters: list[Adapted], encoded: list[Encoded]
) -> None:
    ill = adapters[1]
    assert isinstance(ill, SlotAdapted)
    assert ill.adapter is not None
    alone = packed.score([adapters[2]], encoded, AnswerRule(4))[0]
    with torch.no_grad():
        ill.adapter.vectors[1].fill_(float("nan"))
    broken, well = packed.score([ill, adapters[2]], encoded, AnswerRule(4))
    assert all(loss.nats != loss.nats for loss in broken.losses)
    assert well.answers == alone.answers
    assert [loss.nats for loss in well.losses] == pytest.approx([loss.nats for loss in alone.losses], abs=1e-4)
