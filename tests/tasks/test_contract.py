"""The contract of tasks, tested with each source of data."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import RawSplits
from tasks.splits import divide

SIZES = {"train": 24, "validation": 16, "test": 8}


def write_rows(folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def made_folder(folder: Path, prompt: str, completion: str) -> Path:
    folder.mkdir()
    for name, size in SIZES.items():
        write_rows(folder, name, [{prompt: f"{name} {row}: é?", completion: f"{row % 3}"} for row in range(size)])
    return folder


def from_jsonl(tmp_path: Path) -> tuple[Path, Callable[[], RawSplits]]:
    from tasks import jsonl

    folder = made_folder(tmp_path / "made", "prompt", "completion")
    return folder, lambda: jsonl.load(folder)


def from_hub(tmp_path: Path) -> tuple[Path, Callable[[], RawSplits]]:
    from tasks import hub

    folder = made_folder(tmp_path / "made", "text", "answer")
    return folder, lambda: hub.load(
        str(folder), template="Q: {text}\nA:", completion_column="answer", cache_dir=tmp_path / "cache"
    )


def from_pharma(tmp_path: Path) -> tuple[Path, Callable[[], RawSplits]]:
    from tasks import jsonl, pharma

    return pharma.DATA, lambda: jsonl.load(pharma.DATA)


def contents(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(params=[from_jsonl, from_hub, from_pharma])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable[[], RawSplits]]:
    source: tuple[Path, Callable[[], RawSplits]] = request.param(tmp_path)
    return source


class TestEveryTask:
    def test_has_three_splits_of_real_text(self, task: tuple[Path, Callable[[], RawSplits]]) -> None:
        raw = task[1]()
        assert isinstance(raw, RawSplits)
        for split in (raw.train, raw.validation, raw.test):
            assert split
            assert all(example.prompt.strip() and example.completion.strip() for example in split)
            assert all(example.label is None or example.label.strip() for example in split)

    def test_loads_the_same_twice(self, task: tuple[Path, Callable[[], RawSplits]]) -> None:
        first, second = task[1](), task[1]()
        assert first == second
        assert divide(first).data_hash == divide(second).data_hash

    def test_divides_validation_without_rest_or_overlap(self, task: tuple[Path, Callable[[], RawSplits]]) -> None:
        raw = task[1]()
        splits = divide(raw)
        assert splits.tune
        assert splits.certify
        assert {row.prompt for row in splits.tune}.isdisjoint(row.prompt for row in splits.certify)
        assert sorted(row.key for row in (*splits.tune, *splits.certify)) == sorted(row.key for row in raw.validation)

    def test_leaves_its_files_alone(self, task: tuple[Path, Callable[[], RawSplits]]) -> None:
        folder, load = task
        before = contents(folder)
        load()
        assert before
        assert contents(folder) == before
