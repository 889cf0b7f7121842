"""Replay, decay towards the base and early stopping in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError, DataError
from sweep.records import Stage, TrialSpec
from sweep.tracking import names
from sweep.training.splits import problems_of


def problems(*overrides: str, searches: bool = False) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(overrides, searches=searches)
    return caught.value.problems


def test_values_reach_the_recipe_and_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = composed_plan(
        ["train.replay=0.25", "train.replay_path=own.txt", "train.early_stopping=8", "train.patience=1"]
    )
    assert (plan.training.replay, plan.training.early_stopping, plan.training.patience) == (0.25, 8, 1)
    assert plan.setup.task.replay == str(tmp_path / "own.txt")
    assert composed_plan(["train.replay=0.25"]).setup.task.replay == ""
    assert composed_plan([]).setup.task.replay is None


def test_mistakes_are_reported_at_once() -> None:
    found = problems(
        *("train.replay=0.6", "train.decay_to_base=-1", "train.early_stopping=100", "train.patience=0", "lora.r=0"),
        searches=True,
    )
    starts = (
        "train.replay=0.6: must be from 0 to 0.5",
        "train.decay_to_base=-1.0: must be",
        "train.early_stopping=100: with train.steps=100 there is no look before the end; write 20",
        "train.patience=0: must be",
        "lora.r=0",
    )
    for start in starts:
        assert any(problem.startswith(start) for problem in found), (start, found)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train.replay_path=own.txt"], ("train.replay_path=own.txt: has no effect", "write train.replay=0.25")),
        (["train.patience=4"], ("train.patience=4: has no effect", "train.early_stopping=8")),
        (["train.decay_to_base=2", "train.weight_decay=0.1"], ("train.decay_to_base=2", "towards zero", "leave one")),
        (["train.decay_to_base=500"], ("train.decay_to_base=500", "train.learning_rate=0.003", "write 333 at most")),
        (["train.decay_to_base=200"], ("search.space.learning_rate.high=0.01", "write 100 at most")),
        (
            ["method=prompt_tuning", "train.decay_to_base=1"],
            ("method=prompt_tuning", "from the start", "write method=lora"),
        ),
        (["method=adalora", "train.early_stopping=8"], ("method=adalora", "over all steps", "leave it out")),
    ],
)
def test_what_has_no_effect_or_cannot_be_combined(words: list[str], parts: tuple[str, ...]) -> None:
    (problem,) = problems(*words)
    for part in parts:
        assert part in problem


def test_methods_of_a_search_and_arms_of_a_ladder_are_checked() -> None:
    (problem,) = problems("search.space.method=[lora,adalora]", "certify=none", "train.early_stopping=8", searches=True)
    assert "method=adalora cannot be combined with train.early_stopping=8" in problem
    (problem,) = problems(
        "certify.ladder=[{method: prompt_tuning}, {method: lora, r: 8}]", "train.decay_to_base=1", searches=True
    )
    assert "arm 1: method=prompt_tuning cannot be combined with train.decay_to_base=1" in problem


def test_a_file_is_read_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "one"}\n{"txt": "two"}\n')
    with pytest.raises(DataError) as caught:
        composed_plan(["train.replay=0.1", f"train.replay_path={tmp_path}/own.jsonl"], problems_of, searches=False)
    assert caught.value.problems == (
        f'{tmp_path}/own.jsonl:2: needs a field "text" with the passage, as in {{"text": "..."}}',
    )
    with pytest.raises(DataError) as caught:
        composed_plan(
            [
                "task=jsonl",
                f"task.path={tmp_path}",
                "task.metric=exact_match",
                "train.replay=0.1",
                "train.replay_path=missing",
            ],
            problems_of,
            searches=False,
        )
    assert "train.replay_path=" in caught.value.problems[-1]
    assert len(caught.value.problems) > 1, "with the problems of the task's own data"


def test_mlflow_has_them_as_params() -> None:
    plan = composed_plan(["train.replay=0.25", "train.early_stopping=8"], searches=False)
    params = names.params_of(TrialSpec("", "s", Stage.SINGLE, plan.arm, plan.training, 0))
    assert (params["train.replay"], params["train.early_stopping"], params["train.patience"]) == ("0.25", "8", "2")
    assert "train.decay_to_base" not in params
