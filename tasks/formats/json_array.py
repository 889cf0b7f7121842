"""JSON over the whole file: a list of objects, an object that holds the rows (`json_document`), or objects one after another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat, decoded, without_mark
from tasks.formats.json_document import object_in, rows_in, splits_in
from tasks.formats.json_lines import A_ROW, without_repeats

_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder(object_pairs_hook=without_repeats)


def _fits(data: bytes) -> bool:
    start = without_mark(data).lstrip()
    if start[:1] == b"[":
        return True
    if start[:1] != b"{":
        return False
    first, _, rest = start.partition(b"\n")
    line = first.decode(errors="replace").rstrip()
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        if object_in(start) is not None:
            return True
        if object_in(rest.partition(b"\n")[0]) is not None:  # JSON lines; the first one is a mistake
            return False
        # objects that go on in the next line, or one after another in a line
        return error.pos >= len(line) or (error.msg == "Extra data" and line[error.pos :].startswith("{"))
    except (ValueError, RecursionError):
        return object_in(start) is not None
    whole = object_in(start) if not rest.strip() else None
    return whole is not None and bool(rows_in(whole) or splits_in(whole))


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    values = _values(decoded(data))
    whole = values[0] if len(values) == 1 else values
    if isinstance(whole, list):
        rows = whole
    elif isinstance(whole, dict):
        if splits := splits_in(whole):
            raise DataProblems(
                [
                    f" holds several lists ({', '.join(splits)}); write each into a file of its own in one folder, for instance with "
                    f"jq -c '.{splits[0]}[]' FILE > {splits[0]}.jsonl, and set task.path to the folder"
                ]
            )
        rows = list(rows_in(whole) or [whole])
    else:
        rows = [whole]
    return enumerate(rows, start=1)


def _values(text: str) -> list[object]:
    """The JSON values in a text, one after another.

    Raises:
        DataProblems: the text is not JSON; names the line.
    """
    values: list[object] = []
    place = _end_of_space(text, 0)
    while place < len(text):
        try:
            value, end = _DECODER.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise DataProblems([f"{error.lineno}: invalid JSON at column {error.colno}: {error.msg}"]) from error
        except RecursionError as error:
            raise DataProblems([" invalid JSON: nested too deeply"]) from error
        except ValueError as error:
            line = text.count("\n", 0, place) + 1
            raise DataProblems([f"{line}: invalid JSON in what begins here: {error}"]) from error
        place = _end_of_space(text, end)
        if isinstance(value, list) and (values or place < len(text)):
            line = text.count("\n", 0, end) + 1
            raise DataProblems(
                [
                    f"{line}: more follows the list that ends here. A row is an object with named values, "
                    f"such as {A_ROW}; a file has one list of rows, or one row on each line"
                ]
            )
        values.append(value)
    return values


def _end_of_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


FORMAT = FileFormat("a JSON list", _fits, _rows, separator=" item ")
