"""A packed study is the same wherever it is opened, and disturbs nothing that is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sweep.commands.archive import archive
from sweep.errors import ConfigurationError, DataError, StudyBusy
from sweep.housekeeping import unpack as unpacking
from sweep.housekeeping.archive_file import opened
from sweep.housekeeping.pack import OPTUNA, pack
from sweep.housekeeping.unpack import unpack
from sweep.records.champion import ChampionEvent
from sweep.search.portable import packed_studies
from sweep.search.storage import existing_storage
from sweep.store.adapters import AdapterStore
from sweep.store.champions import Champions, same_weights
from sweep.store.locks import study_lock
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from tests.housekeeping.conftest import record_in
from tests.housekeeping.test_archive_file import made
from tests.housekeeping.test_gc import adapters, chosen, files
from tests.store.test_champions import ROWS, adapter_in, entry
from tests.study.driven import Trained, essence, planned, run


@pytest.fixture(scope="module")
def packed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed study, with something in the place of its report."""
    paths = Paths(tmp_path_factory.mktemp("packed") / "mlruns")
    shutil.copytree(finished, paths.root)
    paths.report("driven").mkdir(parents=True)
    paths.page("driven").write_text("page")
    paths.verdict("driven").write_text("{}")
    (paths.report("driven") / ".index.html.1").write_text("scratch")
    pack("driven", paths.root.parent / "driven.zip", paths, pytest.fail)
    return paths.root.parent / "driven.zip"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "elsewhere" / "mlruns")


def optuna(paths: Paths) -> object:
    with existing_storage(None, paths) as storage:
        return packed_studies(storage, "driven")


def test_it_is_the_same_elsewhere(packed: Path, finished: Path, elsewhere: Paths) -> None:
    said: list[str] = []
    done = unpack(packed, elsewhere, say=said.append)
    assert (done.study, done.was_here) == ("driven", False)
    assert said == ["its MLflow runs were not packed"]  # the study was run without MLflow
    original = Paths(finished)
    assert optuna(elsewhere) == optuna(original)
    known = files(original)
    assert {name: text for name, text in files(elsewhere).items() if not name.startswith("reports")} == {
        name: text for name, text in known.items() if name.split("/")[0] in ("trials", "adapters", "scores")
    }
    assert {file.name for file in elsewhere.report("driven").iterdir()} == {"index.html", "verdict.json"}
    before, trained = essence(record_in(original)), Trained()
    assert essence(run(elsewhere, planned(), trained)) == before
    assert not trained.times


@pytest.mark.slow
def test_beside_other_studies(packed: Path, elsewhere: Paths) -> None:
    run(elsewhere, planned("study.name=other", "search.trials=2", "certify=none", "seed=7"))
    before, known = essence_of_search(elsewhere), files(elsewhere)
    unpack(packed, elsewhere, say=lambda line: None)
    assert essence_of_search(elsewhere) == before
    after = files(elsewhere)
    assert {name: after[name] for name in known} == known
    assert record_in(elsewhere).name == "driven"


def essence_of_search(paths: Paths) -> object:
    record = record_in(paths, "other")
    return [(trial.identity, trial.loss, trial.status) for trial in record.trials]


@pytest.mark.slow
def test_opened_twice(packed: Path, elsewhere: Paths) -> None:
    unpack(packed, elsewhere, say=lambda line: None)
    elsewhere.page("driven").write_text("a later page")
    lost = next(iter(adapters(elsewhere)))
    shutil.rmtree(elsewhere.trained_adapter(lost))
    before = optuna(elsewhere)
    again = unpack(packed, elsewhere, say=lambda line: None)
    assert again.was_here
    assert again.added > 0
    assert AdapterStore(elsewhere, pytest.fail).find(lost) is not None
    assert optuna(elsewhere) == before
    assert elsewhere.page("driven").read_text() == "a later page"


@pytest.mark.slow
def test_a_study_that_went_on_since_stays(packed: Path, elsewhere: Paths) -> None:
    unpack(packed, elsewhere, say=lambda line: None)
    run(elsewhere, planned("search.trials=7"))
    before = optuna(elsewhere)
    assert unpack(packed, elsewhere, say=lambda line: None).was_here
    assert optuna(elsewhere) == before


@pytest.mark.slow
def test_another_study_of_that_name_is_refused(packed: Path, elsewhere: Paths) -> None:
    run(elsewhere, planned("seed=7"))
    known, before = files(elsewhere), optuna(elsewhere)
    with pytest.raises(ConfigurationError, match=r"another study of the name 'driven' is here.*mkdir other"):
        unpack(packed, elsewhere)
    assert (files(elsewhere), optuna(elsewhere)) == (known, before)


