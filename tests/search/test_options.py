"""Options that Optuna rejects are reported before anything is loaded or written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.search.options import option_problems


def problems(*overrides: str) -> tuple[str, ...]:
    plan = composed_plan(overrides)
    return option_problems(plan.search, plan.training)


@pytest.mark.parametrize(
    "word",
    [
        "search.sampler_options.n_startup_trial=3",
        "search.sampler_options={n_startup_trial:3}",
        "+search.sampler_options.n_startup_trial=3",
        "++search.sampler_options={n_startup_trial: {a: 1}}",
    ],
)
def test_an_unknown_option_is_reported_with_the_nearest_in_any_syntax(word: str) -> None:
    (problem,) = problems(word)
    assert problem.startswith(
        "search.sampler_options.n_startup_trial: tpe has no such option; did you mean 'n_startup_trials'? (known: "
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["search.sampler_options.n_startup_trials=abc"],
            "sampler_options: Optuna cannot work with n_startup_trials=abc",
        ),
        (["search.sampler_options.gamma=3"], "sampler_options: Optuna cannot work with gamma=3"),
        (["sampler=qmc", "search.sampler_options.qmc_type=abc"], "sampler_options: The `qmc_type='abc'` is invalid"),
        (["pruner=hyperband", "search.pruner_options.reduction_factor=0"], "pruner_options: Optuna cannot work with"),
        (["pruner=percentile", "search.pruner_options.percentile=200"], "pruner_options: Percentile must be"),
        (["search.pruner_options.n_startup_trials=2"], "pruner_options.n_startup_trials: none has no such option"),
    ],
)
def test_values_that_optuna_rejects(words: list[str], message: str) -> None:
    (problem,) = problems(*words)
    assert problem.startswith(f"search.{message}")


@pytest.mark.parametrize(
    "words",
    [
        ["search.sampler_options={n_startup_trials: 2, multivariate: false}"],
        ["sampler=nsga2", "search.sampler_options.population_size=4"],
        ["pruner=hyperband", "search.pruner_options.reduction_factor=3", "train.steps=1"],
        ["pruner=wilcoxon", "search.pruner_options.p_threshold=0.2"],
    ],
)
def test_options_that_optuna_accepts(words: list[str]) -> None:
    assert problems(*words) == ()


def test_all_mistakes_are_reported_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    words = ["search.sampler_options={foo: 1}", "search.pruner_options.bar=2", "lora.r=0"]
    ended = subprocess.run(
        [sys.executable, "-m", "sweep", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    starts = ("lora.r=0: ", "search.sampler_options.foo: tpe has", "search.pruner_options.bar: none has")
    lines = ended.stderr.splitlines()[1:]
    assert all(line.removeprefix("  - ").startswith(start) for line, start in zip(lines, starts, strict=True))
    assert list(tmp_path.iterdir()) == []
