"""General text that is mixed into training so that less is forgotten (`train.replay`): our own, or a file of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks import general
from tasks.example import DataProblems

OWN = Path(__file__).with_name("replay.txt")
"""Passages written for this; none of them is among the paragraphs that measure forgetting."""

FEWEST = 8
"""Minimum number of passages in a file."""

SHOWN = 20
"""Maximum number of bad lines reported one by one; the others are counted."""


def load(path: Path | None = None) -> tuple[str, ...]:
    """The passages of a file in its order, a passage a line; of a .jsonl file the field "text" of each line.

    Args:
        path: None for our own.

    Raises:
        DataProblems: lists every problem with its file and line.
    """
    file = OWN if path is None else path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataProblems(
            [f"{file}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"]
        ) from error
    except OSError as error:
        raise DataProblems(
            [f"train.replay_path={file}: cannot be read ({error.strerror}); write the path of a text or .jsonl file"]
        ) from error
    read = _rows(lines) if file.suffix == ".jsonl" else list(enumerate(lines, 1))
    rows = [(number, text.strip() if isinstance(text, str) else text) for number, text in read]
    problems = [f"{file}:{number}: {problem}" for number, problem in _problems(rows)]
    if len(problems) > SHOWN:
        problems[SHOWN:] = [f"{file}: {len(problems) - SHOWN} more lines cannot be used"]
    passages = tuple(text for _, text in rows if isinstance(text, str) and text)
    if not problems and len(passages) < FEWEST:
        problems = [f"{file}: has {len(passages)} passages; at least {FEWEST} are needed, one a line"]
    if problems:
        raise DataProblems(problems)
    return passages


def _rows(lines: Sequence[str]) -> list[tuple[int, str | ValueError]]:
    """Line number and text of each line that is not blank, or what is wrong with it."""
    rows: list[tuple[int, str | ValueError]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append((number, _text_of(line)))
            except ValueError as error:
                rows.append((number, error))
    return rows


def _text_of(line: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError('needs a field "text" with the passage, as in {"text": "..."}')
    return text


def _problems(rows: Sequence[tuple[int, str | ValueError]]) -> Iterator[tuple[int, str]]:
    measuring = {_loosened(paragraph) for paragraph in general.load()}
    for number, text in rows:
        if isinstance(text, ValueError):
            yield number, str(text)
        elif text and _loosened(text) in measuring:
            yield (
                number,
                "is one of the paragraphs that measure forgetting (tasks/general), which is no text to train on; remove it",
            )


def _loosened(text: str) -> str:
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.casefold()).split())
