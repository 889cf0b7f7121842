"""Below the table: what is known, what is not, and commands that can be typed as they stand."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from sweep.config.overrides import override_problems
from sweep.records import Declaration, Status, StudyRecord
from sweep.records.champion import ChampionEvent
from sweep.reports.closing import WIDTH, console, next_steps, print_outcome, words
from sweep.store.champions import Champions
from sweep.store.paths import ORIGIN, Paths
from sweep.verdict.conclude import conclude
from tests.conftest import arm, certified_record, result, study_record
from tests.store.test_champions import ROWS, adapter_in, entry
from tests.verdict.studies import with_kinds
from tests.verdict.test_kinds import COUNTS, SCORES

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


def test_the_answering_command_names_a_database_of_the_study() -> None:
    config = f"{RECORD.config}\nstorage: {{url: 'postgresql://ann:hushhush@db/optuna'}}\n"
    line = next(each for each in next_steps(replace(RECORD, config=config), PATHS, None) if "sweep.predict" in each)
    assert 'prompt="..." storage=postgresql://***@db/optuna' in line


def test_same_record_gives_the_same_text() -> None:
    assert outcome(RECORD) == outcome(replace(RECORD))


def test_says_that_nothing_is_certified_and_why() -> None:
    assert said(RECORD).startswith(
        "status: undecided. No rank is certified yet.\n  - Every recipe was trained with one seed"
    )
    assert "The learning rate was not tuned per rank" in said(RECORD)


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
    assert "2 interrupted trial(s) will run again\n" in text
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
    assert shlex.split(compare)[:4] == ["python", "-m", "sweep.ui", f"tracking={store}"]


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
    assert compare == "  python -m sweep.ui     compare the runs"


# a study with a verdict


WIDE = 100


def told(record: StudyRecord, paths: Paths = PATHS) -> str:
    out = Console(file=io.StringIO(), width=WIDE, highlight=False)
    print_outcome(record, paths, None, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def test_answer_stands_below_the_ladder_and_says_what_it_costs() -> None:
    text = told(certified_record(final=(8, 32)))
    heads = [
        "made: boxes on tiny",
        "ranks, on certify",
        "on test, evaluated once",
        "status: certified. Rank 8 is enough.",
        "Next:",
    ]
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)
    assert "Its adapter is 800 kB against 3.2 MB at rank 32, training took 20 s against 20 s." in unwrapped(text)
    assert "search on from here" not in text
    assert "settles what is open" not in text


@pytest.mark.parametrize("kind", ["certified", "undecided", "provisional"])
def test_all_but_commands_is_readable_at_100_columns(kind: str) -> None:
    record = {
        "certified": certified_record(final=(8, 32), failures={64: (Status.INFEASIBLE, "out of memory")}),
        "undecided": certified_record(seed_noise=0.02, final=(8, 32)),
        "provisional": certified_record(at_edge=(4, 8)),
    }[kind]
    above, _, _ = told(record).partition("Next:")
    assert f"status: {kind}." in above
    assert max(len(line) for line in above.splitlines()) <= WIDE
    assert "…" not in above


def test_reasons_findings_and_the_settling_command_are_told() -> None:
    text = unwrapped(told(certified_record(at_edge=(4,), failures={64: (Status.INFEASIBLE, "out of memory")})))
    assert "status: provisional. Rank 8 is enough, provisionally." in text
    assert "- Rank 4 does best at the highest learning rate allowed (4.0e-03)" in text
    assert (
        "Note: The verdict covers only ranks 2 to 32. Rank 64 does not fit into memory (infeasible: out of memory)."
        in text
    )
    assert (
        "python -m sweep +study=made search.trials=10 seed=1 search.space.learning_rate.high=0.004 settles what is open (about"
        in text
    )


def test_the_experiment_of_a_finding_is_a_next_step_and_given_once() -> None:
    text = unwrapped(told(certified_record({2: 0.6, 4: 0.45, 8: 0.30})))
    longer = "python -m sweep +study=made search.trials=10 seed=1 'certify.ladder=[2,4,8,16]'"
    assert text.count(longer) == 1
    assert (
        "Note: The loss is still falling with the rank. Whether LoRA falls short, or the data teach no more, only full"
        in text
    )
    assert "{method: full}]' quant=none trains full fine-tuning beside it" in text


def test_undecided_study_says_which_adapter_it_hands_out_and_how_many_seeds_it_lacks() -> None:
    text = unwrapped(told(certified_record(seed_noise=0.02)))
    assert "status: undecided. No rank is certified yet." in text
    assert "Best so far is rank 8; its adapter is 800 kB" in text
    assert "certify.seeds=" in text


def test_command_that_trains_nothing_says_so() -> None:
    changed = certified_record(declared=Declaration((2, 4, 8, 16, 32), 3, 0.05, "gain", 0.05))
    assert "settles what is open (nothing is trained)" in unwrapped(told(changed))


def test_note_says_why_there_is_no_test_on_the_metric() -> None:
    text = unwrapped(told(certified_record(answers=False)))
    assert "Note: There is no accuracy per example, so ranks were not compared in it." in text


def test_largest_rank_is_not_held_against_itself() -> None:
    text = unwrapped(told(certified_record({2: 0.6, 4: 0.45, 8: 0.3})))
    assert "Its adapter is 800 kB, training took 20 s." in text


def test_report_is_named_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths.here()
    assert "index.html" not in told(certified_record(), paths)
    paths.report("made").mkdir(parents=True)
    (paths.report("made") / "index.html").touch()
    assert "  mlruns/reports/made/index.html     the report, for a browser\n" in told(certified_record(), paths)


def test_rates_that_were_tuned_are_no_reason_any_more() -> None:
    record = certified_record(stopped="budget.wall_clock=25 min is spent")
    assert record.certification is not None
    early = replace(record, certification=replace(record.certification, trials=(), looks=()))
    text = unwrapped(told(early))
    assert "status: undecided. No rank is certified yet. - Every recipe was trained with one seed" in text
    assert "The learning rate was not tuned" not in text
    assert "- Stopped early: budget.wall_clock=25 min is spent." in text


def test_a_metric_that_gained_nothing_is_said_first_and_once() -> None:
    text = unwrapped(told(certified_record(scores={0: 0.57, **dict.fromkeys((2, 4, 8, 16, 32), 0.54)})))
    assert "status: certified. The loss falls, but accuracy does not rise: 0.540 with rank 8, 0.570 without" in text
    assert text.count("The loss falls") == 1
    assert "Note: The model may have learned only the format of the answers. Train for longer" in text


def test_weak_kinds_stand_in_a_table_and_a_note() -> None:
    text = told(with_kinds(certified_record(final=(8, 32)), SCORES, COUNTS))
    assert "accuracy by kind of example" in text
    assert "Note: Rank 8 is of little use on 2 of 5 kinds of examples" in unwrapped(text)
    assert max(len(line) for line in text.partition("Next:")[0].splitlines()) <= WIDE


def test_command_that_only_scores_says_so() -> None:
    record = certified_record(dict.fromkeys((2, 4, 8), 0.3), seed_noise=0.001, example_noise=1.0)
    text = unwrapped(told(record))
    assert "evaluate.certify_examples=" in text
    assert ": existing adapters are evaluated on more examples)" in text


def test_the_adapter_in_use_is_named_where_there_is_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, paths = certified_record(), Paths(tmp_path / "mlruns")
    history, adapter = Champions(paths, record.name), adapter_in(tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    history.append(entry(1, ChampionEvent.VERDICT), adapter=adapter, rows=ROWS)
    history.append(entry(2), adapter=adapter, rows=ROWS)
    steps = next_steps(record, paths, None, conclude(record))
    name = record.name
    assert "an answer with version 2 of the champion, which is in use (mlruns/champions/" + name in steps[1]
    (adopting,) = [step for step in steps if "adopt=true" in step]
    assert f"python -m sweep.champion study={name} adopt=true" in adopting
    assert f"takes this adapter into use instead (mlruns/reports/{name}/adapter)" in adopting
    # the verdict's own
    paths.adapter(name).mkdir(parents=True)
    (paths.adapter(name) / ORIGIN).write_text(json.dumps({"trial": "trial2"}))
    assert not [step for step in next_steps(record, paths, None, conclude(record)) if "adopt=true" in step]
    # one that cannot be read
    (paths.champion_entry(name, 2) / "entry.json").write_text("")
    assert (
        f"an answer with this adapter (mlruns/reports/{name}/adapter)"
        in next_steps(record, paths, None, conclude(record))[1]
    )


def test_names_between_colons_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("task.metric=boxes:m: failed on :apple:", markup=False)
    assert capsys.readouterr().out == "task.metric=boxes:m: failed on :apple:\n"
