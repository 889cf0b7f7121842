"""What a person mistypes: refused with words before anything is written."""

from __future__ import annotations

import shutil

from benchmarks.faults.case import Case
from benchmarks.faults.kind import EMPTY, REFUSED, kind
from benchmarks.faults.study import DATA

_WORDS = {
    "certify.sedes=3": "sedes",
    "certify.ladder=[4,2]": "ladder",
    "certify.ladder=[2]": "ladder",
    "certify.margin=-1": "margin",
    "certify.alpha=2": "alpha",
    "train.steps=0": "steps",
    "train.steps=many": "steps",
    "train.steps=99999999999999999999": "steps",
    "search.space.rank=[1000000]": "rank",
    "search.space.learning_rate.low=1": "learning_rate",
    "search.sampler=tpee": "tpe",
    "search.sampler_options={nonsense:1}": "nonsense",
    "model=tinny": "tiny",
    "quant=nf5": "nf",
    "study.name=../x": "name",
    "task.metric=accuracies": "metric",
    "budget.memory=-1GB": "memory",
    "budget.wall_clock=soon": "wall_clock",
    "executor.workers=0": "workers",
    "tracking.uri=nonsense": "tracking.uri",
    "nonsense": "nonsense",
}
"""Each with what the answer must name."""

_TRAIN = ("missing", "empty", "a folder", "a dangling link", "not JSON", "without completion", "not UTF-8", "one list")


@kind("bad-word", starts=(EMPTY,), same_end=False, goes_on=False)
def bad_word(case: Case) -> None:
    """A mistaken key or value on the command line."""
    word = case.one_of(*_WORDS)
    key = word.split("=")[0]
    case.words = [other for other in case.words if other.split("=")[0] != key]
    case.words.append(word)
    case.call(REFUSED, says=_WORDS[word])


@kind("bad-data", starts=(EMPTY,), same_end=False, goes_on=False)
def bad_data(case: Case) -> None:
    """A data set with a file that cannot be used."""
    file = case.folder / DATA / f"{case.one_of('train', 'validation', 'test')}.jsonl"
    way = case.one_of(*_TRAIN)
    rows = file.read_text(encoding="utf-8")
    file.unlink()
    match way:
        case "empty":
            file.write_text("")
        case "a folder":
            file.mkdir()
        case "a dangling link":
            file.symlink_to("nowhere")
        case "not JSON":
            file.write_text(rows + "this is no JSON\n")
        case "without completion":
            file.write_text(rows + '{"prompt": "alone"}\n')
        case "not UTF-8":
            file.write_bytes(rows.encode("utf-8") + b'{"prompt": "caf\xe9", "completion": "red"}\n')
        case "one list":
            file.write_text(f"[{','.join(rows.splitlines())}]")
    case.call(REFUSED, says=file.stem)


@kind("no-data", starts=(EMPTY,), same_end=False, goes_on=False)
def no_data(case: Case) -> None:
    """The data set's folder is missing."""
    shutil.rmtree(case.folder / DATA)
    case.call(REFUSED, says=DATA)
