"""Data in the shapes that people really have: read rightly, or refused with the place and what to do, and never changed."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import DataProblems, Example
from tasks.own_data import examples_of, load
from tasks.row_stream import of_files
from tasks.understanding import Columns
from tests.tasks.test_own_data import as_lines, as_parquet, problems

PAIRS = [{"prompt": f"what is number {number} of the list", "completion": f"it is {number}"} for number in range(60)]
EXAMPLES = {Example(row["prompt"], row["completion"]) for row in PAIRS}


def saved(folder: Path, content: bytes | str, name: str = "rows") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(file: Path, columns: Columns | None = None) -> list[Example]:
    """The examples, as loaded; what is read row by row must be the same, and the file must be as before."""
    before = file.read_bytes()
    examples = list(examples_of(file, columns)[1])
    streamed = [row for _, _, row in of_files(file, columns).rows()]
    assert streamed == examples
    assert file.read_bytes() == before
    return examples


def messages_of(row: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]


class TestJson:
    @pytest.mark.parametrize(
        "content",
        [
            {"prompt": [row["prompt"] for row in PAIRS], "completion": [row["completion"] for row in PAIRS]},
            {key: {str(place): row[key] for place, row in enumerate(PAIRS)} for key in ("prompt", "completion")},
            {str(place): row for place, row in enumerate(PAIRS)},
            {f"id-{place}": row for place, row in enumerate(PAIRS)},
            {"messages": [messages_of(row) for row in PAIRS]},
            {"messages": {str(place): messages_of(row) for place, row in enumerate(PAIRS)}},
        ],
        ids=["by column", "pandas", "pandas by index", "by id", "one column", "pandas, one column"],
    )
    @pytest.mark.parametrize("indent", [None, 1])
    def test_one_object_holds_all_rows(self, content: Mapping[str, Any], indent: int | None, tmp_path: Path) -> None:
        assert set(read(saved(tmp_path, json.dumps(content, indent=indent)))) == EXAMPLES

    @pytest.mark.parametrize("separator", ["\n", "", " "])
    def test_objects_over_several_lines_or_one_after_another(self, separator: str, tmp_path: Path) -> None:
        indent = 2 if separator == "\n" else None
        assert set(read(saved(tmp_path, separator.join(json.dumps(row, indent=indent) for row in PAIRS)))) == EXAMPLES

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("{}", ": its rows have no columns"),
            ("[]", ": has no rows"),
            (
                json.dumps({"train": PAIRS, "test": PAIRS}),
                ": holds several lists (train, test); write each into a file of its own",
            ),
            (json.dumps({"data": []}), "task.columns.prompt=COLUMN"),
            ('{"prompt": "a",\n "completion": }', ":2: invalid JSON"),
            ('["a", "b"]\n["c", "d"]\n', ":1: more follows the list that ends here"),
            ("[1, 2, 3, 4]", " item 1: a row must be an object with named values, not a number"),
            (
                '// made by x\n{"prompt": "a", "completion": "b"}\n{"prompt": "b", "completion": "c"}\n',
                ":1: invalid JSON at column 1",
            ),
            pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        ],
    )
    def test_what_holds_no_rows(self, content: str, words: str, tmp_path: Path) -> None:
        file = saved(tmp_path, content)
        assert words in problems(file)[0]
        with pytest.raises(DataProblems) as caught:
            list(of_files(file).rows()) and load(file)
        assert caught.value.problems == problems(file)

    def test_nan_is_a_missing_value(self, tmp_path: Path) -> None:
        rows = [*PAIRS, {"prompt": "x", "completion": float("nan")}, {"instruction": 3}]
        assert problems(saved(tmp_path, as_lines(rows)))[0].endswith(
            ':61: "completion" is missing; give a value or leave the row out'
        )
        filled = as_lines([{"instruction": "a", "input": float("nan"), "output": "b"}])
        assert read(saved(tmp_path, filled)) == [Example("a", "b")]

    def test_half_a_surrogate_pair_in_a_name_can_be_printed(self, tmp_path: Path) -> None:
        rows = "".join(
            f'{{"prompt": "q {number}", "completion": "a", "\\ud83d\\u001b[2J": 1}}\n' for number in range(60)
        )
        (note,) = load(saved(tmp_path, rows)).notes
        assert r'not used: "\ud83d\x1b[2J"' in note


class TestChats:
    def of(self, tmp_path: Path, row: Mapping[str, Any]) -> list[Example]:
        return read(saved(tmp_path, as_lines([row])))

    def test_the_system_prompt_may_stand_beside(self, tmp_path: Path) -> None:
        turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
        brief = (("system", "be brief"),)
        assert self.of(tmp_path, {"system": "be brief", "conversations": turns}) == [Example("a", "b", history=brief)]
        own = [{"from": "system", "value": "be long"}, *turns]
        (example,) = self.of(tmp_path, {"system": "be brief", "conversations": own})
        assert example.history == (("system", "be long"),)
        asked = {"system_prompt": "be brief", "question": "a", "response": "b"}
        assert self.of(tmp_path, asked) == [Example("a", "b", history=brief)]

    def test_system_messages_are_given_together_at_the_beginning(self, tmp_path: Path) -> None:
        said = [
            ("system", "one"),
            ("user", "a"),
            ("assistant", "b"),
            ("system", "two"),
            ("user", "c"),
            ("assistant", "d"),
        ]
        first, second = self.of(tmp_path, {"messages": [{"role": role, "content": text} for role, text in said]})
        assert first.history == (("system", "one"),)
        assert second.history == (("system", "one\n\ntwo"), ("user", "a"), ("assistant", "b"))

    def test_earlier_turns_of_instructions(self, tmp_path: Path) -> None:
        row = {"instruction": "c", "input": "", "output": "d", "system": "s", "history": [["a", "b"]]}
        first, second = self.of(tmp_path, row)
        assert (first.prompt, first.completion, first.history) == ("a", "b", (("system", "s"),))
        assert (second.prompt, second.completion) == ("c", "d")
        assert second.history == (("system", "s"), ("user", "a"), ("assistant", "b"))
        assert first.group == second.group
        assert self.of(tmp_path, {**row, "history": []}) == [Example("c", "d", history=(("system", "s"),))]

    def test_messages_and_text_in_one_row(self, tmp_path: Path) -> None:
        user, assistant = {"role": "User ", "content": "a"}, {"role": "ai", "content": "b"}
        for row in ({"prompt": [user], "completion": "b"}, {"prompt": "a", "completion": [assistant]}):
            assert self.of(tmp_path, row) == [Example("a", "b")]
        mixed = [{"prompt": "a", "completion": "b"}, {"prompt": [user], "completion": [assistant]}]
        assert read(saved(tmp_path, as_lines(mixed))) == [Example("a", "b")] * 2

    def test_two_parts_in_a_table(self, tmp_path: Path) -> None:
        cells = [json.dumps([{"role": "user", "content": "a"}]), json.dumps([{"role": "assistant", "content": "b"}])]
        written = "\t".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in cells)
        assert read(saved(tmp_path, f"prompt\tcompletion\n{written}\n")) == [Example("a", "b")]
        # as pandas writes lists
        (problem,) = problems(saved(tmp_path, f"prompt|completion\n{cells[0]!s}|x\n".replace('"', "'")))
        assert '"prompt" is text that is no JSON list of messages' in problem
        # an answer in JSON is no chat
        answer = '[{"from": "Basel", "to": "Porto"}]'
        assert read(saved(tmp_path, f"prompt|completion\na|{answer}\n")) == [Example("a", answer)]

    def test_a_greeting_does_not_tell_chats_apart(self, tmp_path: Path) -> None:
        rows = [
            {
                "messages": [
                    {"role": role, "content": text}
                    for role, text in (("user", "Hi"), ("assistant", "Hello"), ("user", f"q {n}"), ("assistant", "a"))
                ]
            }
            for n in range(100)
        ]
        raw = load(saved(tmp_path, as_lines(rows)))
        assert min(map(len, (raw.train, raw.validation, raw.test))) > 10

    @pytest.mark.parametrize(
        ("messages", "words"),
        [
            (
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": [{"id": 1}]}],
                "message 2: calls a tool",
            ),
            ([{"role": "user", "content": [{"type": "image"}]}], 'message 1: has a part without text ("image")'),
            ([{"content": "a"}], "message 1: says no role (or from); its keys are content"),
            ([{"role": "user", "text": "a"}], 'message 1: has no "content" (or value); its keys are role, text'),
            (
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}],
                "have the weight 0",
            ),
            (
                [{"role": "system", "content": ""}, {"role": "assistant", "content": "b"}],
                "(the turns: assistant); leave the chat out",
            ),
        ],
    )
    def test_what_cannot_be_learned(self, messages: object, words: str, tmp_path: Path) -> None:
        good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
        (problem,) = problems(
            saved(tmp_path, as_lines([{"messages": None} if not messages else good, {"messages": messages}]))
        )
        assert problem.startswith(f"{tmp_path}/rows:2: ")
        assert words in problem

    def test_a_kind_may_be_a_number(self, tmp_path: Path) -> None:
        (example,) = self.of(tmp_path, {"messages": messages_of(PAIRS[0]), "kind": 3})
        assert example.kind == "3"

    def test_an_empty_first_row_does_not_hide_the_format(self, tmp_path: Path) -> None:
        good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
        assert problems(saved(tmp_path, as_lines([{"messages": None}, good])))[0].endswith(
            ':1: "messages" is missing; give a value or leave the row out'
        )


class TestColumns:
    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"question": "a", "answer": ["b"]}, "answer holds a list where text is needed"),
            ({"messages": {"role": ["user"]}}, "messages holds an object where a list of messages is needed"),
            (
                {"Die Frage": "a, b", "c:d=e": "f"},
                """'task.columns.prompt="Die Frage"' 'task.columns.completion="c:d=e"'""",
            ),
            ({"chosen": [{"role": "user"}], "rejected": []}, "task.columns.messages=chosen"),
            ({"prompt": "a", "completion": "b", "label": False}, "unpaired preference data"),
            ({"body": "a long text", "Label": "x"}, "task.columns.prompt=body task.columns.label=Label"),
        ],
    )
    def test_what_is_wrong_and_what_to_write(self, row: Mapping[str, Any], words: str, tmp_path: Path) -> None:
        (problem,) = problems(saved(tmp_path, as_lines([row])))
        assert words in problem

    @pytest.mark.parametrize(
        ("roles", "words"),
        [
            ({"prompt": "prompt", "completion": "prompt"}, 'are both "prompt"'),
            (
                {"prompt": "prompt", "messages": "completion"},
                "task.columns.prompt and task.columns.messages are not roles of one format",
            ),
        ],
    )
    def test_roles_that_do_not_go_together(self, roles: Mapping[str, str], words: str, tmp_path: Path) -> None:
        (problem,) = problems(saved(tmp_path, as_lines(PAIRS)), Columns(roles))
        assert words in problem

    def test_labels_that_say_the_answer_are_no_preferences(self, tmp_path: Path) -> None:
        rows = [
            {"prompt": "a", "completion": "Yes", "label": True},
            {"prompt": "b", "completion": "No", "label": False},
        ]
        assert [row.label for row in read(saved(tmp_path, as_lines(rows)))] == ["true", "false"]

    def test_labels_that_may_not_be_meant(self, tmp_path: Path) -> None:
        rows = [f"text {number},{label}\n" for number in range(100) for label in [("spam ", "Spam", "ham")[number % 3]]]
        raw = load(saved(tmp_path, "text,label\n" + "".join(rows)))
        assert {row.label for row in raw.train} == {"spam", "Spam", "ham"}
        (warning,) = raw.warnings
        assert "only differ in case" in warning
        one = load(saved(tmp_path, "text,label\n" + "".join(f"text {number},spam\n" for number in range(100))))
        assert one.warnings == ('every label is "spam": there is nothing to tell apart',)


class TestTables:
    BROKEN = (
        "text follows the quotation mark that ends a cell; write a quotation mark inside quotes twice, and quote a cell that "
        "begins with one"
    )

    @pytest.mark.parametrize(
        "content",
        [
            ",text,label\n0,a,b\n",
            "text,label,\na,b,\n",
            "sep=;\ntext;label\na;b\n",
            'text, label\n"a", "b"\n',
            "\n\ntext|label\r\na|b\r\n",
        ],
    )
    def test_headers_that_people_have(self, content: str, tmp_path: Path) -> None:
        assert read(saved(tmp_path, content)) == [Example("a", "b", "b")]

    def test_every_broken_row_is_reported(self, tmp_path: Path) -> None:
        file = saved(tmp_path, 'text,label\na,b\n"c" d,e\nf,g\n"h" i,j\nk\n"l,m\n')
        assert problems(file) == (
            f"{file}:3: {self.BROKEN}",
            f"{file}:5: {self.BROKEN}",
            f"{file}:6: has 1 cell, the header has 2; quote cells that hold the separator",
            f"{file}:7: a quotation mark opens here and is never closed; close it, or write a quotation mark inside quotes twice",
        )

    def test_a_table_without_a_header(self, tmp_path: Path) -> None:
        (problem,) = problems(saved(tmp_path, "is it open,yes\nand now,no\n"))
        assert problem.endswith("the first line of a table must name its columns")
        assert problems(saved(tmp_path, "text,label"))[0].endswith(": has no rows below its header")


class TestParquet:
    def test_names_of_classes(self, tmp_path: Path) -> None:
        features = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
        table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "rows")
        assert problems(tmp_path / "rows")[0].endswith(
            'row 3: "label" is -1, a class without a name, as in splits with hidden labels; use another split'
        )
        pq.write_table(
            table.slice(0, 2).replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "rows"
        )
        assert [row.label for row in read(tmp_path / "rows")] == ["yes", "no"]

    def test_values_that_are_no_text(self, tmp_path: Path) -> None:
        table = pa.table(
            {
                "prompt": pa.array([b"caf\xc3\xa9"], pa.binary()),
                "completion": pa.array([0.1], pa.float32()),
                "kind": [None],
            }
        )
        pq.write_table(table, tmp_path / "rows")
        assert read(tmp_path / "rows") == [Example("café", "0.1")]

    def test_values_that_python_cannot_hold_name_their_row(self, tmp_path: Path) -> None:
        times = pa.array([0, 2**52, 0], pa.timestamp("ms"))
        pq.write_table(
            pa.table({"prompt": ["a", "b", "c"], "completion": ["d", "e", "f"], "at": times}), tmp_path / "rows"
        )
        (problem,) = problems(tmp_path / "rows")
        assert problem.startswith(f'{tmp_path}/rows row 2: "at" has a value that cannot be read')

    def test_a_column_twice(self, tmp_path: Path) -> None:
        columns = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["prompt", "completion", "completion"])
        pq.write_table(columns, tmp_path / "rows")
        assert 'the column "completion" appears twice' in problems(tmp_path / "rows")[0]


def tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train.jsonl"))
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bz2.compress(b"a"), "is compressed with bzip2; unpack it first"),
        (b"PK\x03\x04" + bytes(50), "a zip archive or an Excel workbook"),
        (gzip.compress(gzip.compress(b"a")), "is compressed twice with gzip"),
        (gzip.compress(tar()), "is a tar archive"),
        (b"\x80\x04\x95" + bytes(50), "pickles are never loaded"),
        (b"SQLite format 3\0", "is an SQLite database"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        ("text,label\n".encode("utf-16-le"), "the file is damaged, or UTF-16"),
        (b"\xef\xbb\xbf\n", "is empty"),
    ],
    # ids of their own, because gzip writes the time
    ids=["bzip2", "zip", "gzip twice", "tar", "pickle", "sqlite", "git lfs", "web page", "utf-16", "empty"],
)
def test_what_is_no_data_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    file = saved(tmp_path, content)
    (problem,) = problems(file)
    assert problem.startswith(f"{file}:")
    assert words in problem
    with pytest.raises(DataProblems) as caught:
        of_files(file)
    assert caught.value.problems == (problem,)


class TestFolders:
    def test_names_that_end_in_the_split(self, tmp_path: Path) -> None:
        saved(tmp_path, as_lines(PAIRS[:40]), "reviews_train.jsonl")
        saved(tmp_path, as_lines(PAIRS[40:50]), "reviews-dev.jsonl")
        saved(tmp_path, as_lines(PAIRS[50:]), "reviews.test.jsonl")
        raw = load(tmp_path)
        assert (len(raw.train), len(raw.validation), len(raw.test)) == (40, 10, 10)

    def test_files_that_are_read_together_are_named(self, tmp_path: Path) -> None:
        saved(tmp_path, as_lines(PAIRS[:30]), "train.jsonl")
        saved(tmp_path, as_lines([*PAIRS[30:], PAIRS[0], PAIRS[1]]), "train_more.jsonl")
        raw = load(tmp_path)
        assert "; train from train.jsonl and train_more.jsonl; " in raw.notes[0]
        assert any("train_more.jsonl:" in text and " = train.jsonl:" in text for text in raw.warnings)

    def test_one_name_in_two_formats(self, tmp_path: Path) -> None:
        saved(tmp_path, as_lines(PAIRS), "train.jsonl")
        saved(tmp_path, gzip.compress(as_lines(PAIRS)), "train.jsonl.gz")
        assert "train.jsonl and train.jsonl.gz would both be train" in problems(tmp_path)[0]

    def test_every_file_is_reported(self, tmp_path: Path) -> None:
        saved(tmp_path, as_lines(PAIRS).decode().encode("utf-16"), "train.jsonl")
        saved(tmp_path, "", "validation.jsonl")
        saved(tmp_path, as_lines([*PAIRS, {"prompt": "a"}]), "test.jsonl")
        assert [text.split("/")[-1][:12] for text in problems(tmp_path)] == [
            "train.jsonl:",
            "validation.j",
            "test.jsonl:6",
        ]

    def test_columns_that_one_file_lacks(self, tmp_path: Path) -> None:
        saved(tmp_path, as_lines(PAIRS), "train.jsonl")
        saved(tmp_path, "prompt,id\na,1\nb,2\n", "test.csv")
        (problem,) = problems(tmp_path)
        assert problem.startswith(
            f'{tmp_path}/test.csv: its rows have no "completion", by which train.jsonl is understood'
        )

    def test_a_test_file_that_is_the_training_file(self, tmp_path: Path) -> None:
        for name in ("train.jsonl", "test.jsonl"):
            saved(tmp_path, as_lines(PAIRS), name)
        assert "every prompt is in" in problems(tmp_path)[0]

    def test_what_is_there_in_place_of_data(self, tmp_path: Path) -> None:
        assert problems(tmp_path)[0].endswith("; it is empty")
        os.mkfifo(tmp_path / "train.jsonl")
        assert "train.jsonl (a named pipe)" in problems(tmp_path)[0]
        assert problems(tmp_path / "train.jsonl")[0].endswith("is a named pipe; give a file, or a folder with files")
        (tmp_path / "data").mkdir()
        saved(tmp_path / "data", as_parquet(PAIRS), "train-00000-of-00001.parquet")
        assert problems(tmp_path)[0].endswith(f"data/ has files: set task.path={tmp_path}/data")

    def test_too_few_rows_to_draw_from(self, tmp_path: Path) -> None:
        assert "The data has 20 rows, of which a fifth is drawn" in problems(saved(tmp_path, as_lines(PAIRS[:20])))[0]
        rows = saved(tmp_path, as_lines([{**row, "who": "x"} for row in PAIRS]))
        assert "60 rows in 1 group, which stay together" in problems(rows, Columns(group="who"))[0]
