"""A house style: plain statements become gothic prose, rhymed verse or shop copy; composed by `python -m tasks.style.generate`."""

from pathlib import Path

from tasks import RawSplits, Task, jsonl
from tasks.style.scoring import styled

DATA = Path(__file__).with_name("data")
"""The folder with `train.jsonl`, `validation.jsonl` and `test.jsonl`."""


def load() -> RawSplits:
    """The splits, in file order."""
    return jsonl.load(DATA)


TASK = Task(
    load=load,
    metric=styled,
    max_length=256,
    system_prompt="You write in the house style: gothic prose, rhymed verse or shop copy, with nothing that you were not told.",
    kinds=("prose", "verse", "copy"),
)
