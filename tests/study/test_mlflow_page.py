"""What MLflow shows of a study as a whole: description, series, data sets, the chosen adapter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.app import composed_plan
from sweep.records import StudyRecord
from sweep.store.paths import ORIGIN, Paths
from sweep.study.champion import champion
from sweep.study.data_sets import data_sets
from sweep.study.mlflow_page import experiment_note, last_moment, series
from sweep.study.recording import summary
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen
from tasks import Example, RawSplits
from tasks.splits import divide
from tests.conftest import LADDER_LOSSES, arm, certified_record, cut_record, result, study_record


def by_metric(record: StudyRecord) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, float]] = {}
    for point in series(record, conclude(record)):
        assert point.step not in values.setdefault(point.metric, {})
        values[point.metric][point.step] = point.value
    return values


@pytest.mark.parametrize("record", [certified_record(), cut_record()], ids=["trained", "cut"])
def test_the_ladder_is_a_series_by_rank(record: StudyRecord) -> None:
    conclusion = conclude(record)
    assert conclusion is not None
    values = by_metric(record)
    ladder = [row.rank for row in conclusion.ladder]
    assert list(values["ladder/certify_loss"]) == ladder
    assert values["ladder/certify_loss"] == {row.rank: pytest.approx(row.loss) for row in conclusion.ladder}
    assert set(values["ladder/margin"].values()) == {conclusion.margin_in_loss}
    enough = [rank for rank, bound in values["ladder/gap_upper_bound"].items() if bound < values["ladder/margin"][rank]]
    assert conclusion.rank == min(enough)


def test_the_search_is_a_series_by_trial() -> None:
    values = by_metric(certified_record())
    assert list(values["search/trial_loss"].values()) == list(LADDER_LOSSES.values())
    lowest = list(values["search/lowest_loss"].values())
    assert lowest == sorted(lowest, reverse=True)
    assert list(values["search/lowest_loss"]) == list(range(1, len(LADDER_LOSSES) + 1))


def test_an_outcome_has_one_moment_however_often_it_is_recorded() -> None:
    record = certified_record()
    assert last_moment(record) == max(trial.result.started + trial.seconds for trial in record.all_trials())
    assert summary(record) == summary(record)
    assert last_moment(study_record([], base_loss=None)) == 0.0


def test_the_description_asks_and_answers() -> None:
    record = certified_record()
    conclusion = conclude(record)
    assert conclusion is not None
    text = experiment_note(record, conclusion, "made-goldilocks")
    assert (
        "the smallest rank of 2, 4, 8 that is enough for `boxes` on `tiny`" not in text
    )  # the ladder that was declared
    assert "smallest rank of 2, 4, 8, 16, 32" in text
    assert conclusion.headline in text
    assert all(reason in text for reason in conclusion.reasons)
    assert "#/experiments/{experiment}/runs/{run}/artifacts" in text
    assert "#/models/made-goldilocks" in text
    assert len(text) < 5000


def test_the_description_of_an_open_study_promises_no_adapter() -> None:
    record = study_record([result(arm(32), 0.3)])
    text = experiment_note(record, None, None)
    assert "nothing is certified" in text
    assert "champion" not in text


def examples(count: int, word: str) -> tuple[Example, ...]:
    return tuple(Example(f"{word} {number}", "yes", kind="odd" if number % 2 else None) for number in range(count))


def test_each_split_is_a_data_set_with_its_own_hash() -> None:
    plan = composed_plan(["model=tiny", "certify=none"])
    splits = divide(RawSplits(examples(9, "train"), examples(40, "validation"), examples(5, "test")))
    sets = {each.split: each for each in data_sets(plan, splits)}
    assert list(sets) == ["train", "tune", "certify", "test"]
    assert {name: each.rows for name, each in sets.items()} == {
        "train": 9,
        "tune": len(splits.tune),
        "certify": len(splits.certify),
        "test": 5,
    }
    assert len({each.sha256 for each in sets.values()}) == 4
    assert sets["train"].kinds == {"odd": 4}
    assert sets["test"].name == f"{plan.setup.task.name}-test"
    assert json.loads(sets["test"].source) == {"uri": f"tasks/{plan.setup.task.name}"}
    changed = replace(splits, test=(*splits.test[:-1], Example("test 4", "no")))
    others = {each.split: each for each in data_sets(plan, changed)}
    assert {name for name in sets if sets[name].sha256 != others[name].sha256} == {"test"}


def test_the_hubs_data_names_its_source() -> None:
    plan = composed_plan(["model=tiny", "task=hub", "task.dataset=org/name", "task.revision=abc", "certify=none"])
    splits = divide(RawSplits(examples(3, "a"), examples(40, "b"), examples(3, "c")))
    first = data_sets(plan, splits)[0]
    assert (first.source_kind, json.loads(first.source)) == ("hf", {"path": "org/name", "revision": "abc"})


@pytest.fixture
def handed_out(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def write_origin(paths: Paths, record: StudyRecord, **changed: Any) -> None:
    trial = chosen(record, conclude(record))
    assert trial is not None
    folder = paths.adapter(record.name)
    folder.mkdir(parents=True)
    origin = {
        "trial": trial.identity,
        "base_model": "org/base",
        "base_folder": None,
        "quant": "nf4",
        "double_quant": True,
        "base_sha256": "basehash",
    }
    (folder / ORIGIN).write_text(json.dumps({**origin, **changed}))


def test_the_champion_is_described_by_the_verdict(handed_out: Paths) -> None:
    record = replace(certified_record(), config="task:\n  system_prompt: Say yes.\nevaluate:\n  max_new_tokens: 9\n")
    write_origin(handed_out, record)
    own = champion(record, handed_out, "a question")
    conclusion = conclude(record)
    assert own is not None
    assert conclusion is not None
    assert own.model == "made-goldilocks"
    assert own.tags["sweep.verdict.rank"] == str(conclusion.rank)
    assert (own.tags["sweep.verdict.margin"], own.tags["sweep.verdict.margin_of"]) == ("0.01", "gain")
    assert (own.tags["sweep.base_hash"], own.tags["sweep.data_hash"]) == ("basehash", "datahash")
    assert conclusion.headline in own.description
    assert own.serving["quantization"]["load_in_4bit"] is True
    assert (own.serving["system_prompt"], own.serving["max_new_tokens"]) == ("Say yes.", 9)
    assert "torch==2.13.0" in own.requirements
    assert "bitsandbytes" in own.requirements
    assert Path(own.code).is_file()
    assert own.prompt == "a question"


def test_without_a_rank_or_the_right_adapter_nothing_is_registered(handed_out: Paths) -> None:
    record = certified_record()
    assert champion(record, handed_out, None) is None
    write_origin(handed_out, record, trial="another")
    assert champion(record, handed_out, None) is None
    assert champion(study_record([result(arm(32), 0.3)]), handed_out, None) is None
