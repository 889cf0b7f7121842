"""Rows read one after another are those that loading the whole gives, with the same problems."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from tasks import DataProblems, Example, RawSplits, row_stream
from tasks.jsonl import load as load_jsonl
from tasks.own_data import load
from tasks.readings import Flaw
from tasks.row_stream import PARTS, RowStream, Unreadable, of_files, of_jsonl, of_splits
from tasks.splits import divide
from tasks.understanding import Columns
from tests.tasks.test_own_data import FORMATS, PAIRS, as_array, as_lines, as_parquet, as_table, problems, write


def parts_of(stream: RowStream) -> dict[str, list[Example]]:
    parts: dict[str, list[Example]] = {part: [] for part in PARTS}
    for source, _, value in stream.rows():
        assert isinstance(value, Example), value
        parts[stream.part(source, value, 0.5)].append(value)
    return parts


def parts_when_loaded(raw: RawSplits) -> Mapping[str, list[Example]]:
    splits = divide(raw)
    return {part: list(getattr(splits, part)) for part in PARTS}


def flaws_of(stream: RowStream) -> list[str]:
    """The problems, as loading words them."""
    return [
        value.text if isinstance(value, Unreadable) else f"{stream.sources[source].origin.at(number)}: {value.text}"
        for source, number, value in stream.rows()
        if isinstance(value, Flaw)
    ]


class TestFiles:
    @pytest.mark.parametrize("name", FORMATS)
    def test_each_format(self, name: str, tmp_path: Path) -> None:
        file = write(tmp_path, name, PAIRS)
        stream = of_files(file)
        assert parts_of(stream) == parts_when_loaded(load(file))
        assert stream.share() == 1.0
        assert stream.understood[0].endswith("validation and test drawn from train by content")
        assert stream.understood[0].split(",")[0] == load(file).notes[0].split(",")[0]

    def test_zstd(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.jsonl.zst"
        with pa.OSFile(str(file), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as packed:
            packed.write(as_lines(PAIRS))
        assert parts_of(of_files(file)) == parts_when_loaded(load(file))

    def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "train-1.parquet").write_bytes(as_parquet(PAIRS[:40]))
        (tmp_path / "train-2.jsonl").write_bytes(as_lines(PAIRS[40:60]))
        (tmp_path / "dev.csv").write_bytes(as_table(",")(PAIRS[60:80]))
        (tmp_path / "test.parquet.gz").write_bytes(gzip.compress(as_parquet(PAIRS[80:])))
        stream = of_files(tmp_path)
        assert parts_of(stream) == parts_when_loaded(load(tmp_path))
        assert stream.sources[0].origin.short(7) == "train-1.parquet row 7"

    @pytest.mark.parametrize("head", [30, 200])
    @pytest.mark.parametrize("name", FORMATS)
    def test_formats_are_recognized_by_the_beginning(
        self, name: str, head: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(row_stream, "_HEAD", head)
        file = write(tmp_path, name, PAIRS)
        assert parts_of(of_files(file)) == parts_when_loaded(load(file))

    def test_groups_stay_together(self, tmp_path: Path) -> None:
        rows = [{**row, "customer": f"c{number // 5}"} for number, row in enumerate(PAIRS)]
        file = write(tmp_path, "rows.csv", rows)
        columns = Columns(group="customer")
        assert parts_of(of_files(file, columns)) == parts_when_loaded(load(file, columns))

    def test_a_column_that_only_later_rows_have(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(row_stream, "SEEN", 5)
        rows = [*PAIRS, {**PAIRS[0], "question": "new", "topic": "a"}]
        file = write(tmp_path, "rows.jsonl", rows)
        assert len(parts_of(of_files(file, Columns(roles={"kind": "topic"})))["train"]) > 50

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("rows.csv", b'question,answer\na,b\n"a""b,c\n'),
            ("rows.csv", b"question,answer\na,b\nonly\nc,\n"),
            ("rows.csv", b"question,answer\n" + b"a,b\n" * 20 + b"caf\xe9,c\n"),
            ("rows.csv", b"question,answer\na,b\0\n"),
            ("rows.csv", b"question,question\na,b\n"),
            ("rows.csv", "question,answer\na,b\n".encode("utf-16")),
            (
                "rows.jsonl",
                b'{"question": "a", "answer": "b"}\n{"question": 1\n\n{"question": "\\ud800", "answer": " "}\n[1]\n',
            ),
            (
                "rows.jsonl",
                b'{"question": "a", "answer": "b"}\n{"question": "caf\xe9"}\n{"question": "a", "question": "b"}\n',
            ),
            ("rows.json", b'[{"question": "a", "answer": "b"}, {"question": "a"}, 7]'),
            ("rows.json", b'[{"question": "a", "answer": "b"}, '),
            ("rows.jsonl.gz", gzip.compress(as_lines(PAIRS))[:-30]),
            ("rows.parquet", as_parquet(PAIRS)[:-20]),
            ("rows.txt", b""),
            ("rows.csv", b"one,two\n1,2\n"),
        ],
    )
    def test_problems_are_those_of_loading(self, name: str, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / name
        file.write_bytes(content)
        try:
            found = flaws_of(of_files(file))
        except DataProblems as error:
            found = list(error.problems)
        if "rows.jsonl.gz" in name:
            assert found[0].startswith(f"{file}: cannot be read: ")
        else:
            assert found == list(problems(file))

    def test_one_broken_file_does_not_hide_the_others(self, tmp_path: Path) -> None:
        (tmp_path / "train.csv").write_bytes(as_table(",")(PAIRS))
        (tmp_path / "validation.parquet").write_bytes(b"PAR1 and nothing else")
        (tmp_path / "test.csv").write_bytes(b"question,answer\na\n")
        found = flaws_of(of_files(tmp_path))
        assert len(found) == 2
        assert found[0].startswith(f"{tmp_path / 'validation.parquet'}: cannot be read as Parquet")
        assert found[1].startswith(f"{tmp_path / 'test.csv'}:2: has 1 cell")

    def test_there_is_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataProblems, match="there is no such file or folder"):
            of_files(tmp_path / "rows.csv")


class TestJsonLines:
    def folder(self, tmp_path: Path) -> Path:
        rows = [{"prompt": row["question"], "completion": row["answer"]} for row in PAIRS]
        for name, some in (("train", rows[:60]), ("validation", rows[60:80]), ("test", rows[80:])):
            (tmp_path / f"{name}.jsonl").write_bytes(b"\xef\xbb\xbf" + as_lines(some).replace(b"\n", b"\r\n\r\n"))
        return tmp_path

    def test_the_same_rows(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        stream = of_jsonl(folder)
        assert parts_of(stream) == parts_when_loaded(load_jsonl(folder))
        assert stream.share() == 1.0

    @pytest.mark.parametrize("content", [b"{", as_array(PAIRS), b'{"prompt": 1}\n\0', "{}".encode("utf-16")])
    def test_the_same_problems(self, content: bytes, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / "validation.jsonl").write_bytes(content)
        (folder / "test.jsonl").unlink()
        with pytest.raises(DataProblems) as caught:
            load_jsonl(folder)
        assert flaws_of(of_jsonl(folder)) == [text for text in caught.value.problems if "at least" not in text]

    def test_there_is_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataProblems, match="there is no such folder"):
            of_jsonl(tmp_path / "none")


def test_splits_in_memory() -> None:
    rows = tuple(Example(f"question {number}", "yes") for number in range(40))
    token = "ghp_" + "a1B2" * 9  # put together here, so that no scanner takes it for a real one
    raw = RawSplits(rows[:20], rows[20:30], rows[30:], (f'no label equals "{token}"',), ("as made",))
    stream = of_splits("boxes", raw)
    assert parts_of(stream) == parts_when_loaded(raw)
    assert stream.understood == ("as made", 'no label equals "***"')
    assert stream.share() == 1.0
    assert stream.sources[1].origin.short(3) == "validation example 3"
