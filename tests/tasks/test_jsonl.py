"""Folders of JSON lines: accepted input, warnings and errors."""

import codecs
import contextlib
import json
import os
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from tasks import DataProblems, Example
from tasks.jsonl import load

Row = dict[str, object]


def rows(name: str, count: int = 8) -> list[Row]:
    return [{"prompt": f"{name} {number}?", "completion": f"answer {number}"} for number in range(count)]


def encoded(lines: Iterable[object]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    for name in ("train", "validation", "test"):
        (path / f"{name}.jsonl").write_bytes(encoded(rows(name)))
    return path


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(DataProblems) as caught:
        load(folder)
    return caught.value.problems


def only_problem(folder: Path) -> str:
    (problem,) = problems(folder)
    return problem


class TestAccepted:
    def test_plain_folder(self, folder: Path) -> None:
        raw = load(folder)
        assert raw.train[3] == Example("train 3?", "answer 3")
        assert (len(raw.train), len(raw.validation), len(raw.test)) == (8, 8, 8)
        assert raw.warnings == ()

    def test_order_and_white_space_stay(self, folder: Path) -> None:
        lines = [{"prompt": f" {letter}\n", "completion": f" {letter} "} for letter in "zyxwabcd"]
        (folder / "train.jsonl").write_bytes(encoded(lines))
        assert [example.prompt for example in load(folder).train] == [f" {letter}\n" for letter in "zyxwabcd"]

    def test_label_and_kind_or_null(self, folder: Path) -> None:
        lines = rows("test")
        lines[0] |= {"label": "answer 0", "kind": "easy"}
        lines[1] |= {"label": None, "kind": None}
        (folder / "test.jsonl").write_bytes(encoded(lines))
        first, second, *_ = load(folder).test
        assert (first.label, first.kind) == ("answer 0", "easy")
        assert (second.label, second.kind) == (None, None)

    @pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
    def test_other_line_ends(self, folder: Path, line_end: bytes) -> None:
        before = load(folder)
        for file in folder.iterdir():
            file.write_bytes(file.read_bytes().replace(b"\n", line_end))
        assert load(folder) == before

    def test_no_line_end_at_the_end(self, folder: Path) -> None:
        before = load(folder)
        file = folder / "train.jsonl"
        file.write_bytes(file.read_bytes().rstrip())
        assert load(folder) == before

    def test_utf8_with_byte_order_mark(self, folder: Path) -> None:
        before = load(folder)
        file = folder / "train.jsonl"
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert load(folder) == before

    def test_line_separators_inside_text_do_not_end_a_row(self, folder: Path) -> None:
        lines = [{"prompt": f"a\u2028b\x85{number}", "completion": "c\u2029"} for number in range(8)]
        (folder / "train.jsonl").write_bytes(encoded(lines))
        assert load(folder).train[7].prompt == "a\u2028b\x857"

    def test_relative_and_home_paths(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = load(folder)
        monkeypatch.chdir(folder.parent)
        monkeypatch.setenv("HOME", str(folder.parent))
        assert load(Path("data")) == expected
        assert load(Path("~/data")) == expected


class TestNoted:
    def test_blank_lines(self, folder: Path) -> None:
        file = folder / "train.jsonl"
        file.write_bytes(b"\n" + file.read_bytes() + b"  \t\n\n")
        assert load(folder).warnings == ("train.jsonl: blank lines skipped: 3, the first is line 1",)

    def test_repeated_rows(self, folder: Path) -> None:
        lines = rows("train")
        (folder / "train.jsonl").write_bytes(encoded([*lines, lines[2], lines[2]]))
        assert load(folder).warnings == (
            "train.jsonl: 2 rows repeated: train.jsonl:9 = train.jsonl:3, train.jsonl:10 = train.jsonl:3",
        )

    def test_contradicting_labels(self, folder: Path) -> None:
        lines: list[Row] = [{**row, "label": row["completion"]} for row in rows("train")]
        (folder / "train.jsonl").write_bytes(encoded([*lines, {**lines[1], "label": "b"}, {**lines[1], "label": "c"}]))
        assert load(folder).warnings == (
            "train.jsonl: 1 prompt answered in several ways: train.jsonl:9 = train.jsonl:2",
        )

    def test_contradicting_completions_where_there_are_no_labels(self, folder: Path) -> None:
        lines = rows("validation")
        (folder / "validation.jsonl").write_bytes(encoded([*lines, {**lines[0], "completion": "other"}]))
        (warning,) = load(folder).warnings
        assert "1 prompt answered in several ways" in warning

    def test_prompts_in_two_splits(self, folder: Path) -> None:
        (folder / "validation.jsonl").write_bytes(encoded([*rows("train", 5), *rows("validation")]))
        (warning,) = load(folder).warnings
        assert warning == (
            "validation.jsonl: 5 of 13 prompts in train.jsonl too: validation.jsonl:1 = train.jsonl:1, "
            "validation.jsonl:2 = train.jsonl:2, validation.jsonl:3 = train.jsonl:3, ..."
        )

    def test_unknown_keys_are_one_warning(self, folder: Path) -> None:
        for name in ("train", "test"):
            lines: list[Row] = [{**row, "lable": "a", "id": number} for number, row in enumerate(rows(name))]
            (folder / f"{name}.jsonl").write_bytes(encoded(lines[:7] + rows(name)[7:]))
        assert load(folder).warnings == (
            'keys without a meaning are ignored: "lable" in 14 rows (did you mean "label"?), "id" in 14 rows',
        )

    def test_labels_that_no_completion_equals(self, folder: Path) -> None:
        lines: list[Row] = [{**row, "label": "1"} for row in rows("train")]
        (folder / "train.jsonl").write_bytes(encoded(lines))
        (warning,) = load(folder).warnings
        assert 'no label equals its row\'s completion ("1", "answer 0")' in warning


class TestFolders:
    def test_missing_folder_names_the_neighbours(self, folder: Path) -> None:
        problem = only_problem(folder.parent / "dta")
        assert f"{folder.parent / 'dta'}: there is no such folder" in problem
        assert 'did you mean "data"?' in problem
        assert f"{folder.parent} has data" in problem

    def test_missing_folder_far_down(self, tmp_path: Path) -> None:
        assert f"{tmp_path} has no folders" in only_problem(tmp_path / "a" / "b" / "c")

    def test_file_instead_of_folder(self, folder: Path) -> None:
        assert "is a file; give the folder" in only_problem(folder / "train.jsonl")

    def test_empty_folder_names_all_three(self, tmp_path: Path) -> None:
        assert [problem.split(":")[0] for problem in problems(tmp_path)] == [
            str(tmp_path / f"{name}.jsonl") for name in ("train", "validation", "test")
        ]
        assert all("is missing; the folder has no files" in problem for problem in problems(tmp_path))

    @pytest.mark.parametrize(
        ("split", "name"),
        [
            ("validation", "dev.jsonl"),
            ("validation", "valid.jsonl"),
            ("validation", "val.jsonl"),
            ("validation", "validaton.jsonl"),
            ("train", "Training.jsonl"),
            ("test", "test.ndjson"),
        ],
    )
    def test_split_under_another_name(self, folder: Path, split: str, name: str) -> None:
        (folder / f"{split}.jsonl").rename(folder / name)
        problem = only_problem(folder)
        assert f"{split}.jsonl: is missing; the folder has" in problem
        assert f"if {name} is this split, rename it to {split}.jsonl" in problem

    @pytest.mark.parametrize("ending", ["json", "csv", "parquet", "jsonl.gz"])
    def test_other_formats(self, folder: Path, ending: str) -> None:
        for name in ("train", "validation", "test"):
            (folder / f"{name}.jsonl").rename(folder / f"{name}.{ending}")
        listed = problems(folder)
        assert len(listed) == 3
        assert f"write the rows of train.{ending} as JSON lines" in listed[0]
        assert f"task=hub task.dataset={folder}" in listed[0]

    def test_files_one_folder_down(self, folder: Path) -> None:
        assert f"{folder} has one: use that folder" in problems(folder.parent)[0]

    @pytest.mark.parametrize("path", ["~nobody-of-that-name/data", "x" * 5000])
    def test_impossible_paths(self, path: str) -> None:
        assert f"{path}: cannot be read: " in only_problem(Path(path))

    @pytest.mark.parametrize("kind", ["a folder", "a named pipe", "a socket", "a link to", "a device"])
    @pytest.mark.parametrize("place", ["data/test.jsonl", "there"])
    def test_something_else_in_the_place_of_a_file_or_folder(self, folder: Path, kind: str, place: str) -> None:
        """Nobody writes into the pipe, so reading it would wait for ever."""
        path = folder.parent / place
        path.unlink(missing_ok=True)
        with contextlib.ExitStack() as opened:
            if kind == "a folder":
                path.mkdir()
            elif kind == "a named pipe":
                os.mkfifo(path)
            elif kind == "a socket":
                listener = opened.enter_context(socket.socket(socket.AF_UNIX))
                opened.enter_context(contextlib.chdir(path.parent))  # a socket's path may not be long
                listener.bind(path.name)
            else:
                path.symlink_to("/dev/null" if kind == "a device" else "nowhere.jsonl")
            if place == "there" and kind == "a folder":
                return
            problem = only_problem(folder if place != "there" else path)
        assert problem.startswith(f"{path}: is {kind}")
        assert ("nowhere.jsonl, which does not exist" in problem) == (kind == "a link to")


class TestFaultyRows:
    @pytest.mark.parametrize(
        ("line", "text"),
        [
            (b'{"prompt": "a" "completion": "b"}', "invalid JSON at column 16: Expecting ',' delimiter"),
            (b"{'prompt': 'a'}", "invalid JSON at column 2"),
            (b'{"prompt": "a", "prompt": "b", "completion": "c"}', 'the key "prompt" appears twice'),
            (b"[" * 100_000, "invalid JSON"),
            (b"1" * 5_000, "invalid JSON"),
            (b'["a", "b"]', "a row must be an object like"),
            (b'"text"', "not a string"),
            (b"3", "not a number (3)"),
            (b"{}", 'no "prompt"; the keys are none; no "completion"; the keys are none'),
            (b'{"instruction": "a", "response": "b"}', 'did you mean "response"? rename it to "completion"'),
            (b'{"prompt": "a", "output": "b"}', 'did you mean "output"? rename it to "completion"'),
            (b'{"prompt": "a", "answer": "b"}', 'did you mean "answer"? rename it to "completion"'),
            (b'{"prompt": "a", "Completion": "b"}', 'did you mean "Completion"? rename it to "completion"'),
            (b'{"input": "a", "completion": "b"}', 'did you mean "input"? rename it to "prompt"'),
            (b'{"question": "a", "completion": "b"}', 'did you mean "question"? rename it to "prompt"'),
            (b'{"text": "a", "completion": "b"}', 'did you mean "text"? rename it to "prompt"'),
            (b'{"promt": "a", "completion": "b"}', 'did you mean "promt"? rename it to "prompt"'),
            (b'{"zzz": "a", "completion": "b"}', 'no "prompt"; the keys are completion, zzz'),
            (b'{"messages": []}', "the row is a chat"),
            (b'{"prompt": "a", "completion": 5}', '"completion" must be text, not a number (5)'),
            (b'{"prompt": "a", "completion": true}', '"completion" must be text, not a boolean (True)'),
            (b'{"prompt": "a", "completion": null}', '"completion" must be text, not null'),
            (b'{"prompt": "a", "completion": ["b"]}', '"completion" must be text, not a list'),
            (b'{"prompt": {}, "completion": "b"}', '"prompt" must be text, not an object'),
            (b'{"prompt": "a", "completion": "b", "label": 1}', '"label" must be text, not a number (1)'),
            (b'{"prompt": "a", "completion": "b", "kind": []}', '"kind" must be text, not a list'),
            (b'{"prompt": "", "completion": "b"}', '"prompt" is empty'),
            (b'{"prompt": "a", "completion": " \\n"}', '"completion" is empty'),
            (b'{"prompt": "a", "completion": "b", "label": ""}', '"label" is empty; give it text or leave it out'),
            (b'{"prompt": "a\\u0000", "completion": "b"}', '"prompt" holds a NUL character'),
            (b'{"prompt": "a", "completion": "\\ud800"}', '"completion" holds half of a surrogate pair'),
        ],
    )
    def test_a_fault_is_reported_with_its_place(self, folder: Path, line: bytes, text: str) -> None:
        file = folder / "train.jsonl"
        lines = file.read_bytes().splitlines()
        file.write_bytes(b"\n".join([*lines[:4], line, *lines[4:]]))
        problem = only_problem(folder)
        assert problem.startswith(f"{file}:5: ")
        assert text in problem

    def test_all_faults_are_reported_at_once(self, folder: Path) -> None:
        (folder / "train.jsonl").write_bytes(encoded([*rows("train"), {"prompt": ""}]))
        (folder / "validation.jsonl").write_bytes(encoded(rows("validation", 3)))
        (folder / "test.jsonl").unlink()
        bad_row, missing, few = problems(folder)
        assert '"prompt" is empty; give it text or leave the row out; no "completion"' in bad_row
        assert "test.jsonl: is missing" in missing
        assert "validation.jsonl: has 3 rows; at least 8 rows needed" in few

    def test_long_lists_are_cut(self, folder: Path) -> None:
        (folder / "train.jsonl").write_bytes(encoded([*rows("train"), *[{"prompt": "a"}] * 1000]))
        listed = problems(folder)
        assert len(listed) == 21
        assert listed[19].startswith(f"{folder / 'train.jsonl'}:28: ")
        assert listed[20] == f"{folder / 'train.jsonl'}: ... and 980 more of 1008 rows with faults"


class TestFaultyFiles:
    def test_very_long_lines_are_read(self, folder: Path) -> None:
        text = "a very long story " * 200_000
        (folder / "train.jsonl").write_bytes(encoded([*rows("train"), {"prompt": text, "completion": "b"}]))
        assert load(folder).train[-1].prompt == text

    def test_a_byte_order_mark_within_the_file_is_reported_with_its_place(self, folder: Path) -> None:
        """As where files with one each were put together."""
        file = folder / "train.jsonl"
        mark = codecs.BOM_UTF8
        file.write_bytes(mark + file.read_bytes() + mark + encoded(rows("train", 1)))
        assert only_problem(folder).startswith(f"{file}:9: ")
        assert "BOM" in only_problem(folder)

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
    def test_empty(self, folder: Path, content: bytes) -> None:
        (folder / "test.jsonl").write_bytes(content)
        assert only_problem(folder) == f"{folder / 'test.jsonl'}: is empty; at least 1 row needed"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
    def test_wide_encodings(self, folder: Path, encoding: str) -> None:
        file = folder / "train.jsonl"
        file.write_bytes(file.read_text(encoding="utf-8").encode(encoding))
        assert f"is {encoding.upper()}, by its byte order mark at byte 0, line 1" in only_problem(folder)

    def test_utf16_without_mark(self, folder: Path) -> None:
        file = folder / "train.jsonl"
        file.write_bytes(file.read_text(encoding="utf-8").encode("utf-16-le"))
        assert "NUL byte at byte 1 of the file: it is damaged, or UTF-16" in problems(folder)[0]

    @pytest.mark.parametrize(("encoding", "letter"), [("latin-1", "é"), ("cp1252", "”")])
    def test_eight_bit_encodings(self, folder: Path, encoding: str, letter: str) -> None:
        file = folder / "train.jsonl"
        start = file.read_bytes()
        line = f'{{"prompt": "caf{letter}", "completion": "b"}}\n'.encode(encoding)
        file.write_bytes(start + line)
        byte = letter.encode(encoding)[0]
        problem = only_problem(folder)
        assert problem.startswith(f"{file}:9: not UTF-8 at byte {len(start) + 15} of the file (0x{byte:02x})")
        assert {"latin-1": "Latin-1", "cp1252": "Windows-1252"}[encoding] in problem
        assert f'this is "{letter}"' in problem

    def test_byte_positions_count_the_byte_order_mark(self, folder: Path) -> None:
        file = folder / "train.jsonl"
        file.write_bytes(b"\xef\xbb\xbf\xff\n" + file.read_bytes())
        assert only_problem(folder).startswith(f"{file}:1: not UTF-8 at byte 3 of the file (0xff)")

    @pytest.mark.parametrize("indent", [None, 2])
    def test_one_json_list(self, folder: Path, indent: int | None) -> None:
        (folder / "train.jsonl").write_text(json.dumps(rows("train"), indent=indent), encoding="utf-8")
        assert "line 1 starts one JSON list of 8 items" in only_problem(folder)

    @pytest.mark.parametrize("name", ["validation", "test"])
    def test_a_split_that_is_all_in_train(self, folder: Path, name: str) -> None:
        (folder / "train.jsonl").write_bytes(encoded([*rows("train"), *rows(name)]))
        assert only_problem(folder).startswith(
            f"{folder / name}.jsonl: every prompt is in {folder / 'train.jsonl'} too"
        )

    def test_one_test_row_is_enough(self, folder: Path) -> None:
        (folder / "test.jsonl").write_bytes(encoded(rows("test", 1)))
        assert len(load(folder).test) == 1
