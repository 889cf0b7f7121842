"""The recorder: order is kept, a store that goes away does not stop the sweep, and no record is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import Status, TrialResult
from sweep.tracking import SweepRun, record_queue, recorder_process
from sweep.tracking.journal import Journal, JournalFolder
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.port import Summary, is_provisional
from sweep.tracking.recorder import Recorder

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

SWEEP = SweepRun("pharma", "study: {}\n", params={"model": "tiny"})


@dataclasses.dataclass
class Place:
    """A folder with a store, and the messages of its recorder."""

    folder: Path
    said: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = self.folder / "mlflow.db"
        self.kept = self.folder / "kept"

    def recorder(self) -> Recorder:
        return Recorder(f"sqlite:///{self.database}", self.folder / "artifacts", self.kept, say=self.said.append)

    def runs(self) -> list[Run]:
        client = MlflowClient(f"sqlite:///{self.database}")
        experiment = client.get_experiment_by_name("pharma")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for run in self.runs():
            counts[run.info.status] = counts.get(run.info.status, 0) + 1
        return counts

    def journals(self) -> list[Path]:
        return sorted(self.kept.glob("*"))

    @contextmanager
    def away(self) -> Iterator[None]:
        """Replaces the database by a file that is not a database for the length of the block."""
        with sqlite3.connect(self.database) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        aside = self.database.with_suffix(".aside")
        self.database.rename(aside)
        self.database.write_bytes(b"gone" * 1000)
        try:
            yield
        finally:
            aside.rename(self.database)


@pytest.fixture
def place(tmp_path: Path, empty_store: Path) -> Place:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return Place(tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_queue, "_AWAY_SECONDS", 2.0)
    monkeypatch.setattr(record_queue, "_QUIET_SECONDS", 0.5)


def test_errors_keep_their_class(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentLacks, match=r"tracking\.uri: cannot record in sqlite"):
        Recorder(f"sqlite:///{tmp_path}/file/mlflow.db", None, tmp_path / "kept")
    with pytest.raises(ConfigurationError, match="memory"):
        Recorder("memory://", None, tmp_path / "kept")


def test_a_refused_record_is_reported_and_the_rest_is_recorded(place: Place, complete: TrialResult) -> None:
    recorder = place.recorder()
    parent = recorder.open_sweep(SWEEP)
    recorder.close_trial("0" * 32, complete, [])
    child = recorder.open_trial(parent, complete.spec)
    recorder.close_trial(child, complete, [])
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    (said,) = place.said
    assert "MLflow did not take a record (close_trial)" in said
    assert "not found" in said
    assert place.states() == {"FINISHED": 2}
    assert not place.journals()


@pytest.mark.slow
def test_a_store_that_goes_away_and_comes_back_has_everything(place: Place, complete: TrialResult) -> None:
    recorder = place.recorder()
    parent = recorder.open_sweep(SWEEP)
    begun = recorder.open_trial(parent, complete.spec)
    assert not is_provisional(begun)
    with place.away():
        recorder.close_trial(begun, complete, [])
        assert recorder.known_id(begun) == begun
        late = recorder.open_trial(parent, complete.spec)
        assert len(place.said) == 1, "it waited no longer than until the store was known to be away"
        later = recorder.open_trial(parent, complete.spec)
        assert is_provisional(late)
        assert recorder.known_id(late) is None
        recorder.close_trial(late, complete, [])
        recorder.close_trial(
            later, dataclasses.replace(complete, status=Status.FAILED, reason="broke", measures=None), []
        )
        assert [said for said in place.said if "the study goes on" in said] == place.said
        assert len(place.said) == 1
        (journal,) = place.journals()
        assert [json.loads(line).get("do") for line in journal.read_text().splitlines()] == [
            None,
            "close_trial",
            "open_trial",
            "open_trial",
            "close_trial",
            "close_trial",
        ]
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert "takes records again" in place.said[1]
    assert place.states() == {"FINISHED": 3, "FAILED": 1}
    assert not place.journals()
    children = [run for run in place.runs() if "sweep.trial" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent}
    assert all(run.data.params["model"] == "tiny" and run.data.params["lora.r"] == "16" for run in children)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_the_next_run_records_what_a_store_that_stays_away_lacks(place: Place, complete: TrialResult) -> None:
    recorder = place.recorder()
    parent = recorder.open_sweep(SWEEP)
    with place.away():
        late = recorder.open_trial(parent, complete.spec)
        recorder.close_trial(late, complete, [])
        assert not recorder.close_sweep(
            parent, Status.COMPLETE, Summary({"verdict/rank": 8}, {"sweep.verdict": "x"}), []
        )
        assert "waiting for sqlite" in place.said[1]
        assert "for up to 2 s" in place.said[1]
        assert "the next run of the same command records them" in place.said[2]
        del recorder
    (journal,) = place.journals()
    # as another process, which is gone, would have left it
    head, *rest = journal.read_text().splitlines()
    gone = json.dumps({**json.loads(head), "sweep.owner": "elsewhere:1"})
    journal.write_text("\n".join([gone, *rest, '{"do": "close_tr']))

    assert place.recorder().open_sweep(SWEEP) != parent
    assert place.states() == {"FINISHED": 2, "RUNNING": 1}
    run = MlflowClient(f"sqlite:///{place.database}").get_run(parent)
    assert (run.data.metrics["verdict/rank"], run.data.tags["sweep.verdict"]) == (8.0, "x")
    assert not place.journals()


@pytest.mark.slow
def test_recording_twice_adds_nothing(place: Place, complete: TrialResult) -> None:
    """A sweep was killed before it learned that all was recorded."""
    first = place.recorder()
    parent = first.open_sweep(SWEEP)
    clear, first._queue._journal.clear = first._queue._journal.clear, lambda: None  # type: ignore[union-attr, method-assign]
    del clear
    first.close_trial(first.open_trial(parent, complete.spec), complete, [])
    first.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert len(place.journals()) == 1
    second = place.recorder()
    second.open_sweep(SWEEP)
    assert place.states() == {"FINISHED": 2, "RUNNING": 1}
    assert not place.journals()


@pytest.mark.slow
def test_a_trial_that_began_while_the_store_was_away_gets_its_id(place: Place, complete: TrialResult) -> None:
    recorder = place.recorder()
    parent = recorder.open_sweep(SWEEP)
    begun = recorder.open_trial(parent, complete.spec)
    with place.away():
        recorder.close_trial(begun, complete, [])
        late = recorder.open_trial(parent, complete.spec)
        assert is_provisional(late)
    assert recorder.settle()
    run_id = recorder.known_id(late)
    recorder.close_trial(late, complete, [])
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert {run.info.run_id for run in place.runs()} == {parent, begun, run_id}


def test_another_stores_records_are_left_alone(place: Place, tmp_path: Path, complete: TrialResult) -> None:
    place.kept.mkdir()
    left = place.kept / "pharma.abc.jsonl"
    left.write_text(json.dumps({"sweep.owner": "elsewhere:1", "study": "pharma", "store": "http://other"}) + "\n{}\n")
    place.recorder().open_sweep(SWEEP)
    assert place.journals() == [left]
    assert not place.said


@pytest.mark.slow
def test_a_recorder_that_is_killed_is_replaced(place: Place, complete: TrialResult) -> None:
    recorder = place.recorder()
    psutil.Process(recorder.process).send_signal(signal.SIGINT)
    parent = recorder.open_sweep(SWEEP)
    begun = recorder.open_trial(parent, complete.spec)
    psutil.Process(recorder.process).kill()
    recorder.close_trial(begun, complete, [])
    recorder.close_trial(recorder.open_trial(parent, complete.spec), complete, [])
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert place.states() == {"FINISHED": 3}
    (said,) = [line for line in place.said if "waiting for" not in line]
    assert "a new one replaces it" in said
    process = psutil.Process(recorder.process)
    del recorder
    process.wait(timeout=240)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_recorder_that_is_killed_amid_what_an_earlier_sweep_left_records_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of the earlier sweep is known to the new process, too, when its records are sent again."""
    left = MlflowTracker(f"sqlite:///{place.database}", place.folder / "artifacts").open_sweep(SWEEP)
    store = f"sqlite:///{place.database}"
    journal = Journal(JournalFolder(place.kept, store), "pharma", {"sweep": left, "params": {}})
    summary = dataclasses.asdict(Summary({"verdict/rank": 8.0}))
    kept = place.folder / "report.html"
    kept.write_text("a report")
    journal.append({"do": "close_sweep", "run": left, "status": "complete", "files": [str(kept)], **summary})
    recorder = place.recorder()
    artifacts = place.folder / "artifacts"
    aside = artifacts.rename(place.folder / "aside")
    artifacts.write_text("the store can be read, and takes no files")
    parent = recorder.open_sweep(SWEEP)
    assert is_provisional(parent)
    psutil.Process(recorder.process).kill()
    recorder.poll()
    artifacts.unlink()
    aside.rename(artifacts)
    monkeypatch.setattr("sweep.tracking.record_queue._AWAY_SECONDS", 60.0)  # a process takes seconds to start
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert not [line for line in place.said if "did not take" in line]
    assert place.states() == {"FINISHED": 2}
    assert MlflowClient(store).get_run(left).data.metrics == {"verdict/rank": 8.0}
    assert not place.journals()


