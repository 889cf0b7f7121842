"""Losses and answers of several adapters in shared passes equal those of plain passes, with each engine."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.batches import PassLimit, in_batches, pass_limits, run_in_batches, shortest_first
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, Engine
from sweep.training.engines import open_engine
from sweep.training.forward import EVALUATION_LOGITS, EVALUATION_TOKENS, completion_losses
from sweep.training.losses_and_answers import (
    AdapterOutcomes,
    AnswerRule,
    CompletionLoss,
    Label,
    is_most_likely,
    most_likely,
)
from sweep.training.packed import attention, evaluator
from sweep.training.packed.engine import PackedEngine, SlotAdaptedModel
from sweep.training.packed.evaluation_sizes import ON_A_CPU, ON_A_GPU, EvaluationSizes, evaluation_sizes
from tasks import Example

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]


def answers_of(result: AdapterOutcomes) -> list[str | None]:
    return [one.answer for one in result.outcomes]


def nats_of(result: AdapterOutcomes) -> list[float]:
    return [one.nats for one in result.outcomes]


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
def adapters(packed: PackedEngine, encoded: list[Encoded], spec: Maker) -> list[AdaptedModel]:
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
    (result,) = engine.evaluate([engine.bare()], encoded, AnswerRule(4, labels))
    assert answers_of(result) == by_plain_passes(load_tiny("none"), encoded, labels)
    assert set(result.seconds) == {"score", "answer"}


def test_answers_are_compared_with_those_of_their_kind(
    packed: PackedEngine, load_tiny: Loader, encoded: list[Encoded], adapters: list[AdaptedModel]
) -> None:
    labels = like_family(labels_of(encoded))
    kinds = tuple(place % 2 for place in range(len(labels)))
    items = [
        replace(item, completion=label.ids, example=replace(item.example, completion=label.text))
        for item, label in zip(encoded, labels, strict=False)
    ]
    wanted = []
    for item, label, kind in zip(items, labels, kinds, strict=False):
        own = tuple(other for other, its in zip(labels, kinds, strict=True) if its == kind)
        (answer,) = by_plain_passes(load_tiny("none"), [item], own)
        wanted.append(answer == label.text)
    assert len(set(wanted)) == 2, "some are right and some wrong, so the test can fail"
    rule = AnswerRule(4, labels, kinds)
    trainer, _ = open_engine("trainer", load_tiny("none"), encoded[:3])
    for engine in (packed, trainer):
        (result,) = engine.evaluate([engine.bare()], items, rule)
        assert right(items, result) == wanted
    together = packed.evaluate(adapters, items, rule)
    assert [right(items, one) for one in together] == [
        right(items, packed.evaluate([adapter], items, rule)[0]) for adapter in adapters
    ]


def right(items: list[Encoded], result: AdapterOutcomes) -> list[bool]:
    return [answer == item.example.completion for answer, item in zip(answers_of(result), items, strict=True)]


def test_labels_of_one_token_each(engine: Engine, load_tiny: Loader, encoded: list[Encoded]) -> None:
    labels = tuple(Label(f"label {token}", (token,)) for token in range(5, 40))
    (result,) = engine.evaluate([engine.bare()], encoded, AnswerRule(4, labels))
    assert answers_of(result) == by_plain_passes(load_tiny("none"), encoded, labels)


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
    adapters: list[AdaptedModel],
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
    alone = [packed.evaluate([adapter], encoded, rule)[0] for adapter in adapters]
    monkeypatch.setattr(evaluator, "evaluation_sizes", lambda device: EvaluationSizes(tokens, 1024, 2 * tokens))
    reported: list[tuple[str, int]] = []
    together = packed.evaluate(adapters, encoded, rule, lambda phase, done: reported.append((phase, done)))
    for one, other in zip(together, alone, strict=True):
        assert answers_of(one) == answers_of(other)
        assert nats_of(one) == pytest.approx(nats_of(other), abs=1e-4)
    assert ("score", len(encoded)) in reported
    assert (("answer", len(encoded)) in reported) == (rule is not None)
    assert len({nats_of(one)[0] for one in together}) == len(adapters), "adapters have different losses"


def of_lengths(lengths: list[tuple[int, int]]) -> list[Encoded]:
    """Examples with prompts and completions of these numbers of tokens."""
    return [
        Encoded(Example(prompt="", completion=""), (number, *(0,) * (prompt - 1)), (0,) * words)
        for number, (prompt, words) in enumerate(lengths)
    ]


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=20),
    st.integers(1, 16),
)
def test_an_evaluation_pass_is_limited_in_tokens_and_in_logits(lengths: list[tuple[int, int]], adapters: int) -> None:
    examples = of_lengths(lengths)
    order = shortest_first(examples)
    limits = pass_limits(examples, EVALUATION_TOKENS, EVALUATION_LOGITS, adapters)
    batches = list(in_batches(order, limits))
    assert [index for batch in batches for index in batch] == order, "each example once, by length"

    def fits(batch: list[int]) -> bool:
        own = [examples[index] for index in batch]
        return (
            adapters * len(own) * max(map(len, own)) <= EVALUATION_TOKENS
            and adapters * len(own) * max(len(item.completion) for item in own) <= EVALUATION_LOGITS
        )

    assert all(len(batch) == 1 or fits(batch) for batch in batches)
    assert not any(fits([*batch, later[0]]) for batch, later in itertools.pairwise(batches)), "full passes"


@pytest.mark.parametrize("with_answers", [True, False])
def test_one_long_example_has_a_pass_of_its_own(with_answers: bool) -> None:
    examples = of_lengths([(1996, 4), *[(96, 4)] * 199])
    groups = list(evaluator.evaluation_batches(examples, 2, with_answers=with_answers))
    sizes = [len(batch) for group in groups for batch in group]
    assert sizes == [20] * 9 + [19, 1]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 12), st.integers(1, 400))
def test_memory_that_runs_out_halves_the_passes_down_to_one_example(widths: list[int], most: int, tokens: int) -> None:
    done: list[int] = []
    tried: list[int] = []

    def run(batch: list[int]) -> None:
        tried.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        done.extend(batch)

    run_in_batches(range(len(widths)), [PassLimit(tokens, widths)], run)
    assert done == list(range(len(widths)))
    for size, later in itertools.pairwise(tried):
        assert size <= most or 2 * later <= size, "after a failure, at most half as many"


def test_only_lack_of_memory_is_tried_again() -> None:
    tried: list[list[int]] = []

    def run(batch: list[int]) -> None:
        tried.append(batch)
        raise ValueError("of another kind")

    with pytest.raises(ValueError, match="of another kind"):
        run_in_batches(range(4), [PassLimit(4, [1] * 4)], run)
    assert tried == [[0, 1, 2, 3]]


@contextmanager
def passes_of_at_most(base: LoadedBase, most: int, phases: tuple[str, ...]) -> Iterator[list[int]]:
    """Within the block, a pass over more sequences than `most` runs out of memory; yields their numbers in those passes."""
    failed: list[int] = []

    def fail(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        sequences, tokens = arguments[0].shape[:2]
        phase = "answer" if tokens == 1 else "score"
        if attention._passes:
            layout = attention._passes[-1].layout
            decoding = layout.tables[0].queries.shape[1] == 1
            phase = "score" if layout.completions and not decoding else "answer"
            sequences = len(layout.completions) or len(layout.tables[0].queries)
        if phase in phases and sequences > most:
            failed.append(sequences)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = base.model.get_submodule(base.linear_modules[0]).register_forward_pre_hook(fail)
    try:
        yield failed
    finally:
        handle.remove()


@pytest.mark.parametrize("by", ["decoding", "labels", "losses alone"])
@pytest.mark.parametrize("phases", [("score",), ("answer",), ("score", "answer")])
def test_an_adapter_that_does_not_fit_with_many_examples_is_evaluated_with_few(
    engine: Engine, load_tiny: Loader, encoded: list[Encoded], by: str, phases: tuple[str, ...]
) -> None:
    rules = {"decoding": AnswerRule(5), "labels": AnswerRule(5, like_family(labels_of(encoded))), "losses alone": None}
    (whole,) = engine.evaluate([engine.bare()], encoded, rules[by])
    base = load_tiny("none")
    with passes_of_at_most(base, 1, phases) as failed:
        (halved,) = engine.evaluate([engine.bare()], encoded, rules[by])
    answers_apart = by == "decoding" or (by == "labels" and isinstance(engine, PackedEngine))
    assert bool(failed) == ("score" in phases or answers_apart)
    assert answers_of(halved) == answers_of(whole)
    assert nats_of(halved) == pytest.approx(nats_of(whole), abs=1e-4)
    if failed:
        with passes_of_at_most(base, 0, phases), pytest.raises(torch.OutOfMemoryError):
            engine.evaluate([engine.bare()], encoded, rules[by])


def test_a_gpu_evaluates_more_at_once() -> None:
    examples = [Encoded(Example(prompt="", completion=""), (0,) * 60, (0,) * 4)] * 2000
    assert evaluation_sizes(torch.device("cpu")) is ON_A_CPU
    assert evaluation_sizes(torch.device("cuda", 1)) is ON_A_GPU
    groups, larger = (
        list(evaluator.evaluation_batches(examples, 2, sizes, with_answers=True)) for sizes in (ON_A_CPU, ON_A_GPU)
    )
    assert max(len(indices) for group in larger for indices in group) * 2 * 64 <= ON_A_GPU.tokens
    assert len(groups) >= 3 * len(larger)


@pytest.mark.parametrize("most", [1, 2, 3, 12])
def test_decoding_continues_from_the_part_that_agrees(
    load_tiny: Loader, packed: PackedEngine, adapters: list[AdaptedModel], encoded: list[Encoded], most: int
) -> None:
    """Answers do not depend on the expected completions, whose cached part is reused."""
    unrelated = [replace(item, completion=(7, *item.completion)) for item in encoded]
    # completions that agree with the answer at first and differ later
    (decoded,) = packed.evaluate([adapters[1]], unrelated, AnswerRule(most))
    tokenizer = load_tiny("none").tokenizer
    partly = [
        replace(
            item, completion=(*tokenizer(f" {answer}", add_special_tokens=False)["input_ids"][:1], *item.completion)
        )
        for item, answer in zip(encoded, answers_of(decoded), strict=True)
    ]
    for expected in (encoded, partly):
        (result,) = packed.evaluate([adapters[1]], expected, AnswerRule(most))
        asked = [len(item.completion) <= most for item in expected]
        pairs = zip(answers_of(result), answers_of(decoded), strict=True)
        assert [one == other for one, other in pairs].count(True) == len(asked)


def test_nan_of_one_adapter_does_not_affect_others(
    packed: PackedEngine, adapters: list[AdaptedModel], encoded: list[Encoded]
) -> None:
    ill = adapters[1]
    assert isinstance(ill, SlotAdaptedModel)
    assert ill.adapter is not None
    alone = packed.evaluate([adapters[2]], encoded, AnswerRule(4))[0]
    with torch.no_grad():
        ill.adapter.vectors[1].fill_(float("nan"))
    broken, well = packed.evaluate([ill, adapters[2]], encoded, AnswerRule(4))
    assert all(math.isnan(nats) for nats in nats_of(broken))
    assert answers_of(well) == answers_of(alone)
    assert nats_of(well) == pytest.approx(nats_of(alone), abs=1e-4)
