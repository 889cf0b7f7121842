"""Data sets through `datasets`, from local folders and files: no network is needed or used."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks import DataProblems, Example, RawSplits
from tasks.hub import DataUnreachable, load

datasets = pytest.importorskip("datasets")

NAMES = ["calm", "stormy"]


def columns(name: str, count: int = 12) -> dict[str, list[Any]]:
    numbers = range(count)
    return {
        "text": [f"{name} {number}" for number in numbers],
        "verdict": [number % 2 for number in numbers],
        "note": [f"note {number}" for number in numbers],
    }


def folder_of(path: Path, **splits: dict[str, list[Any]]) -> Path:
    """A folder of Parquet files, one per split; `verdict` is a class column if it contains 0 and 1."""
    path.mkdir()
    for name, content in splits.items():
        table = datasets.Dataset.from_dict(content)
        if set(content["verdict"]) <= {0, 1, -1, None}:
            table = table.cast_column("verdict", datasets.ClassLabel(names=NAMES))
        table.to_parquet(path / f"{name}.parquet")
    return path


@pytest.fixture(autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


@pytest.fixture
def weather(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "weather", **{name: columns(name) for name in ("train", "validation", "test")})


def loaded(folder: Path, **settings: Any) -> RawSplits:
    defaults: dict[str, Any] = {
        "prompt_column": "text",
        "completion_column": "verdict",
        "cache_dir": folder.parent / "cache",
    }
    return load(str(folder), **(defaults | settings))


def only_problem(folder: Path, **settings: Any) -> str:
    with pytest.raises(DataProblems) as caught:
        loaded(folder, **settings)
    (problem,) = caught.value.problems
    return problem


def test_columns_become_examples_and_classes_their_names(weather: Path) -> None:
    raw = loaded(weather, label_column="verdict")
    assert raw.train[1] == Example("train 1", "stormy", "stormy")
    assert (len(raw.train), len(raw.validation), len(raw.test)) == (12, 12, 12)
    assert raw.warnings == ()


def test_a_template_makes_the_prompt(weather: Path) -> None:
    raw = loaded(weather, template="{{{text}}} and {note}: {verdict}?\nAnswer:")
    assert raw.test[1].prompt == "{test 1} and note 1: stormy?\nAnswer:"


def test_templates_reach_columns_only(weather: Path) -> None:
    assert 'has no column "text.__class__"' in problem_of_train(weather, template="{text.__class__}")
    for template in ("{}", "Answer:", "{text!r}", "{text:>9}"):
        assert "template: put a column's name, and only that, in braces" in only_problem(weather, template=template)
    assert "template: " in only_problem(weather, template="{text")
    (warning,) = loaded(weather, template=r"{text}\nAnswer:").warnings
    assert "backslash" in warning


def problem_of_train(folder: Path, **settings: Any) -> str:
    with pytest.raises(DataProblems) as caught:
        loaded(folder, **settings)
    assert len(caught.value.problems) == 3
    return caught.value.problems[0]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_other_file_formats(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("train", "validation", "test"):
        table = datasets.Dataset.from_dict(columns(name))
        _ = table.to_csv(folder / f"{name}.csv") if ending == "csv" else table.to_json(folder / f"{name}.{ending}")
    assert loaded(folder, completion_column="note").test[2] == Example("test 2", "note 2")


def test_a_saved_data_set(weather: Path, tmp_path: Path) -> None:
    saved = datasets.DatasetDict({name: datasets.Dataset.from_dict(columns(name)) for name in ("train", "validation")})
    saved.save_to_disk(tmp_path / "saved")
    assert loaded(tmp_path / "saved", completion_column="note").train


def test_one_file_lends_all_three_splits(tmp_path: Path) -> None:
    file = tmp_path / "all.tsv"
    file.write_text("text\tverdict\n" + "".join(f"row {n}\tyes\n" for n in range(200)), encoding="utf-8")
    raw = loaded(file)
    prompts = [{example.prompt for example in split} for split in (raw.train, raw.validation, raw.test)]
    assert sum(map(len, prompts)) == len(set.union(*prompts)) == 200
    assert 20 <= len(raw.validation) <= 60
    assert 20 <= len(raw.test) <= 60
    assert raw.warnings == (
        f'the data set has no split "validation": {len(raw.validation)} rows of train are used instead',
        f'the data set has no split "test": {len(raw.test)} rows of train are used instead',
    )


def test_carved_rows_depend_on_their_prompt_alone(tmp_path: Path) -> None:
    small = loaded(folder_of(tmp_path / "small", train=columns("row", 100)))
    large = loaded(folder_of(tmp_path / "large", train=columns("row", 200)))
    assert set(small.validation) <= set(large.validation)
    assert set(small.test) <= set(large.test)


def test_a_split_under_another_name_is_pointed_out(tmp_path: Path) -> None:
    saved = datasets.DatasetDict(
        {name: datasets.Dataset.from_dict(columns(name, 100)) for name in ("train", "dev", "test")}
    )
    saved.save_to_disk(tmp_path / "saved")
    (warning,) = loaded(tmp_path / "saved", completion_column="note").warnings
    assert warning.endswith('if its split "dev" is meant, set task.validation_split=dev')
    assert loaded(tmp_path / "saved", completion_column="note", validation_split="dev").warnings == ()


def test_a_split_configured_by_name_must_exist(weather: Path) -> None:
    problem = only_problem(weather, test_split="tets")
    assert 'has no split "tets" (did you mean "test"?); it has train, validation, test' in problem
    assert 'has no split "training"' in only_problem(weather, train_split="training")


def test_no_split_serves_twice(weather: Path) -> None:
    assert "must be three different splits, not train, test, test" in only_problem(weather, validation_split="test")


def test_missing_columns_are_reported_for_each_split(weather: Path) -> None:
    with pytest.raises(DataProblems) as caught:
        load(str(weather), completion_column="verdct", cache_dir=weather.parent / "cache")
    assert len(caught.value.problems) == 6
    first, second, *_ = caught.value.problems
    assert 'weather train: has no column "prompt" (did you mean "text"?); it has text, verdict, note' in first
    assert "set task.prompt_column" in first
    assert 'has no column "verdct" (did you mean "verdict"?)' in second


def test_numbers_and_truth_values_become_text_with_a_warning(tmp_path: Path) -> None:
    splits = {name: columns(name) for name in ("train", "validation", "test")}
    for content in splits.values():
        content["verdict"] = [number + 10 for number in content["verdict"]]
        content["rainy"] = [number % 2 == 0 for number in range(12)]
    raw = loaded(folder_of(tmp_path / "numbers", **splits), label_column="rainy")
    assert raw.train[0] == Example("train 0", "10", "true")
    assert raw.warnings[:2] == (
        'the column "verdict" contains int64; its values are used as text',
        'the column "rainy" contains bool; its values are used as text',
    )


def test_rows_pass_the_common_checks(tmp_path: Path) -> None:
    splits = {name: columns(name) for name in ("train", "validation", "test")}
    splits["train"]["text"][3] = " "
    splits["test"]["verdict"][5] = -1
    splits["test"]["text"][6] = None
    folder = folder_of(tmp_path / "faulty", **splits)
    with pytest.raises(DataProblems) as caught:
        loaded(folder)
    assert caught.value.problems == (
        f'{folder} train row 3: "prompt" is empty; give it text or leave the row out',
        f"{folder} test row 5: has a class index without a name, as in splits with hidden labels; use another split",
        f'{folder} test row 6: "prompt" must be text, not null; give it text or leave the row out',
    )
    with pytest.raises(DataProblems, match='test row 6: the column "text" of the template contains null here'):
        loaded(folder, template="{text}")


def test_a_column_of_numbers_and_text_is_not_text(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("train", "validation", "test"):
        lines = [{"text": f"{name} {n}", "verdict": 1 if n == 3 else "yes"} for n in range(8)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(DataProblems, match="number"):
        loaded(folder)


def test_nothing_to_carve_from(tmp_path: Path) -> None:
    splits = {name: columns("same", 1) for name in ("train",)}
    splits["train"] = {column: values * 20 for column, values in splits["train"].items()}
    with pytest.raises(DataProblems, match=r"\(rows taken for validation\): is empty"):
        loaded(folder_of(tmp_path / "same", **splits))


def test_too_small_to_carve(tmp_path: Path) -> None:
    with pytest.raises(DataProblems, match="rows taken for validation"):
        loaded(folder_of(tmp_path / "tiny", train=columns("train", 10)))


@pytest.mark.parametrize("name", ["./no/such", "~/no/such/folder", "/no/such"])
def test_missing_local_folders_are_not_looked_up_elsewhere(name: str) -> None:
    with pytest.raises(DataProblems, match="there is no such folder or file"):
        load(name)


def test_a_folder_without_data(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: cannot be loaded: EmptyDatasetError" in only_problem(tmp_path / "empty")


def test_an_unknown_file_format(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_bytes(b"")
    assert "is not one of .jsonl, .json, .csv" in only_problem(tmp_path / "data.xlsx")


def test_code_of_a_data_set_is_never_run(tmp_path: Path) -> None:
    folder = tmp_path / "scripted"
    folder.mkdir()
    mark = tmp_path / "was run"
    (folder / "scripted.py").write_text(f"open({str(mark)!r}, 'w')", encoding="utf-8")
    assert "needs a script to be read, and scripts are never run" in only_problem(folder)
    assert not mark.exists()


def test_damaged_files_are_reported_with_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "train.parquet").write_bytes(b"not parquet")
    assert f"{folder}: cannot be loaded: " in only_problem(folder)
    (folder / "train.parquet").rename(folder / "train.csv")
    (folder / "train.csv").write_bytes(b"text,verdict\ncaf\xe9,x\n")
    assert "can't decode byte 0xe9" in only_problem(folder)


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "import tasks.hub\n"
        "try: tasks.hub.load('nobody/nothing')\n"
        "except tasks.hub.DataUnreachable as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=Path.cwd()
    )
    assert "nobody/nothing: is not a local folder, the Hugging Face Hub cannot be reached" in done.stdout
    assert "--local-dir DIR" in done.stdout
    assert "task=jsonl" in done.stdout


def test_unreachable_data_are_data_problems() -> None:
    assert issubclass(DataUnreachable, DataProblems)


def test_edited_local_files_are_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "edited"
    folder.mkdir()
    for word in ("first", "second"):
        for name in ("train", "validation", "test"):
            lines = [json.dumps({"text": f"{name} {n}", "verdict": word}) + "\n" for n in range(8)]
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        assert loaded(folder).train[0].completion == word


class TestDetected:
    """Without columns, rows are understood as those of files are."""

    def test_chats(self, tmp_path: Path) -> None:
        def chat(number: int) -> dict[str, Any]:
            turns = [("user", f"hello {number}"), ("assistant", "hi"), ("user", "yes"), ("assistant", "well")]
            return {"messages": [{"role": role, "content": text} for role, text in turns], "id": number}

        folder = tmp_path / "chats"
        folder.mkdir()
        datasets.Dataset.from_list([chat(number) for number in range(60)]).to_parquet(folder / "train.parquet")
        raw = load(str(folder), cache_dir=tmp_path / "cache")
        assert sum(map(len, (raw.train, raw.validation, raw.test))) == 120
        assert raw.notes == (f"{folder}: read as chats (messages; not used: id)",)
        assert {row.group for row in raw.train}.isdisjoint(row.group for row in raw.test)

    def test_classes_have_their_names(self, tmp_path: Path) -> None:
        folder = tmp_path / "classes"
        folder.mkdir()
        for split in ("train", "validation", "test"):
            made = {
                "text": [f"{split} {number}" for number in range(12)],
                "label": [number % 2 for number in range(12)],
            }
            table = datasets.Dataset.from_dict(made).cast_column("label", datasets.ClassLabel(names=NAMES))
            table.to_parquet(folder / f"{split}.parquet")
        raw = load(str(folder), cache_dir=tmp_path / "cache")
        assert raw.train[1] == Example("train 1", "stormy", "stormy")
        assert raw.notes == (f"{folder}: read as classification (text is the prompt, label)",)
