"""Both programs of the speed comparison do the same work: the same arms, batches and scored examples, or nothing is timed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, TrainingArguments

from benchmarks.against_naive import keys
from benchmarks.peer import PeerTrial, trained_order, training_arguments
from benchmarks.same_work import (
    NotTheSame,
    SameWork,
    check_same,
    in_tune,
    lay_out_data,
    permuted,
    read_rows,
    without_template,
    write_rows,
)
from sweep.commands.app import composed_plan
from sweep.records import Arm, StudyPlan
from sweep.store.paths import Paths
from sweep.training.sources import find_model
from tests.conftest import ROWS

STEPS, BATCH, LONGEST = 5, 3, 60
TRIALS = [
    PeerTrial(
        {
            "r": 4,
            "alpha_ratio": 4,
            "dropout": 0.09636627605010294,
            "targets": "q_proj,v_proj",
            "learning_rate": 1.1e-05,
        },
        0.5,
    ),
    PeerTrial(
        {"r": 16, "alpha_ratio": 1, "dropout": 0.0, "targets": "q_proj,k_proj,v_proj,o_proj", "learning_rate": 0.01},
        0.4,
    ),
]


def encode(row: Mapping[str, str], tokenizer: Any, max_length: int) -> dict[str, list[int]]:
    """As a plain script does it."""
    prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
    answer = tokenizer(" " + row["completion"] + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return {"input_ids": (prompt + answer)[:max_length], "labels": ([-100] * len(prompt) + answer)[:max_length]}


@pytest.fixture
def data(made_task: Path) -> Path:
    rows = read_rows(made_task / "train.jsonl")
    write_rows(made_task / "train.jsonl", [{"prompt": "long " * LONGEST, "completion": "red"}, *rows])
    return made_task


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> TrainingArguments:
    return training_arguments(tmp_path_factory.mktemp("order"), STEPS, BATCH)


@pytest.fixture(scope="module")
def order(recipe: TrainingArguments) -> list[list[int]]:
    """A Trainer's, of as many rows as fit."""
    return trained_order(ROWS["train"], recipe)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a chat template, which the peer does not use."""
    paths = Paths(tmp_path_factory.mktemp("model"))
    folder = find_model(composed_plan(["model=tiny"]).setup.model, paths).folder
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    return folder


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    return AutoTokenizer.from_pretrained(model)


@pytest.fixture
def work(data: Path, tmp_path: Path, order: list[list[int]], tokenizer: Any) -> SameWork:
    return lay_out_data(
        data,
        tmp_path / "both",
        lambda row: len(encode(row, tokenizer, LONGEST + 1)["input_ids"]),
        LONGEST,
        12,
        {ROWS["train"]: order}.__getitem__,
    )


@pytest.fixture
def plan(work: SameWork, recipe: TrainingArguments, model: Path, tmp_path: Path) -> StudyPlan:
    plain = without_template(model, tmp_path / "plain")
    return composed_plan(keys("tiny", plain, work, TRIALS, [4, 8, 16], LONGEST, recipe))


@given(st.data())
def test_what_ours_takes_is_what_theirs_takes(drawn: st.DataObject) -> None:
    rows = [{"prompt": str(number)} for number in range(drawn.draw(st.integers(1, 12)))]
    some = st.permutations(range(len(rows)))
    taken = drawn.draw(st.integers(0, len(rows)))
    theirs, ours = drawn.draw(some)[:taken], drawn.draw(some)[:taken]
    made = permuted(rows, theirs, ours)
    assert [made[index] for index in ours] == [rows[index] for index in theirs]
    assert sorted(map(str, made)) == sorted(map(str, rows))


def test_a_second_pass_over_the_data_cannot_be_made_the_same() -> None:
    with pytest.raises(NotTheSame, match="gone through more than once"):
        permuted([{}, {}], [1, 0, 1], [0, 1, 1])


def test_a_trainer_s_order_is_shuffled_and_always_the_same(order: list[list[int]], recipe: TrainingArguments) -> None:
    taken = [row for step in order for row in step]
    assert [len(step) for step in order] == [BATCH] * STEPS
    assert len(set(taken)) == len(taken)
    assert taken != sorted(taken)
    assert trained_order(ROWS["train"], recipe) == order


def test_tokens_of_every_step_and_scored_example_are_the_same(plan: StudyPlan, work: SameWork, tokenizer: Any) -> None:
    assert work.left_out == {"train": 1, "validation": 0}
    assert check_same(plan, work, encode, tokenizer) == {
        "steps": STEPS,
        "examples_trained_on": STEPS * BATCH,
        "examples_scored": 12,
    }


@pytest.mark.parametrize(("split", "difference"), [("train", "step 1: "), ("validation", "score different examples")])
def test_other_rows_are_noticed(split: str, difference: str, plan: StudyPlan, work: SameWork, tokenizer: Any) -> None:
    file = work.ours / f"{split}.jsonl"
    write_rows(file, read_rows(file)[::-1])
    with pytest.raises(NotTheSame, match=difference):
        check_same(plan, work, encode, tokenizer)


def test_a_chat_template_is_noticed(plan: StudyPlan, work: SameWork, tokenizer: Any, model: Path) -> None:
    plain = Path(str(plan.setup.model.path))
    (plain / "chat_template.jinja").symlink_to(model / "chat_template.jinja")
    with pytest.raises(NotTheSame, match="different tokens"):
        check_same(plan, work, encode, tokenizer)


def test_validation_begins_with_what_is_scored(work: SameWork) -> None:
    rows = read_rows(work.theirs / "validation.jsonl")
    assert rows == read_rows(work.ours / "validation.jsonl")
    assert all(map(in_tune, rows[: work.scored]))
    assert not in_tune(rows[-1])


def test_the_command_asks_for_exactly_the_peer_s_trials(plan: StudyPlan) -> None:
    assert plan.search.trials == len(TRIALS)
    assert plan.search.arms == (
        Arm(4, 4.0, 0.09636627605010294, ("q_proj", "v_proj"), 1.1e-05),
        Arm(16, 1.0, 0.0, ("k_proj", "o_proj", "q_proj", "v_proj"), 0.01),
    )
    training = plan.training
    assert (training.steps, training.batch_size, training.gradient_accumulation) == (STEPS, BATCH, 1)
    assert (training.schedule, training.warmup_fraction, training.weight_decay) == ("constant", 0.0, 0.0)
    assert not plan.certify


def test_links_leave_the_model_as_it_is(model: Path, tmp_path: Path) -> None:
    before = json.loads((model / "tokenizer_config.json").read_text())
    plain = without_template(model, tmp_path / "plain")
    assert AutoTokenizer.from_pretrained(plain).chat_template is None
    assert AutoTokenizer.from_pretrained(model).chat_template is not None
    assert json.loads((model / "tokenizer_config.json").read_text()) == before
