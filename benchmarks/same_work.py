"""One data set laid out for two programs, so that trial by trial both train on the same batches and score the same examples.

The peer draws its order with transformers' Trainer, Goldilocks with its own (`sweep.training.batches`), so Goldilocks gets the
training rows in another order: such that what it draws is what the peer draws. Validation begins with rows that
Goldilocks's split puts into tune. Rows that are longer than either would take whole are left out for both, and counted. Whether
it came out the same is checked on the tokens that both programs make, and nothing is timed unless it did.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.peer import Encode
from sweep.records import StudyPlan
from sweep.store.paths import Paths
from sweep.training.batches import training_examples, training_order
from sweep.training.encoding import Encoded, Encoder
from sweep.training.splits import load_splits
from tasks.splits import place

TUNE_FRACTION = 0.9
"""Goldilocks keeps a part of validation for the verdict; here almost none, for there is no verdict to compare."""

Row = Mapping[str, str]


class NotTheSame(SystemExit):
    """The two programs would not do the same work."""


@dataclass(frozen=True, slots=True)
class SameWork:
    """The folders of both programs.

    Attributes:
        theirs, ours: hold train.jsonl, validation.jsonl and test.jsonl.
        scored: how many validation examples both score.
        left_out: rows that were too long, by split.
        order: the rows of `theirs` by step.
    """

    theirs: Path
    ours: Path
    scored: int
    left_out: Mapping[str, int]
    order: Sequence[Sequence[int]]


def lay_out_data(
    data: Path,
    folder: Path,
    length: Callable[[Row], int],
    longest: int,
    scored: int,
    order_of: Callable[[int], Sequence[Sequence[int]]],
) -> SameWork:
    """Writes both folders below `folder`.

    Args:
        data: holds the three files of `task=jsonl`.
        length: tokens of a row.
        longest: rows with more tokens are left out.
        scored: validation examples to be scored, fewer if there are fewer.
        order_of: the training rows that the peer uses at each step, given their number.

    Raises:
        NotTheSame: training would go through the data more than once, which no single order of rows can imitate.
    """
    train, validation = read_rows(data / "train.jsonl"), read_rows(data / "validation.jsonl")
    fits = [row for row in train if length(row) <= longest]
    fit_validation = tune_first([row for row in validation if length(row) <= longest])
    order = order_of(len(fits))
    work = SameWork(
        folder / "theirs",
        folder / "ours",
        min(scored, sum(in_tune(row) for row in fit_validation)),
        {"train": len(train) - len(fits), "validation": len(validation) - len(fit_validation)},
        order,
    )
    taken = [row for step in order for row in step]
    ours = permuted(fits, taken, training_order(len(fits), len(taken), seed=0))
    for target, rows in ((work.theirs, fits), (work.ours, ours)):
        target.mkdir(parents=True)
        write_rows(target / "train.jsonl", rows)
        write_rows(target / "validation.jsonl", fit_validation)
        shutil.copy(data / "test.jsonl", target / "test.jsonl")
    return work


def permuted(rows: Sequence[Row], theirs: Sequence[int], ours: Sequence[int]) -> list[Row]:
    """The rows in an order in which the places `ours` hold what the places `theirs` hold in `rows`; the others follow as they come.

    Raises:
        NotTheSame: a row is taken twice.
    """
    if len(set(theirs)) < len(theirs) or len(set(ours)) < len(ours):
        raise NotTheSame(
            f"{len(theirs)} examples are trained on and there are {len(rows)}: the data would be gone through more than once, "
            "which one order of the rows cannot make the same; use fewer --steps, a smaller --batch, or more data"
        )
    at = dict(zip(ours, theirs, strict=True))
    rest = iter(sorted(set(range(len(rows))) - set(theirs)))
    return [rows[at[index] if index in at else next(rest)] for index in range(len(rows))]


def in_tune(row: Row) -> bool:
    """Whether Goldilocks's split puts a validation row into tune (`tasks.splits.divide`)."""
    return place(row["prompt"], salt="tune") < TUNE_FRACTION


def tune_first(rows: Sequence[Row]) -> list[Row]:
    """Validation rows with those of tune at the beginning, each part in its order."""
    return sorted(rows, key=lambda row: not in_tune(row))


def check_same(plan: StudyPlan, work: SameWork, encode: Encode, tokenizer: Any) -> dict[str, int]:
    """Compares the tokens of every step and of every scored example, as each program makes them.

    Args:
        plan: of Goldilocks's run.
        encode: the peer's.
        tokenizer: the peer's.

    Returns:
        what was compared, counted.

    Raises:
        NotTheSame: with the first difference.
    """
    task = plan.setup.task
    splits = load_splits(task, Paths.here())
    encoder = Encoder(AutoTokenizer.from_pretrained(plan.setup.model.path), task.system_prompt)
    train, tune = (encoder.encode_split(split, task.max_length) for split in (splits.train, splits.tune))
    if train.too_long or tune.too_long:
        raise NotTheSame(f"{len(train.too_long) + len(tune.too_long)} examples are too long for Goldilocks alone")

    def theirs(row: Row) -> tuple[list[int], list[int]]:
        made = encode(row, tokenizer, task.max_length)
        return list(made["input_ids"]), list(made["labels"])

    size = plan.training.batch_size
    ordered = training_examples(train.examples, plan.training, plan.seed)
    rows = read_rows(work.theirs / "train.jsonl")
    steps = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    if [len(step) for step in steps] != [len(step) for step in work.order]:
        raise NotTheSame("the two programs take batches of different sizes")
    for number, (own, step) in enumerate(zip(steps, work.order, strict=True), 1):
        if [as_tokens(item) for item in own] != [theirs(rows[index]) for index in step]:
            raise NotTheSame(f"step {number}: the two programs would train on different tokens")
    scored = tune.examples[: plan.setup.scoring.examples]
    others = read_rows(work.theirs / "validation.jsonl")[: work.scored]
    if [as_tokens(item) for item in scored] != [theirs(row) for row in others]:
        raise NotTheSame("the two programs would score different examples")
    return {"steps": len(steps), "examples_trained_on": len(ordered), "examples_scored": len(scored)}


def as_tokens(item: Encoded) -> tuple[list[int], list[int]]:
    """Input ids and labels, as the peer has them: -100 where nothing is learned."""
    return [*item.prompt, *item.completion], [*[-100] * len(item.prompt), *item.completion]


def without_template(model: Path, folder: Path) -> Path:
    """The model's folder once more, by links, with a tokenizer that has no chat template: the peer uses none."""
    folder.mkdir(parents=True)
    for file in model.iterdir():
        if file.name == "tokenizer_config.json":
            said = json.loads(file.read_text())
            said.pop("chat_template", None)
            (folder / file.name).write_text(json.dumps(said))
        elif file.is_file() and file.name not in ("chat_template.jinja", "chat_template.json"):
            (folder / file.name).symlink_to(file.resolve())
    return folder


def read_rows(file: Path) -> list[Row]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in file.read_text().split("\n") if line.strip()]


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """One JSON object a line."""
    file.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