def test_another_studys_report_is_refused(packed: Path, elsewhere: Paths) -> None:
    elsewhere.report("driven").mkdir(parents=True)
    elsewhere.page("driven").write_text("another page")
    with pytest.raises(ConfigurationError, match="report of another study"):
        unpack(packed, elsewhere)
    assert not (elsewhere.root / "trials").exists()


@pytest.mark.parametrize(
    "step",
    [
        "_place_folders",
        pytest.param("_place_files", marks=pytest.mark.slow),
        pytest.param("_place_report", marks=pytest.mark.slow),
        pytest.param("add_studies", marks=pytest.mark.slow),
    ],
)
def test_a_killed_opening_goes_on(step: str, packed: Path, elsewhere: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of a step: after half of its work, or before it commits."""
    if step == "_place_folders":
        real, count = unpacking.commit, iter(range(1000))

        def commit(scratch: Path, folder: Path) -> None:
            if next(count) == 5:
                raise KeyboardInterrupt
            real(scratch, folder)

        monkeypatch.setattr(unpacking, "commit", commit)
    else:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(unpacking, step, killed)
    with pytest.raises(KeyboardInterrupt):
        unpack(packed, elsewhere, say=lambda line: None)
    monkeypatch.undo()
    done = unpack(packed, elsewhere, say=lambda line: None)
    assert not done.was_here
    assert record_in(elsewhere).certification is not None
    assert elsewhere.page("driven").read_text() == "page"
    store = TrialStore(elsewhere, pytest.fail)
    assert all(store.find(folder.name) for folder in (elsewhere.root / "trials").glob("*/[!.]*"))


@pytest.mark.slow
def test_interrupted_trials_run_again_on_another_machine(paths: Paths, elsewhere: Paths, tmp_path: Path) -> None:
    """A trial that a killed sweep left running has an owner on this machine, who will never end it elsewhere."""
    with existing_storage(None, paths) as storage:
        import optuna as library

        (name,) = (each for each in library.get_all_study_names(storage) if each.startswith("driven@"))
        study = library.load_study(study_name=name, storage=storage)
        trial = study.ask()
        trial.set_user_attr("owner", "elsewhere:1")
    pack("driven", tmp_path / "driven.zip", paths, pytest.fail)
    unpack(tmp_path / "driven.zip", elsewhere, say=lambda line: None)
    with existing_storage(None, elsewhere) as storage:
        (last,) = packed_studies(storage, "driven")[0]["trials"][-1:]
    assert last["state"] == "WAITING"
    assert last["user_attrs"]["interrupted"] == 1


@pytest.mark.slow
def test_only_chosen_weights(paths: Paths, elsewhere: Paths, tmp_path: Path) -> None:
    pack("driven", tmp_path / "driven.zip", paths, pytest.fail, only_chosen=True)
    unpack(tmp_path / "driven.zip", elsewhere, say=lambda line: None)
    assert adapters(elsewhere) == chosen(paths)
    assert essence(record_in(elsewhere)) == essence(record_in(paths))


@pytest.fixture
def with_history(paths: Paths) -> Paths:
    """The study with a champion that a night has replaced."""
    history, adapter = Champions(paths, "driven"), next((paths.root / "adapters").glob("*/*/adapter"))
    history.append(entry(1, ChampionEvent.VERDICT), adapter=adapter, rows=ROWS)
    history.append(entry(2), adapter=adapter, rows=ROWS)
    paths.drift("driven").write_text("a point\n")
    paths.refresh_log("driven").write_text("a step\n")
    return paths


@pytest.mark.slow
class TestChampions:
    def test_the_history_goes_along(self, with_history: Paths, elsewhere: Paths, tmp_path: Path) -> None:
        pack("driven", tmp_path / "driven.zip", with_history, pytest.fail)
        unpack(tmp_path / "driven.zip", elsewhere, say=lambda line: None)
        there, known = Champions(elsewhere, "driven"), Champions(with_history, "driven")
        assert there.entries() == known.entries()
        assert len(there.entries()) == 2
        assert same_weights(there.adapter(2), known.adapter(2))
        assert there.rows(1) == ROWS
        assert elsewhere.drift("driven").read_text() == "a point\n"
        assert elsewhere.refresh_log("driven").read_text() == "a step\n"
        assert elsewhere.champion_link("driven").resolve() == there.adapter(2)
        there.append(entry(3, ChampionEvent.KEPT, version=2))
        assert unpack(tmp_path / "driven.zip", elsewhere, say=lambda line: None).added == 0
        assert len(there.entries()) == 3, "a history that has gone on since stays"

    def test_a_damaged_history_is_left_out(self, with_history: Paths, elsewhere: Paths, tmp_path: Path) -> None:
        (with_history.champion_entry("driven", 1) / "rows.json").write_text("{")
        said: list[str] = []
        pack("driven", tmp_path / "driven.zip", with_history, said.append)
        assert len(said) == 1
        assert "history of its champion is left out" in said[0]
        unpack(tmp_path / "driven.zip", elsewhere, say=lambda line: None)
        assert not elsewhere.champions("driven").exists()

    def test_the_history_of_another_study_is_refused(
        self, with_history: Paths, elsewhere: Paths, tmp_path: Path
    ) -> None:
        pack("driven", tmp_path / "driven.zip", with_history, pytest.fail)
        Champions(elsewhere, "driven").append(
            entry(1, ChampionEvent.VERDICT), adapter=adapter_in(tmp_path / "source"), rows=ROWS
        )
        with pytest.raises(ConfigurationError, match="history of the champion of another study"):
            unpack(tmp_path / "driven.zip", elsewhere)
        assert not (elsewhere.root / "trials").exists()


@pytest.mark.parametrize("changed", [{"number": 2}, {"version": 2}, {"version": "../x"}, {"event": "crowned"}])
def test_a_history_that_is_none_is_refused(changed: dict[str, object], elsewhere: Paths, tmp_path: Path) -> None:
    text = json.dumps({**entry(1, ChampionEvent.VERDICT, version=1).to_json(), **changed})
    with pytest.raises(DataError, match="history of the champion cannot be used"):
        unpack(made(tmp_path / "s.zip", {"champions/s/0001/entry.json": text.encode()}), elsewhere)
    assert not elsewhere.root.exists()


@pytest.mark.slow
def test_damaged_folders_are_left_out(paths: Paths, tmp_path: Path) -> None:
    damaged = next(iter(adapters(paths)))
    (paths.trained_adapter(damaged) / "training.json").write_text("{")
    said: list[str] = []
    pack("driven", tmp_path / "driven.zip", paths, said.append)
    assert len(said) == 1
    assert damaged in said[0]
    with opened(tmp_path / "driven.zip", 10**9) as archive_read:
        assert not [name for name in archive_read.entries if damaged in name and name.startswith("adapters")]


@pytest.mark.slow
def test_not_while_a_sweep_runs(packed: Path, paths: Paths, tmp_path: Path) -> None:
    with study_lock(paths, "driven"):
        with pytest.raises(StudyBusy):
            pack("driven", tmp_path / "driven.zip", paths, pytest.fail)
        with pytest.raises(StudyBusy):
            unpack(packed, paths)


@pytest.mark.parametrize("contents", [b"[]", b"{", b"[{}]", b'[{"study_name": "x@1", "user_attrs": {"name": "x"}}]'])
def test_other_contents_are_refused(contents: bytes, elsewhere: Paths, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="archive"):
        unpack(made(tmp_path / "s.zip", {OPTUNA: contents}), elsewhere)
    assert not elsewhere.root.exists()


class TestCommand:
    @pytest.mark.slow
    def test_pack_and_open(
        self, paths: Paths, elsewhere: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(paths.root.parent)
        assert archive(["study=driven"]) == 0
        assert "driven.goldilocks.zip: " in capsys.readouterr().out
        with pytest.raises(ConfigurationError, match="it exists"):
            archive(["study=driven"])
        elsewhere.root.parent.mkdir()
        monkeypatch.chdir(elsewhere.root.parent)
        assert archive(["open=../driven.goldilocks.zip"]) == 0
        assert "study driven is in mlruns" in capsys.readouterr().out
        assert json.dumps(optuna(elsewhere)) == json.dumps(optuna(paths))

    @pytest.mark.parametrize(
        ("words", "problems"),
        [
            ([], 1),
            (["study=a", "open=b"], 1),
            (["study=a", "limit=x", "weights=some", "base=yes", "study=b"], 5),
            (["open=a", "file=b"], 1),
        ],
    )
    def test_all_mistakes_at_once(self, words: list[str], problems: int) -> None:
        with pytest.raises(ConfigurationError) as caught:
            archive(words)
        assert len(caught.value.problems) == problems
