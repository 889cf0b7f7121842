"""The data set changes while a study runs, or has an odd form; trials that diverge."""

from __future__ import annotations

import codecs
import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.faults.case import Case
from benchmarks.faults.kind import FRESH, HALF, kind
from benchmarks.faults.processes import logs, spawned_by
from benchmarks.faults.study import DATA

_SPLITS = ("train", "validation", "test")
_FINDS_OUT = frozenset({0, 2})


@kind("data-changed", starts=(FRESH, FRESH, HALF), trains_more=True)
def data_changed(case: Case) -> None:
    """A row is changed or appended in the run, half the time a worker is killed then; later the data is as it was."""
    before = case.folder.parent / "data-before"
    shutil.copytree(case.folder / DATA, before)
    worker_too = case.one_of("worker killed", "no worker killed") == "worker killed"
    call = case.under_way(_FINDS_OUT, says="data")
    _change(case, case.folder / DATA / f"{case.one_of(*_SPLITS)}.jsonl")
    if worker_too:
        with contextlib.suppress(psutil.NoSuchProcess):
            for worker in filter(logs, spawned_by(call.pid)):
                worker.kill()
    call.end()
    shutil.rmtree(case.folder / DATA)
    before.rename(case.folder / DATA)


@kind("data-form")
def data_form(case: Case) -> None:
    """Byte order marks, CRLF, blank lines, no line end at the end: the same rows in another form."""
    for split in _SPLITS:
        file = case.folder / DATA / f"{split}.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines()
        end = case.random.choice(("\n", "\r\n"))
        if case.random.random() < 0.5:
            lines.insert(case.random.randrange(len(lines)), case.random.choice(("", "   ", "\t")))
        text = end.join(lines) + case.random.choice(("", end, end * 3))
        mark = case.random.choice((b"", codecs.BOM_UTF8))
        case.notes.append(f"{split}: {'BOM ' if mark else ''}{end!r}")
        file.write_bytes(mark + text.encode())
    case.call()


@kind("long-line", same_end=False)
def long_line(case: Case) -> None:
    """A row too long for the model, up to megabytes: left out, and said."""
    file = case.folder / DATA / f"{case.one_of(*_SPLITS)}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    length = int(case.between(2_000, 5_000_000, "characters"))
    row = {"prompt": "a long one: " + "x" * length, "completion": "red"}
    lines.insert(case.random.randrange(len(lines)), json.dumps(row))
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    case.call(always_says=r"left out|too long|longer")


@kind("diverging", same_end=False, goes_on=False)
def diverging(case: Case) -> None:
    """Learning rates so high that some or all trials diverge."""
    low = case.one_of("1e-2", "1e20", "1e37")
    case.words += [
        f"search.space.learning_rate.low={low}",
        "search.space.learning_rate.high=1e38",
        "train.learning_rate=1e38",
    ]
    case.call(frozenset({0, 4}), says=r"diverged")


def _change(case: Case, file: Path) -> None:
    lines: Sequence[str] = file.read_text(encoding="utf-8").splitlines()
    row = json.loads(case.random.choice(lines))
    if case.one_of("row appended", "row changed") == "row appended":
        changed = [*lines, json.dumps({**row, "prompt": f"{row['prompt']}, once more"}, ensure_ascii=False)]
    else:
        place = case.random.randrange(len(lines))
        old = json.loads(lines[place])
        new = json.dumps({**old, "completion": f"{old['completion']} indeed"}, ensure_ascii=False)
        changed = [*lines[:place], new, *lines[place + 1 :]]
    file.write_text("".join(line + "\n" for line in changed), encoding="utf-8")
