"""`train.epochs` instead of `train.steps`, and `lora.alpha` instead of `lora.alpha_ratio`."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest
import yaml

from sweep.commands.app import composed_plan
from sweep.config.load import UNKNOWN_STEPS, plan_of_record, with_steps
from sweep.errors import ConfigurationError
from sweep.records import StudyPlan
from sweep.store.identity import study_identity


def write_study(folder: Path, text: str) -> None:
    (folder / "conf" / "study").mkdir(parents=True)
    (folder / "conf/study/mine.yaml").write_text(f"# @package _global_\n{text}")


class TestEpochs:
    @pytest.mark.parametrize(
        ("words", "examples", "steps"),
        [
            (["train.epochs=2"], 10, 5),
            (["train.epochs=1"], 10, 3),
            (["train.epochs=3", "train.gradient_accumulation=2"], 10, 4),
            (["train.epochs=0.5", "train.batch_size=1"], 10, 5),
            (["train.epochs=0.1", "train.batch_size=1"], 30, 3),
            (["train.epochs=0.001"], 10, 1),
        ],
    )
    def test_they_are_resolved_to_steps(self, words: list[str], examples: int, steps: int) -> None:
        plan = composed_plan(words)
        assert plan.training.steps == UNKNOWN_STEPS
        resolved = with_steps(plan, examples)
        assert (resolved.training.steps, resolved.epochs) == (steps, None)

    def test_the_study_is_the_same_as_with_these_steps(self) -> None:
        by_epochs, by_steps = with_steps(composed_plan(["train.epochs=2"]), 10), composed_plan(["train.steps=5"])
        assert by_epochs == by_steps
        assert study_identity(by_epochs, "data") == study_identity(by_steps, "data")
        assert plan_of_record(by_epochs.config) == by_epochs

    @pytest.mark.parametrize(
        ("run", "module", "calls"),
        [
            pytest.param("study", "sweep.commands.study", "sweep.study.run.run_study", marks=pytest.mark.slow),
            ("trial", "sweep.commands.train", "sweep.study.single.train_single"),
            ("run", "sweep.commands.python_api", "sweep.commands.python_api.run_study"),
            ("train", "sweep.commands.python_api", "sweep.commands.python_api.train_single"),
        ],
    )
    def test_every_command_resolves_them(
        self, run: str, module: str, calls: str, made_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Reached(Exception):
            pass

        def stop(plan: StudyPlan, *_: object) -> None:
            raise Reached(plan.training.steps)

        monkeypatch.chdir(tmp_path)
        command = getattr(importlib.import_module(module), run)
        monkeypatch.setattr(calls, stop)
        words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "train.epochs=2"]
        arguments = {
            "study": [composed_plan(words)],
            "trial": [composed_plan(words)],
            "run": [None, words],
            "train": [words],
        }
        with pytest.raises(Reached) as reached:
            command(*arguments[run])
        examples = len((made_task / "train.jsonl").read_text().splitlines())
        assert reached.value.args == (math.ceil(2 * examples / 4),)

    def test_without_epochs_nothing_changes(self) -> None:
        plan = composed_plan([])
        assert with_steps(plan, 10) is plan
        assert "epochs" not in yaml.safe_load(plan.config)["train"]

    def test_too_many_steps_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"train.epochs=1000: results in train.steps=250000000"):
            with_steps(composed_plan(["train.epochs=1000"]), 1_000_000)

    def test_epochs_on_the_command_line_replace_a_study_s_steps(self) -> None:
        assert composed_plan(["+study=pharma"]).training.steps == 36
        assert with_steps(composed_plan(["+study=pharma", "train.epochs=1"]), 40).training.steps == 10

    def test_steps_on_the_command_line_replace_a_study_s_epochs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_study(tmp_path, "train:\n  epochs: 2\n")
        monkeypatch.chdir(tmp_path)
        assert composed_plan(["+study=mine"]).epochs == 2
        plan = composed_plan(["+study=mine", "train.steps=7"])
        assert (plan.epochs, plan.training.steps) == (None, 7)


class TestAlpha:
    def test_it_sets_the_ratio(self) -> None:
        plan = composed_plan(["lora.r=8", "lora.alpha=32"])
        assert (plan.arm.alpha, plan.arm.alpha_ratio) == (32, 4)
        same = composed_plan(["lora.r=8", "lora.alpha_ratio=4.0"])
        assert plan == same
        assert plan_of_record(plan.config) == plan

    def test_first_arms_share_the_ratio(self) -> None:
        plan = composed_plan(["lora.r=8", "lora.alpha=32", "search.arms=[{r: 4}, {r: 16}]"])
        assert [(arm.rank, arm.alpha_ratio) for arm in plan.search.arms] == [(4, 4.0), (16, 4.0)]

    def test_a_ratio_out_of_limits_is_refused(self) -> None:
        with pytest.raises(
            ConfigurationError, match=r"lora.alpha=4000: with lora.r=1 that is lora.alpha_ratio=4000, which"
        ):
            composed_plan(["lora.r=1", "lora.alpha=4000"])

    def test_an_arm_outside_the_space_names_it(self) -> None:
        with pytest.raises(ConfigurationError, match=r"arm 1: alpha_ratio=3.0 \(from lora.alpha\) is not in"):
            composed_plan(["lora.alpha=48", "search.arms=[{r: 8}]"])

    def test_a_ratio_on_the_command_line_replaces_a_study_s_alpha(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_study(tmp_path, "lora:\n  alpha: 64\n")
        monkeypatch.chdir(tmp_path)
        assert composed_plan(["+study=mine"]).arm.alpha == 64
        assert composed_plan(["+study=mine", "lora.alpha_ratio=1"]).arm.alpha == 16


@pytest.mark.parametrize(
    ("one", "other"), [("train.epochs=2", "train.steps=5"), ("lora.alpha=32", "++lora.alpha_ratio=2")]
)
def test_both_on_the_command_line_are_refused(one: str, other: str) -> None:
    first, second = one.partition("=")[0], other.lstrip("+").partition("=")[0]
    with pytest.raises(ConfigurationError) as caught:
        composed_plan([one, other])
    assert caught.value.problems == (f"{first}: cannot be given together with {second}; leave one of them out",)
