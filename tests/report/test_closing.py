"""Below the table: what is known, what is not, and commands that can be typed as they stand."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from sweep.config.overrides import override_problems
from sweep.paths import Paths
from sweep.records import Status, StudyRecord
from sweep.report.closing import WIDTH, next_steps, print_outcome, words
from tests.conftest import arm, result, study_record

RECORD = study_record(
    [
        result(arm(8), 0.31),
        result(arm(32), 0.30),
        result(arm(4), 0.90),
        result(arm(2), None, Status.FAILED, "diverged: the loss was nan at step 12"),
        result(arm(64), None, Status.INFEASIBLE, "out of memory"),
    ]
)
PATHS = Paths(Path("/somewhere/mlruns"))


def outcome(record: StudyRecord) -> str:
    out = Console(file=io.StringIO(), width=WIDTH, highlight=False)
    print_outcome(record, PATHS, None, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def said(record: StudyRecord) -> str:
    best = record.best()
    assert best is not None
    return "\n".join(words(record, best))


def search_on(record: StudyRecord) -> list[str]:
    """The words of the command that searches on."""
    (line,) = (step for step in next_steps(record, PATHS, None) if step.endswith("search on from here"))
    return shlex.split(line.removesuffix("search on from here"))


def test_same_record_gives_the_same_text() -> None:
    assert outcome(RECORD) == outcome(replace(RECORD))


def test_says_that_nothing_is_certified_and_why() -> None:
    assert said(RECORD).startswith("status: undecided. No rank is certified yet: every arm was trained with one seed.")
    assert "the learning rate was not tuned for each rank" in said(RECORD)


def test_names_the_best_arm_beside_the_base() -> None:
    assert (
        "Best so far: rank 32 on q_v, learning rate 2.0e-03: loss 0.3000, accuracy 0.500, the base model 4.0000 and 0.500."
    ) in said(RECORD)
    assert "Its adapter is 3.2 MB: 800,000 parameters, 0.64 % of the model." in said(RECORD)


def test_smaller_adapter_that_keeps_nearly_all_of_the_gain_is_worth_a_look() -> None:
    assert (
        "Worth a look: rank 8 keeps 99 % of the gain in this one run with an adapter of 800 kB (loss 0.3100)."
        in said(RECORD)
    )


@pytest.mark.parametrize(
    "record",
    [
        study_record([result(arm(8), 0.36), result(arm(32), 0.30)]),
        study_record([result(arm(8), 0.30), result(arm(32), 0.30)]),
        study_record([result(arm(8), 5.1), result(arm(32), 5.0)]),
        study_record([result(arm(8), 0.30), result(arm(32), 0.30)], base_loss=None),
    ],
    ids=["loses more", "is the best itself", "no gain at all", "base unknown"],
)
def test_nothing_is_worth_a_look_where_no_smaller_one_keeps_the_gain(record: StudyRecord) -> None:
    assert "Worth a look" not in said(record)


def test_trials_that_ended_otherwise_are_listed_with_reasons() -> None:
    text = outcome(replace(RECORD, interrupted=2))
    assert "r2-lr2e-03-s0: failed: diverged: the loss was nan at step 12\n" in text
    assert "r64-lr2e-03-s0: infeasible: out of memory\n" in text
    assert "2 trial(s) were interrupted and asked for again\n" in text
    assert "interrupted" not in outcome(RECORD)


def test_without_a_complete_trial_reasons_are_all_there_is() -> None:
    text = outcome(study_record([result(arm(2), None, Status.FAILED, "diverged")]))
    assert "r2-lr2e-03-s0: failed: diverged" in text
    assert "Best so far" not in text
    assert "Next:" not in text


@pytest.mark.parametrize(
    "command",
    [
        "python -m sweep +study=made",
        "python -m sweep +study=made search.trials=10",
        "python -m sweep search.trials=5 +study=made ++search.trials=10",
    ],
)
def test_number_of_trials_is_replaced_and_not_repeated(command: str) -> None:
    assert search_on(replace(RECORD, command=command)) == ["python", "-m", "sweep", "+study=made", "search.trials=20"]


def test_command_to_search_on_can_be_typed_as_it_stands() -> None:
    typed = ["task=jsonl", "task.path='/data/my boxes'", "lora.targets=[q_proj,v_proj]", "search.trials=10"]
    again = search_on(replace(RECORD, command=shlex.join(["python", "-m", "sweep", *typed])))
    assert again == ["python", "-m", "sweep", *typed[:-1], "search.trials=20"]
    overrides = again[3:]
    assert override_problems(overrides) == ([], overrides)
    assert OverridesParser.create().parse_override(overrides[1]).value() == "/data/my boxes"


@pytest.mark.parametrize(
    ("uri", "store"),
    [
        (None, "sqlite:////somewhere/mlruns/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://user:secret@host/db", "postgresql://***@host/db"),
    ],
)
def test_other_commands_name_study_and_store(uri: str | None, store: str) -> None:
    heading, predict, compare, _ = next_steps(RECORD, PATHS, uri)
    assert heading == "Next:"
    assert shlex.split(predict)[:5] == ["python", "-m", "sweep.predict", "study=made", "prompt=..."]
    assert shlex.split(compare)[:4] == ["mlflow", "ui", "--backend-store-uri", store]


def test_commands_are_not_broken_into_lines() -> None:
    long = replace(RECORD, command=f"python -m sweep +study=made task.system_prompt={'very_' * 40}long")
    assert any(
        line.startswith("  python -m sweep +study=made") and line.endswith("from here")
        for line in outcome(long).split("\n")
    )


def test_paths_are_told_from_where_the_person_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, predict, compare, _ = next_steps(RECORD, Paths.here(), None)
    assert "(mlruns/reports/made/adapter)" in predict
    assert "sqlite:///mlruns/mlflow.db" in compare
