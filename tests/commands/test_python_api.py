"""`import sweep` in a notebook or script: the tiny model, and the study that an earlier version finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import sweep
from sweep.config.groups import package_folder
from sweep.errors import ConfigurationError, Interrupted
from sweep.records import TrialResult
from sweep.reports.progress import LiveDisplay
from sweep.store.paths import Paths
from tests.commands.test_stored_study import stored
from tests.conftest import cut_record
from tests.test_docs import ROOT

__all__ = ["stored"]  # the fixture

TINY = """# @package _global_
defaults:
  - override /model: tiny
  - override /task: jsonl
study: {{name: {name}}}
task: {{path: {data}, metric: exact_match}}
train: {{steps: 4, batch_size: 2}}
search: {{trials: 1}}
evaluate: {{examples: 8, general_paragraphs: 1, max_new_tokens: 4}}
executor: {{workers: 1, threads: 1}}
certify: {{enabled: false}}
tracking: {{uri: "memory://"}}
"""


@pytest.fixture
def folder(tmp_path: Path, made_task: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two studies of its own: demo and other."""
    studies = tmp_path / "conf" / "study"
    studies.mkdir(parents=True)
    for name in ("demo", "other"):
        (studies / f"{name}.yaml").write_text(TINY.format(name=name, data=made_task))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def untouched() -> Iterator[None]:
    """Checks that the process is as it was: what a notebook's other cells rely on."""

    def state() -> list[object]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        main = sys.modules["__main__"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        ours = [each for each in warnings.filters if each[2].__module__.startswith("optuna")]
        return [*handlers, *sys.argv, sys.stdout, sys.stderr, main.__spec__, environment, ours]

    before = state()
    yield
    assert state() == before


def test_import_is_light() -> None:
    heavy = "hydra", "omegaconf", "pandas", "numpy", "optuna", "rich", "torch"
    code = f"import sys, sweep; print(sweep.__version__, [name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [sweep.__version__, "[]\n"]


def test_every_public_name_exists() -> None:
    assert [name for name in sweep.__all__ if not hasattr(sweep, name)] == []
    assert set(sweep.__all__) <= set(dir(sweep))
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = sweep.runn  # type: ignore[attr-defined]


class TestAFinishedStudy:
    @pytest.fixture
    def study(self, stored: Path, monkeypatch: pytest.MonkeyPatch, untouched: None) -> sweep.Study:
        monkeypatch.chdir(stored)
        return sweep.open_study("stored")

    def test_its_verdict_is_that_of_the_report(self, study: sweep.Study) -> None:
        verdict = study.verdict
        assert (verdict.status, verdict.rank, verdict.bracket) == ("certified", 4, (2, 4))
        assert str(verdict) == verdict.headline == verdict.json["headline"]
        assert list(verdict.reasons) == verdict.json["reasons"]

    def test_its_trials_are_a_table(self, study: sweep.Study) -> None:
        trials = study.trials()
        assert list(trials.columns[:6]) == ["number", "stage", "status", "rank", "alpha", "dropout"]
        assert trials["stage"].value_counts().to_dict() == {
            "certify": 6,
            "base": 3,
            "explore": 3,
            "rates": 2,
            "final": 1,
        }
        assert set(trials[trials["rank"] > 0]["targets"]) == {"all_linear"}
        base = trials[trials["rank"] == 0]
        assert base["alpha"].isna().all()
        assert list(base["split"]) == ["tune", "certify", "test"]
        assert trials["exact_match"].isna().sum() == 2  # no answers while learning rates are tuned
        assert trials["adapter_bytes"].dtype == "Int64"

    def test_its_ladder_is_that_of_verdict_json(self, study: sweep.Study) -> None:
        ladder = study.ladder()
        rows = study.verdict.json["ladder"]
        assert list(ladder["rank"]) == [2, 4]
        assert list(ladder["upper_bound"]) == [row["upper_bound"] for row in rows]
        assert list(ladder["exact_match"]) == [row["metrics"]["exact_match"] for row in rows]

    def test_its_files(self, study: sweep.Study, stored: Path) -> None:
        assert study.adapter == study.in_use == stored / "mlruns/reports/stored/adapter"
        assert study.report is None
        page = stored / "mlruns/reports/stored/index.html"
        page.write_text("")
        assert study.report == page

    def test_it_shows_itself_in_a_line_and_in_a_notebook(self, study: sweep.Study) -> None:
        assert repr(study).startswith("<Study stored: certified. ")
        shown = study._repr_html_()
        assert "<b>stored</b>: certified." in shown
        assert shown.count("<tr>") == 2

    def test_another_name_is_an_error(self, study: sweep.Study) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'stored'"):
            sweep.open_study("storde")


def test_opening_where_no_study_is_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="there is no study here"):
        sweep.open_study("pharma")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_raised_all_at_once(folder: Path, untouched: None) -> None:
    with pytest.raises(ConfigurationError) as raised:
        sweep.run("demmo", ["search.trails=4", "seed=x"])
    assert len(raised.value.problems) == 3
    assert raised.value.__suppress_context__
    with pytest.raises(ConfigurationError, match="write a list of strings"):
        sweep.run("demo", "search.trials=4")
    with pytest.raises(ConfigurationError, match=r"`python -m sweep \+study=demo dry_run=true` in a terminal"):
        sweep.run("demo", ["dry_run=true"])
    assert not (folder / "mlruns").exists()


