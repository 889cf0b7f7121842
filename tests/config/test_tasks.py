"""`task=NAME` takes a task of one's own, without a file in `conf/task`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sweep.commands.app import composed_plan
from sweep.config.groups import groups
from sweep.config.load import plan_of_record
from sweep.errors import ConfigurationError, DataError
from sweep.store.identity import adapter_identity, study_identity, trial_identity
from sweep.training.splits import problems_of
from tests.tasks.test_registry import HEAD, LOAD, METRIC

DEFINED = (
    "TASK = Task(load=load, metric=first_letter, max_length=99, system_prompt='Be brief.', limits='No forecasts.')"
)


@pytest.fixture
def weather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a task of one's own, in the working directory."""
    file = tmp_path / "tasks" / "weather.py"
    file.parent.mkdir()
    file.write_text(f"{HEAD}{LOAD}{METRIC}{DEFINED}")
    monkeypatch.chdir(tmp_path)
    return file


def test_its_configuration_is_made_from_the_object(weather: Path) -> None:
    assert "weather" in groups()["task"]
    plan = composed_plan(["task=weather"], problems_of)
    task = plan.setup.task
    assert (task.name, task.kind, task.metric, task.max_length) == ("weather", "python", "weather:first_letter", 99)
    assert (task.system_prompt, task.limits) == ("Be brief.", "No forecasts.")
    assert plan.name == "weather-smollm2-135m"
    assert plan_of_record(plan.config).setup.task == task


def test_the_command_line_and_files_come_first(weather: Path) -> None:
    task = composed_plan(
        ["task=weather", "task.metric=accuracy", "task.max_length=50", "task.system_prompt=null"]
    ).setup.task
    assert (task.metric, task.max_length, task.system_prompt) == ("accuracy", 50, None)
    file = weather.parents[1] / "conf" / "task" / "weather.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump({"name": "weather", "kind": "python", "metric": "token_f1"}))
    assert composed_plan(["task=weather"], problems_of).setup.task.metric == "token_f1"


def test_a_study_may_choose_it(weather: Path) -> None:
    file = weather.parents[1] / "conf" / "study" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\ndefaults:\n  - override /task: weather\nstudy:\n  name: mine\n")
    assert composed_plan(["+study=mine"], problems_of).setup.task.max_length == 99


def test_problems_are_reported_together(weather: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'weather'"):
        composed_plan(["task=wether"])
    weather.write_text(f"{HEAD}def load():\n    return nothing\n\n\nTASK = Task(load=load)")
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(["task=weather", "lora.rr=3"], problems_of)
    assert "lora.rr" in caught.value.problems[0]
    assert caught.value.problems[1].startswith(f"{weather}:4: load() failed: NameError")
    weather.write_text("import a_module_that_is_missing")
    with pytest.raises(DataError, match=":1: cannot be loaded"):
        composed_plan(["task=weather"], problems_of)


def test_an_unknown_metric_names_what_there_is(weather: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"task\.metric=acuracy: unknown"):
        composed_plan(["task=weather", "task.metric=acuracy"])
    with pytest.raises(DataError, match="has no function 'first_leter'"):
        composed_plan(["task=weather", "task.metric=weather:first_leter"], problems_of)


def test_editing_a_metric_scores_again_and_trains_nothing(weather: Path) -> None:
    plan = composed_plan(["task=weather"])

    def identity() -> str:
        return trial_identity(plan.setup, "base", "data", None, plan.training, plan.seed)

    before = identity()
    assert identity() == before
    weather.write_text(weather.read_text().replace("[:1]", "[:2]"))
    assert identity() != before
    named = replace(plan.setup, task=replace(plan.setup.task, metric="accuracy"))
    assert trial_identity(named, "base", "data", None, plan.training, plan.seed) not in (before, identity())


class TestData:
    """`task=data`"""

    def test_columns_and_groups(self, tmp_path: Path) -> None:
        file = tmp_path / "my rows.csv"
        file.write_text("title,body,who\n" + "".join(f"t {n},b {n},w {n}\n" for n in range(100)))
        words = ["task=data", f"task.path='{file}'", "task.columns.prompt=title", "task.columns.completion=body"]
        plan = composed_plan([*words, "task.group_column=who", "task.too_long=truncate_left"], problems_of)
        task = plan.setup.task
        assert (dict(task.columns), task.group_column) == ({"prompt": "title", "completion": "body"}, "who")
        assert plan.name == "my-rows-smollm2-135m"
        assert plan_of_record(plan.config).setup.task == task
        with pytest.raises(DataError, match="are of no known format"):
            composed_plan(words[:2], problems_of)

    def test_mistakes(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            composed_plan(["task=data", "task.too_long=cut"])
        assert sorted(text.split(":")[0] for text in caught.value.problems) == ["task.path", "task.too_long=cut"]
        with pytest.raises(ConfigurationError, match=r"task\.columns: is for task=data"):
            composed_plan(["task=pharma", "task.columns.prompt=x"])

    def test_shortening_is_part_of_identities(self) -> None:
        def identities(*words: str) -> list[str]:
            plan = composed_plan(["task=pharma", *words])
            setup, training = plan.setup, plan.training
            return [
                adapter_identity(setup, "base", "train", None, training, 0),
                adapter_identity(setup, "base", "train", plan.arm, training, 0),
                trial_identity(setup, "base", "data", plan.arm, training, 0),
                study_identity(plan, "data"),
            ]

        plain, left = identities(), identities("task.too_long=truncate_left")
        assert identities("task.too_long=drop") == plain
        assert not set(plain) & set(left)
        assert not set(left) & set(identities("task.too_long=truncate_left", "task.max_length=300"))
