"""After a search over methods: the best of each, importances, the page, and the command that certifies the best one."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sweep.commands.app import composed_plan
from sweep.records import Arm, Status, StudyPlan, StudyRecord, TrialResult
from sweep.reports.by_method import certify_command, method_lines
from sweep.reports.closing import WIDTH, print_outcome
from sweep.reports.forecast import plan_line
from sweep.reports.page import Beside, answer_of, render
from sweep.reports.page.methods import method_parts
from sweep.reports.page.search_charts import rates_tried
from sweep.reports.pictures import draw_ladder, draw_pareto
from sweep.store.paths import Paths
from tests.conftest import arm, result, study_record

PATHS = Paths(Path("/somewhere/mlruns"))
WORDS = ("search.space.method=[lora,dora,prompt_tuning]", "certify=none", "method.init=random", "search.trials=12")


def prompt(tokens: int, rate: float) -> Arm:
    return Arm(0, 0.0, 0.0, (), rate, "prompt_tuning", own=(("tokens", tokens), ("init", "random")))


TRIALS = (
    result(arm(8), 0.31),
    result(replace(arm(16, learning_rate=0.0051234567891), method="dora"), 0.25),
    result(prompt(8, 3e-2), 0.81),
    result(prompt(16, 2e-2), 0.61),
    result(prompt(4, 1e-2), None, Status.FAILED, "diverged: the loss was nan at step 12"),
    *(result(arm(rank, learning_rate=1e-3 * step), 0.30 + step / 100) for rank in (4, 8) for step in range(3, 6)),
)
SHARES: Mapping[str, Mapping[str, float]] = {
    "lora": {"learning_rate": 0.7, "log2_r": 0.2, "dropout": 0.1},
    "dora": {},
    "prompt_tuning": {},
}


def record_with(trials: tuple[TrialResult, ...] = TRIALS, *words: str) -> StudyRecord:
    given = (*WORDS, *words)
    plan = composed_plan(given)
    return replace(
        study_record(trials),
        config=plan.config,
        target_sets=plan.setup.model.target_sets,
        command=shlex.join(["python", "-m", "sweep", *given]),
        method_importances=SHARES,
    )


RECORD = record_with()


def printed(record: StudyRecord) -> str:
    out = Console(file=io.StringIO(), width=WIDTH, highlight=False)
    print_outcome(record, PATHS, None, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def certifies(record: StudyRecord) -> StudyPlan:
    """The plan of the command that certifies the best method."""
    command = certify_command(record)
    assert command is not None
    start = ["python", "-m", "sweep"]
    words = shlex.split(command.command)
    assert words[:3] == start
    return composed_plan(words[3:])


def test_the_table_has_a_column_for_the_method() -> None:
    text = printed(RECORD)
    assert re.search(r"method +. *rank", text)
    lines = [line for line in text.splitlines() if line.startswith(("│ dora ", "│ prompt_tuning "))]
    assert len(lines) == 3
    assert "method" not in printed(study_record([result(arm(8), 0.31)])).splitlines()[2]


def test_the_best_of_each_method_with_its_parameters_comes_best_first() -> None:
    first, *lines = method_lines(RECORD)
    assert first == "The best trial of each method:"
    assert lines == [
        "  DoRA: loss 0.2500, accuracy 0.500, 1.6 MB with rank 16, alpha 32, q_v, learning rate 5.1e-03 (1 trial; too few to say what "
        "its loss depends on: 6 are needed)",
        "  LoRA: loss 0.3100, accuracy 0.500, 800 kB with rank 8, alpha 16, q_v, learning rate 2.0e-03 (7 trials; its loss depends on "
        "learning_rate 70 %, rank 20 %, dropout 10 %)",
        "  prompt tuning: loss 0.6100, accuracy 0.500, 0 B with tokens 16, init random, learning rate 2.0e-02 (2 of 3 trials complete; "
        "too few to say what its loss depends on: 6 are needed)",
    ]
    assert all(line in printed(RECORD) for line in ("The best trial of each method:", "  DoRA: loss 0.2500"))


def test_a_method_without_a_complete_trial_is_named() -> None:
    lines = list(method_lines(record_with((*TRIALS[:2], TRIALS[4]))))
    assert lines[-1] == "  prompt tuning: no complete trial (0 of 1 trial complete)"


def test_the_next_step_certifies_the_best_method_from_its_best_arm() -> None:
    command = certify_command(RECORD)
    assert command is not None
    assert command.purpose == "certifies the ranks of DoRA (each trained)"
    assert "Next:" in printed(RECORD)
    assert "certifies the ranks of DoRA" in printed(RECORD)
    plan = certifies(RECORD)
    assert (plan.arm.method, plan.methods, plan.name) == ("dora", (), "made-dora")
    assert (plan.certify, plan.declaration.ladder_by, plan.search.trials) == (True, "train", 1)
    assert plan.search.arms == (TRIALS[1].spec.arm,), "exact, so that the stored trial is found"


def test_lora_is_certified_by_cutting() -> None:
    plan = certifies(record_with((TRIALS[0], TRIALS[2])))
    assert (plan.arm.method, plan.declaration.ladder_by) == ("lora", "cut")


def test_where_the_best_method_has_no_rank_the_next_one_is_certified() -> None:
    command = certify_command(record_with((result(prompt(8, 3e-2), 0.1), *TRIALS[:2])))
    assert command is not None
    assert command.purpose.endswith(
        "DoRA (each trained), the best method that has ranks: prompt tuning has none to certify"
    )
    assert certify_command(record_with(TRIALS[2:5])) is None
    assert "certifies" not in printed(record_with(TRIALS[2:5]))


def test_the_command_keeps_what_was_given_for_the_method_alone() -> None:
    record = record_with(TRIALS, "search.space.learning_rates={dora: [1e-3,2e-2]}", "search.space.rank=[8,16]")
    plan = certifies(record)
    assert plan.space.learning_rate == (1e-3, 2e-2)
    assert plan.space.ranks == (8, 16)


def test_the_page_has_a_part_for_each_method() -> None:
    parts = method_parts(RECORD)
    assert [part.summary.name for part in parts] == ["dora", "lora", "prompt_tuning"]
    assert [part.rates is not None for part in parts] == [False, True, True]
    assert [part.importances is not None for part in parts] == [False, True, False]
    page = render(RECORD, None, answer_of(RECORD, None), Beside("today"))
    assert 'id="methods"' in page
    for name in ("rates-lora", "rates-prompt_tuning", "importances-lora"):
        assert f'data-chart="{name}"' in page
    assert "1 complete trial: too few to say what its loss depends on" in page
    assert 'data-chart="rates"' not in page
    assert 'id="ladder"' not in page, "ranks of different methods are no ladder"
    assert method_parts(study_record([result(arm(8), 0.31)])) == []


def test_rates_of_prompts_are_mapped_by_their_tokens() -> None:
    tried = rates_tried(record_with((*TRIALS, result(prompt(32, 1e-2), 0.7))), "prompt_tuning")
    assert [(point.row, point.rate) for point in tried] == [
        ("tokens 8", 3e-2),
        ("tokens 16", 2e-2),
        ("tokens 32", 1e-2),
    ]


def test_pictures_tell_methods_apart(tmp_path: Path) -> None:
    draw_pareto(RECORD, tmp_path / "pareto.svg")
    text = (tmp_path / "pareto.svg").read_text()
    assert all(name in text for name in ("DoRA", "LoRA", "prompt tuning"))
    assert not draw_ladder(RECORD, None, tmp_path / "ladder.svg")


@pytest.mark.parametrize(
    ("words", "trials"),
    [
        (WORDS, TRIALS),
        (("method=prompt_tuning", "certify=none"), TRIALS[2:5]),
    ],
)
def test_a_study_with_adapters_without_ranks_is_forecast(
    words: tuple[str, ...], trials: tuple[TrialResult, ...]
) -> None:
    plan = composed_plan([*words, "search.trials=20"])
    line = plan_line(plan, study_record(trials))
    assert f"{20 - len(trials)} search trials" in line
    assert "adapters about" in line
    assert ("over lora, dora, prompt_tuning" in line) == bool(plan.methods)
