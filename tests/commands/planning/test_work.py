"""How much passes compute."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.work import (
    Rows,
    answering_work,
    padding,
    rows_of,
    scoring_work,
    shared_prefix,
    training_work,
    virtual_tokens,
)
from sweep.training.encoding import Encoded
from tasks import Example
from tests.conftest import arm

FACTS = BaseFacts(parameters=150, body=100, head=10)


def encoded(prompt: tuple[int, ...], completion: int) -> Encoded:
    return Encoded(Example("p", "c"), prompt, tuple(range(completion)))


ONE = encoded((1, 2, 3, 4), 2)
OTHER = encoded((1, 2, 5, 6, 7), 3)


def test_the_common_beginning_leaves_each_prompt_a_token() -> None:
    assert shared_prefix([ONE, OTHER]) == 2
    assert shared_prefix([ONE, ONE]) == 3
    assert shared_prefix([ONE]) == 0


def test_a_pack_computes_the_common_beginning_once() -> None:
    rows = rows_of([ONE, OTHER], 2, packed=True)
    assert (rows.tokens, rows.predictions, rows.longest, rows.prompts) == (6 + 8 - 2 - 2, 5, 3, 9)


def test_the_trainer_pads() -> None:
    assert padding([ONE, OTHER], 2) == pytest.approx(16 / 14)
    assert rows_of([ONE, OTHER], 2, packed=False).tokens == pytest.approx(16)
    assert rows_of([], 2, packed=False) == Rows(0, 0, 0)


def test_as_many_examples() -> None:
    assert Rows(10, 4, 2, 6, 3).first(6) == Rows(30, 12, 6, 18, 3)


def test_training_costs_twice_as_much_as_scoring_and_all_weights_three_times() -> None:
    rows = Rows(10, 4, 2)
    assert scoring_work(FACTS, rows) == 2 * (100 * 10 + 10 * 4)
    assert training_work(FACTS, rows, arm(8)) == 2 * scoring_work(FACTS, rows)
    assert training_work(FACTS, rows, replace(arm(0, targets=()), method="full")) == 3 * scoring_work(FACTS, rows)


def test_virtual_tokens_pass_the_layers() -> None:
    prompt = replace(arm(0, targets=()), method="prompt_tuning", own=(("tokens", 16),))
    assert virtual_tokens(prompt) == 16
    assert (virtual_tokens(arm(8)), virtual_tokens(None)) == (0, 0)
    assert scoring_work(FACTS, Rows(10, 4, 2), prompt) == 2 * (100 * (10 + 32) + 10 * 4)


def test_the_base_writes_until_it_is_stopped_and_labels_are_compared() -> None:
    rows = Rows(10, 4, 2, 6, 3)
    adapter = answering_work(FACTS, rows, labels=0, adapted=True, packed=True)
    base = answering_work(FACTS, rows, labels=0, adapted=False, packed=True)
    assert (adapter, base) == (2 * 110 * 4, 2 * 110 * 6)
    assert answering_work(FACTS, rows, labels=7, adapted=True, packed=True) == 2 * 110 * 14
    assert answering_work(FACTS, rows, labels=0, adapted=True, packed=False) == adapter + 2 * 100 * 6