@pytest.mark.slow
def test_a_recorder_that_is_killed_at_the_start_is_replaced(place: Place, complete: TrialResult) -> None:
    recorder = place.recorder()
    psutil.Process(recorder.process).kill()
    parent = recorder.open_sweep(SWEEP)
    assert "a new one replaces it" in place.said[0]
    recorder.close_trial(recorder.open_trial(parent, complete.spec), complete, [])
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert place.states() == {"FINISHED": 2}


@pytest.mark.slow
def test_what_a_recorder_may_have_opened_before_it_was_killed_is_not_opened_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = place.recorder()
    send = recorder_process.RecorderProcess.send

    def killed_before_it_answers(process: recorder_process.RecorderProcess, message: object) -> bool:
        monkeypatch.undo()
        sent = send(process, message)
        end = time.monotonic() + 30
        while not place.database.exists() or not place.states():
            assert time.monotonic() < end
            time.sleep(0.01)
        psutil.Process(process.id).kill()
        return sent

    monkeypatch.setattr(recorder_process.RecorderProcess, "send", killed_before_it_answers)
    parent = recorder.open_sweep(SWEEP)
    assert [run.info.run_id for run in place.runs()] == [parent]


def test_a_recorder_that_is_killed_again_at_the_start_is_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart = recorder_process.RecorderProcess.restart

    def restart_and_kill(process: recorder_process.RecorderProcess) -> None:
        restart(process)
        psutil.Process(process.id).kill()

    monkeypatch.setattr(recorder_process.RecorderProcess, "restart", restart_and_kill)
    recorder = place.recorder()
    psutil.Process(recorder.process).kill()
    with pytest.raises(EnvironmentLacks, match="the process that records in MLflow has ended"):
        recorder.open_sweep(SWEEP)


