"""Data of every format, from real files: detected by content, mapped by columns, wrong rows reported by file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import DataProblems, Example, RawSplits, jsonl
from tasks.own_data import examples_of, load
from tasks.splits import divide, place
from tasks.understanding import Columns

Rows = Sequence[Mapping[str, Any]]
PAIRS = [{"question": f'row {number}: é, "it"?', "answer": f"it is {number % 3};\nyes"} for number in range(100)]


def as_lines(rows: Rows) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def as_array(rows: Rows) -> bytes:
    return json.dumps(rows, indent=1).encode()


def as_object(rows: Rows) -> bytes:
    return json.dumps({"version": 2, "data": rows}).encode()


def as_table(separator: str) -> Callable[[Rows], bytes]:
    def written(rows: Rows) -> bytes:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode("utf-8-sig")

    return written


def as_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


FORMATS: Mapping[str, Callable[[Rows], bytes]] = {
    "rows.jsonl": as_lines,
    "rows.json": as_array,
    "object.json": as_object,
    "rows.csv": as_table(","),
    "semicolons.csv": as_table(";"),
    "rows.tsv": as_table("\t"),
    "rows.parquet": as_parquet,
    "rows.jsonl.gz": lambda rows: gzip.compress(as_lines(rows)),
    "rows.csv.gz": lambda rows: gzip.compress(as_table(",")(rows)),
    # content decides, not the name
    "lines.json": as_lines,
    "array.jsonl": as_array,
    "tabs.csv": as_table("\t"),
}


def write(folder: Path, name: str, rows: Rows) -> Path:
    file = folder / name
    file.write_bytes(FORMATS[name](rows))
    return file


def problems(path: Path, columns: Columns | None = None) -> tuple[str, ...]:
    with pytest.raises(DataProblems) as caught:
        load(path, columns)
    return caught.value.problems


def everything(raw: RawSplits) -> list[Example]:
    return [*raw.train, *raw.validation, *raw.test]


class TestFiles:
    @pytest.mark.parametrize("name", FORMATS)
    def test_each_holds_the_same_rows(self, name: str, tmp_path: Path) -> None:
        file = write(tmp_path, name, PAIRS)
        before = file.read_bytes()
        raw = load(file)
        expected = [Example(row["question"], row["answer"]) for row in PAIRS]
        assert sorted(everything(raw), key=lambda row: row.key) == sorted(expected, key=lambda row: row.key)
        assert divide(raw).data_hash == divide(load(write(tmp_path, "rows.jsonl", PAIRS))).data_hash
        (note,) = raw.notes
        assert note.startswith(f"{name}: ")
        assert "question is the prompt, answer is the completion" in note
        assert "100 rows: " in note
        assert "validation and test drawn from train by content" in note
        assert file.read_bytes() == before

    def test_zstd(self, tmp_path: Path) -> None:
        plain = tmp_path / "plain"
        plain.write_bytes(as_lines(PAIRS))
        with (
            pa.OSFile(str(tmp_path / "rows.jsonl.zst"), "wb") as file,
            pa.CompressedOutputStream(file, "zstd") as stream,
        ):
            stream.write(plain.read_bytes())
        assert divide(load(tmp_path / "rows.jsonl.zst")).data_hash == divide(load(plain)).data_hash
        assert "JSON lines (zstd)" in load(tmp_path / "rows.jsonl.zst").notes[0]

    def test_a_folder_with_files_of_different_formats(self, tmp_path: Path) -> None:
        (tmp_path / "train-00000-of-00002.parquet").write_bytes(as_parquet(PAIRS[:40]))
        (tmp_path / "train-00001-of-00002.parquet").write_bytes(as_parquet(PAIRS[40:60]))
        (tmp_path / "dev.csv").write_bytes(as_table(",")(PAIRS[60:80]))
        (tmp_path / "test.json.gz").write_bytes(gzip.compress(as_array(PAIRS[80:])))
        (tmp_path / "README.md").write_text("About these files.")
        raw = load(tmp_path)
        assert (len(raw.train), len(raw.validation), len(raw.test)) == (60, 20, 20)
        assert "Parquet and delimited text and a JSON list (gzip)" in raw.notes[0]
        assert "drawn" not in raw.notes[0]

    def test_the_same_as_jsonl_reads(self, made_task: Path) -> None:
        assert divide(load(made_task)).data_hash == divide(jsonl.load(made_task)).data_hash

    def test_damaged_files(self, tmp_path: Path) -> None:
        (tmp_path / "a.gz").write_bytes(gzip.compress(as_lines(PAIRS))[:200])
        assert "a.gz: cannot be read" in problems(tmp_path / "a.gz")[0]
        (tmp_path / "b.parquet").write_bytes(as_parquet(PAIRS)[:100])
        assert "b.parquet: cannot be read as Parquet" in problems(tmp_path / "b.parquet")[0]
        (tmp_path / "c.json").write_bytes(as_array(PAIRS)[:-4])
        assert "c.json:401: invalid JSON at column" in problems(tmp_path / "c.json")[0]
        (tmp_path / "d.csv").write_bytes("frage,antwort\nWie groß?,3\n".encode("latin-1"))
        assert (
            "d.csv:2: not UTF-8 at byte 21 of the file (0xdf); it looks like Latin-1" in problems(tmp_path / "d.csv")[0]
        )
        (tmp_path / "e.csv").write_text("\n")
        assert problems(tmp_path / "e.csv") == (f"{tmp_path}/e.csv: is empty",)
        (tmp_path / "f.csv").write_text("text,text\na,b\n")
        assert 'f.csv:1: the column "text" appears twice' in problems(tmp_path / "f.csv")[0]

    def test_a_missing_file_names_its_neighbours(self, tmp_path: Path) -> None:
        write(tmp_path, "rows.csv", PAIRS)
        assert 'there is no such file or folder (did you mean "rows.csv"?)' in problems(tmp_path / "row.csv")[0]
        (tmp_path / "more.csv").write_text("a,b\n")
        assert "no file is named after train" in problems(tmp_path)[0]


class TestRows:
    def test_all_wrong_rows_are_reported_by_line(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.csv"
        file.write_text('text,label\n"over\ntwo lines",a\nonly one\n,b\nc,\n' + "fine,x\n" * 20)
        assert problems(file) == (
            f"{file}:4: has 1 cell, the header has 2; quote cells that hold the separator",
            f'{file}:5: "text" is missing; give a value or leave the row out',
            f'{file}:6: "label" is missing; give a value or leave the row out',
        )
        lines = tmp_path / "rows.jsonl"
        lines.write_text(
            '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n3\n{"prompt": ["x"], "completion": " "}\n{"prompt\n'
        )
        told = problems(lines)
        assert [text.split(": ")[0] for text in told] == [f"{lines}:{number}" for number in (2, 3, 4, 5)]
        assert '"prompt" must be text, not a list' in told[2]

    def test_numbers_are_written_as_text(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.jsonl"
        file.write_bytes(as_lines([{"text": f"t {number}", "label": number % 2 == 0} for number in range(3)]))
        assert examples_of(file)[1][1] == Example("t 1", "false", "false")

    def test_columns_are_mapped(self, tmp_path: Path) -> None:
        rows = [{"Titel": f"t {number}", "prompt": "x", "Text": f"u {number}", "nr": number} for number in range(60)]
        file = write(tmp_path, "rows.parquet", rows)
        raw = load(file, Columns({"prompt": "Titel", "completion": "Text", "kind": "prompt"}))
        assert Example("t 1", "u 1", kind="x") in everything(raw)
        assert "not used: nr" in raw.notes[0]
        wrong = Columns({"promt": "Titel", "completion": "Txt"}, group="nrr")
        assert [text.removeprefix(f"{file}: ") for text in problems(file, wrong)] == [
            'has no column "Txt" (did you mean "Text"?); it has Titel, prompt, Text, nr',
            'has no column "nrr" (did you mean "nr"?); it has Titel, prompt, Text, nr',
            f'task.columns.promt: there is no such role (did you mean "prompt"?) (known: {ROLES})',
        ]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"chosen": "a", "rejected": "b", "prompt": "c"}, "preference data"),
            ({"text": "a"}, "language modeling"),
            ({"prompt": "a"}, "prompts without completions"),
            ({"a": "1", "b": "2"}, "task.columns.prompt=a task.columns.completion=b"),
        ],
    )
    def test_other_data_is_named(self, row: dict[str, str], words: str, tmp_path: Path) -> None:
        (problem,) = problems(write(tmp_path, "rows.json", [row]))
        assert "are of no known format" in problem
        assert words in problem

    def test_groups_stay_together(self, tmp_path: Path) -> None:
        rows = [{"text": f"t {number}", "label": "ab"[number % 2], "who": f"w {number // 10}"} for number in range(600)]
        raw = load(write(tmp_path, "rows.csv", rows), Columns(group="who"))
        parts = [{row.group for row in part} for part in (raw.train, raw.validation, raw.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 60
        splits = divide(raw)
        assert {row.group for row in splits.tune}.isdisjoint(row.group for row in splits.certify)
        assert "drawn from train by content (by who)" in raw.notes[0]

    def test_rows_keep_their_split_when_others_are_added(self, tmp_path: Path) -> None:
        few = load(write(tmp_path, "rows.csv", PAIRS))
        many = load(write(tmp_path, "rows.json", [*PAIRS, *({"question": f"q {n}", "answer": "a"} for n in range(50))]))
        assert set(few.validation) <= set(many.validation)
        assert set(few.test) <= set(many.test)


ROLES = "messages, kind, system, conversations, prompt, completion, instruction, input, output, history, label"


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns], **more}


class TestChats:
    def of(self, tmp_path: Path, *rows: dict[str, Any]) -> tuple[Example, ...]:
        return examples_of(write(tmp_path, "rows.jsonl", rows))[1]

    def test_each_turn_of_the_assistant_is_an_example(self, tmp_path: Path) -> None:
        first, second = self.of(tmp_path, chat("s:brief", "u:one", "u:two", "a:three", "u:four", "a:five", "u:six"))
        assert first == Example("one\n\ntwo", "three", history=(("system", "brief"),), group="one\n\ntwo")
        assert second.prompt == "four"
        assert second.history[-1] == ("assistant", "three")
        assert first.group == second.group
        assert first.key != Example("one\n\ntwo", "three").key

    def test_all_turns_of_a_chat_are_in_one_split(self, tmp_path: Path) -> None:
        rows = [
            chat(f"u:hello {number}", "a:hi", "u:yes", f"a:well {number}", kind="small talk") for number in range(200)
        ]
        raw = load(write(tmp_path, "rows.json", rows))
        assert "200 rows make 400 examples, one for each answer" in raw.notes[0]
        assert raw.warnings == ()  # "yes" is no repeated prompt: what comes before it differs
        opened = [{row.group for row in part} for part in (raw.train, raw.validation, raw.test)]
        assert sum(map(len, opened)) == 200
        splits = divide(raw)
        assert {row.group for row in splits.tune}.isdisjoint(row.group for row in splits.certify)
        assert {row.kind for row in splits.test} == {"small talk"}

    def test_parts_and_weights(self, tmp_path: Path) -> None:
        row = chat("u:one", "a:two", "u:three", "a:four")
        row["messages"][0]["content"] = [{"type": "text", "text": "o"}, {"type": "text", "text": "ne"}]
        row["messages"][1]["weight"] = 0
        (example,) = self.of(tmp_path, row)
        assert (example.completion, example.history[0]) == ("four", ("user", "o\nne"))

    def test_in_tables(self, tmp_path: Path) -> None:
        row = chat("u:one", "a:two")
        (parquet,) = examples_of(write(tmp_path, "rows.parquet", [row]))[1]
        cell = {"messages": json.dumps(row["messages"]), "id": "1"}
        (table,) = examples_of(write(tmp_path, "rows.csv", [cell]))[1]
        assert parquet == table == Example("one", "two")

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            (chat("u:one"), "no turn of the assistant follows one of the user"),
            (chat("u:one", "t:x", "a:two"), 'message 2: the role is "tool"'),
            (chat("u:one", "a: "), "message 2: has no text"),
            ({"messages": ["one"]}, "message 1: must be an object with role and content"),
            ({"messages": []}, "must be a list of messages"),
        ],
    )
    def test_unusable_chats(self, row: dict[str, Any], words: str, tmp_path: Path) -> None:
        file = write(tmp_path, "rows.jsonl", [chat("u:one", "a:two"), row])
        (problem,) = problems(file)
        assert problem.startswith(f"{file}:2: ")
        assert words in problem


def test_the_side_of_a_prompt_alone_is_as_before() -> None:
    rows = tuple(Example(f"prompt {number}", "a") for number in range(50))
    splits = divide(RawSplits((), rows, rows))
    assert [row.prompt for row in splits.tune] == [row.prompt for row in rows if place(row.prompt, salt="tune") < 0.5]