def test_no_error_shows_a_password(folder: Path, untouched: None) -> None:
    with pytest.raises(ConfigurationError) as raised:
        sweep.run("demo", ["tracking.uri=postgres://me:geheim@host/db"])
    assert "geheim" not in str(raised.value)


def test_hydras_global_state_stays_the_callers(folder: Path) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(package_folder())):
        before = GlobalHydra.instance().hydra
        with pytest.raises(ConfigurationError):
            sweep.train(["seed=x"])
        assert GlobalHydra.instance().hydra is before
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished(
    folder: Path, untouched: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = LiveDisplay.ended

    def interrupting(display: LiveDisplay, number: int, result: TrialResult) -> None:
        ended(display, number, result)
        if number == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LiveDisplay, "ended", interrupting)
    one_by_one = ["executor.workers=1", "engine.slots=1"]  # or both trials may end at the same time
    with pytest.raises(Interrupted, match="what is finished is kept"):
        sweep.run("other", ["search.trials=2", *one_by_one])
    study = sweep.open_study("other")
    assert list(study.trials()["status"]) == ["complete"] * 2
    assert study.record.command.endswith("+study=other search.trials=2 executor.workers=1 engine.slots=1")
    assert "trial 1 of 2" in capsys.readouterr().out
    # a total of one trial is finished; a thread cannot install signal handlers
    finished: list[sweep.Study] = []
    thread = threading.Thread(target=lambda: finished.append(sweep.run("other", ["search.trials=1"], progress=False)))
    thread.start()
    thread.join()
    assert list(finished[0].trials()["loss"]) == list(study.trials()["loss"])
    assert finished[0].report is not None
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_examples_of_the_page_run(folder: Path, untouched: None, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = (ROOT / "docs" / "python.md").read_text().split("```python\n")[1:]
    names: dict[str, object] = {}
    for block in blocks:
        code = block.partition("```")[0].replace('"pharma"', '"demo"').replace('"search.trials=4"', '"search.trials=1"')
        code = code.replace('["task=pharma", "lora.r=8"]', '["+study=demo", "lora.r=8"]')
        exec(compile(code, "docs/python.md", "exec"), names)  # noqa: S102
    study, trial = names["study"], names["trial"]
    assert isinstance(study, sweep.Study)
    assert study.adapter is not None
    assert study.report is not None
    assert (study.verdict.status, str(study.verdict)) == ("undecided", "No rank is certified yet.")
    assert isinstance(trial, sweep.Trial)
    assert (trial.adapter / "adapter_config.json").is_file()
    assert repr(trial).startswith("<Trial r8-")
    assert trial.loss == study.trials()["loss"].iloc[1]  # the same arm as the study's first, taken from the store
    assert "did you mean 'search.trials'?" in capsys.readouterr().out


def test_tables_of_a_cut_ladder_say_what_was_cut(tmp_path: Path) -> None:
    study = sweep.Study(cut_record(), Paths(tmp_path))
    trials = study.trials()
    cut = trials[trials["cut_from"].notna()]
    assert set(cut["rank"]) == {1, 2, 4, 8, 16}
    assert set(cut["cut_from"]) == {32}
    assert cut["energy_kept"].notna().all()
    assert trials[trials["cut_from"].isna()]["energy_kept"].isna().all()
    ladder = study.ladder()
    assert list(ladder["energy_kept"].isna()) == [False] * 5 + [True]
    shown = study._repr_html_()
    assert "energy_kept" in shown
    assert "learning_rate" not in shown