def test_a_recorder_that_always_dies_does_not_stop_the_sweep(
    place: Place, complete: TrialResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = place.recorder()
    parent = recorder.open_sweep(SWEEP)
    with monkeypatch.context() as patch:
        patch.setattr(recorder_process, "record", _dies)
        patch.setattr(record_queue, "_MAX_RESTARTS", 2)
        psutil.Process(recorder.process).kill()
        for _ in range(2):
            recorder.close_trial(recorder.open_trial(parent, complete.spec), complete, [])
        assert recorder.link(parent) is None
        assert not recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert len([line for line in place.said if "the study goes on" in line]) == 1
    assert "has not taken 5 record(s)" in place.said[-1]
    assert place.states() == {"RUNNING": 1}

    after = place.recorder()
    after.resume_sweep(parent, SWEEP)
    assert after.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert place.states() == {"FINISHED": 3}
    assert not place.journals()


def _dies(connection: object, settings: object) -> None:
    """A recorder process that cannot run on this machine."""


def test_what_mlflow_prints_goes_to_the_log_without_secrets(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    log = place.folder / "study.log"
    start = recorder_process.RecorderSettings("http://me:Sekret@host", None, "here:1", log=log)
    code = (
        "import sys, pickle\n"
        "from sweep.tracking import recorder_process as process\n"
        "class Ended:\n"
        "    def poll(self, seconds):\n"
        "        print('View run at http://me:Sekret@host/#/runs, Sekret')\n"
        "        return True\n"
        "    def recv(self): raise EOFError\n"
        "process.record(Ended(), pickle.loads(bytes.fromhex(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, pickle.dumps(start).hex()],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert log.read_text() == "View run at http://***@host/#/runs, ***\n"


@pytest.mark.slow
def test_the_last_records_of_a_killed_sweep_are_recorded(place: Place, complete: TrialResult) -> None:
    """The sweep is killed right after it has sent many records."""
    code = (
        "import os, pickle, signal, sys\n"
        "from pathlib import Path\n"
        "from sweep.tracking import SweepRun\n"
        "from sweep.tracking.recorder import Recorder\n"
        "folder = Path(sys.argv[1])\n"
        "result = pickle.loads((folder / 'result').read_bytes())\n"
        "recorder = Recorder(f'sqlite:///{folder}/mlflow.db', folder / 'artifacts', folder / 'kept')\n"
        "parent = recorder.open_sweep(SweepRun('pharma', ''))\n"
        "runs = [recorder.open_trial(parent, result.spec) for _ in range(5)]\n"
        "for run in runs:\n"
        "    recorder.close_trial(run, result, [])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (place.folder / "result").write_bytes(pickle.dumps(complete))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code, str(place.folder)], env=environment, timeout=240, check=False)
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + 240
    while place.states().get("FINISHED", 0) < 5 and time.monotonic() < end:
        time.sleep(0.2)
    assert place.states() == {"FINISHED": 5, "RUNNING": 1}
    place.recorder().open_sweep(SWEEP)
    assert place.states() == {"FINISHED": 5, "KILLED": 1, "RUNNING": 1}
    assert not place.journals()
