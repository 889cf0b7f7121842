"""What the generators of the built-in domains share: splits, seeds, and the files that they write."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from tasks.example import Example

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Made = Mapping[Split, Sequence[Example]]
"""The generated rows of a domain."""


def chance(seed: int, *purpose: str) -> random.Random:
    """A separate random generator for each purpose, so that one change does not reshuffle the rest."""
    return random.Random(f"{seed}/{'/'.join(purpose)}")


def encoded(rows: Sequence[Example]) -> bytes:
    """The rows as the content of a JSON lines file; fields that a row lacks are left out.

    If any row has earlier turns, all are written as chats, without labels (`tasks.own_data` reads them), of which only the last turn
    is learned.
    """
    as_row = _as_chat if any(row.history for row in rows) else Example.as_row
    filled = ({name: value for name, value in as_row(row).items() if value is not None} for row in rows)
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in filled).encode()


def _as_chat(row: Example) -> dict[str, object]:
    turns: list[dict[str, object]] = [
        {"role": role, "content": text} | ({"weight": 0} if role == "assistant" else {}) for role, text in row.history
    ]
    turns += [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.completion}]
    return {"messages": turns, "kind": row.kind}


def write(made: Made, folder: Path) -> None:
    """Writes one file per split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in made.items():
        (folder / f"{split}.jsonl").write_bytes(encoded(rows))


def table(made: Made) -> str:
    """The first table of a data card: rows per kind and split, and the mean words of a prompt."""
    kinds = list(dict.fromkeys(str(row.kind) for split in SPLITS for row in made[split]))
    lines = [cells("kind", *SPLITS), cells(*["---"] * (len(SPLITS) + 1))]
    lines += counts(sorted(kinds), [[str(row.kind) for row in made[split]] for split in SPLITS])
    lines.append(cells("all", *(str(len(made[split])) for split in SPLITS)))
    lines.append(cells("mean words in a prompt", *(f"{_mean_words(made[split]):.1f}" for split in SPLITS)))
    return "\n".join(lines)


def counts(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: how often each name occurs in each column, and its share."""
    counted = [Counter(column) for column in columns]
    return [cells(name, *(f"{count[name]} ({count[name] / count.total():.1%})" for count in counted)) for name in names]


def cells(*texts: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(texts)} |"


def _mean_words(rows: Sequence[Example]) -> float:
    return sum(len(row.prompt.split()) for row in rows) / len(rows)
