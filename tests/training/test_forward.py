"""Losses and answers do not depend on batching, and equal a direct computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sweep.records import TrialSpec
from sweep.training.adapters import detach
from sweep.training.base_model import LoadedBase
from sweep.training.batches import Collator
from sweep.training.encoding import Encoded, Encoder
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.trainer_engine import train
from tasks import Example

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Loader = Callable[[str], LoadedBase]


def plain_loss(base: LoadedBase, item: Encoded) -> float:
    """One example, no padding, all logits."""
    with torch.no_grad():
        logits = base.model(torch.tensor([item.prompt + item.completion])).logits[0].double()
    chosen = torch.log_softmax(logits, dim=-1)
    start = len(item.prompt)
    return -sum(float(chosen[start + place - 1, token]) for place, token in enumerate(item.completion))


@pytest.mark.parametrize("keeps_logits", [True, False])
def test_losses_equal_a_direct_computation(load_tiny: Loader, encoded: list[Encoded], keeps_logits: bool) -> None:
    base = load_tiny("none")
    collator = Collator(base.tokenizer.pad_token_id, keeps_logits=keeps_logits, takes_positions=True)
    for item, loss in zip(
        encoded, completion_losses(replace(base, collator=collator), base.model, encoded), strict=True
    ):
        assert loss.tokens == len(item.completion)
        assert loss.nats == pytest.approx(plain_loss(base, item), abs=1e-3)


def test_training_loss_is_the_mean_over_completion_tokens(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    batch = base.collator(encoded[:3])
    with torch.no_grad():
        loss = float(base.model(**batch).loss)
    tokens = sum(len(item.completion) for item in encoded[:3])
    assert loss == pytest.approx(sum(plain_loss(base, item) for item in encoded[:3]) / tokens, abs=1e-4)


def test_answers_do_not_depend_on_neighbours(load_tiny: Loader, encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    together = greedy_answers(base, base.model, encoded, 5)
    alone = [greedy_answers(base, base.model, [item], 5)[0] for item in encoded]
    assert together == alone


class TestEncoding:
    def test_without_a_template_the_completion_ends_with_the_end_of_sequence(self, load_tiny: Loader) -> None:
        tokenizer = load_tiny("none").tokenizer
        item = Encoder(tokenizer, None).encode(Example("Say hi", "hi"))
        assert tokenizer.decode(item.completion) == " hi<eos>"
        assert tokenizer.decode(item.prompt).endswith("Say hi")

    def test_with_a_template_prompt_and_completion_are_rendered_by_it(self, load_tiny: Loader) -> None:
        tokenizer = load_tiny("none").tokenizer
        kept = tokenizer.chat_template
        tokenizer.chat_template = (
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}"
        )
        try:
            item = Encoder(tokenizer, "Be brief").encode(Example("Say hi", "hi"))
        finally:
            tokenizer.chat_template = kept
        assert tokenizer.decode(item.prompt) == "[system]Be brief<eos>\n[user]Say hi<eos>\n[assistant]"
        assert tokenizer.decode(item.completion) == "hi<eos>"

    def test_without_a_system_role_the_system_prompt_precedes_the_prompt(self, load_tiny: Loader) -> None:
        tokenizer = load_tiny("none").tokenizer
        kept = tokenizer.chat_template
        tokenizer.chat_template = (
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
            "[{{ m.role }}]{{ m.content }}<eos>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
        )
        try:
            item = Encoder(tokenizer, "Be brief").encode(Example("Say hi", "hi"))
        finally:
            tokenizer.chat_template = kept
        assert tokenizer.decode(item.prompt) == "[user]Be brief\n\nSay hi<eos>[assistant]"

    def test_too_long_examples_are_left_out_and_numbered(self, load_tiny: Loader) -> None:
        split = Encoder(load_tiny("none").tokenizer, None).encode_split(
            [Example("a", "b"), Example("a" * 200, "b"), Example("c", "d")], 50
        )
        assert split.too_long == (2,)
        assert len(split.examples) == 2

    @pytest.mark.parametrize(("way", "kept"), [("truncate_left", "eighteen nineteen"), ("truncate_right", "zero one")])
    def test_long_prompts_lose_one_end_within_the_template(self, load_tiny: Loader, way: str, kept: str) -> None:
        words = "zero one two three four five six seven eight nine ten eleven twelve thirteen eighteen nineteen"
        examples = [Example("a", "b"), Example(words, "answer"), Example("a", "b" * 200)]
        encoder = Encoder(load_tiny("none").tokenizer, None)
        split = encoder.encode_split(examples, 60, way)
        assert (split.shortened, split.too_long) == ((2,), (3,))
        short = split.examples[1]
        assert short.example == examples[1]  # identified by what it was
        assert 40 < len(short) <= 60
        text = load_tiny("none").tokenizer.decode(short.prompt)
        assert kept in text
        assert short.completion == encoder.encode(examples[1]).completion

    def test_turns_of_a_chat_are_rendered_by_the_template(self, load_tiny: Loader) -> None:
        tokenizer = load_tiny("none").tokenizer
        kept = tokenizer.chat_template
        turns = (("system", "Own"), ("user", "one"), ("assistant", "two"))
        example = Example("three", "four", history=turns)
        assert tokenizer.decode(Encoder(tokenizer, None).encode(example).prompt).endswith("Own\n\none\n\ntwo\n\nthree")
        tokenizer.chat_template = (
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}"
        )
        try:
            encoder = Encoder(tokenizer, "Be brief")
            item = encoder.encode(example)
            short = encoder.encode_split([example], len(item) - 1, "truncate_left").examples[0]
        finally:
            tokenizer.chat_template = kept
        prompt = tokenizer.decode(item.prompt)
        assert prompt == "[system]Own<eos>[user]one<eos>[assistant]two<eos>[user]three<eos>[assistant]"
        assert tokenizer.decode(item.completion) == "four<eos>"  # the loss covers the last turn alone
        assert tokenizer.decode(short.prompt) == "[system]Own<eos>[user]three<eos>[assistant]"


def test_answers_known_from_losses_equal_decoded_answers(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base = load_tiny("none")
    adapted = train(base, spec(rank=32, steps=60, rate=5e-3, targets=ALL), encoded[:2], lambda model, step: None)
    losses = completion_losses(base, adapted, encoded)
    answers = greedy_answers(base, adapted, encoded, 12)
    detach(adapted)
    known = [loss.is_greedy_answer for loss in losses]
    assert 0 < sum(known) < len(known)
    assert known == [answer == item.example.completion for answer, item in zip(answers, encoded, strict=True)]
