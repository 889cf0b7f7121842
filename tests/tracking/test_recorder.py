"""The recorder's process: order is kept, errors come back, and a killed sweep's last trials are recorded all the same."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import Status, TrialResult
from sweep.tracking import SweepRun
from sweep.tracking.recorder import Recorder

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

SWEEP = SweepRun("pharma", "study: {}\n")


def test_errors_come_back_with_their_kind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentLacks, match=r"tracking\.uri: cannot record in sqlite"):
        Recorder(f"sqlite:///{tmp_path}/file/mlflow.db", None)
    with pytest.raises(ConfigurationError, match="memory"):
        Recorder("memory://", None)


def test_a_trial_that_could_not_be_recorded_is_told_at_the_next_question(tmp_path: Path, complete: TrialResult) -> None:
    recorder = Recorder(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    parent = recorder.open_sweep(SWEEP)
    recorder.close_trial("0" * 32, complete, [])
    with pytest.raises(EnvironmentLacks, match="not found"):
        recorder.open_trial(parent, complete.spec)
    recorder.close_sweep(parent, Status.COMPLETE, {}, [])


def test_a_recorder_that_died_is_said_so_and_one_that_is_let_go_ends(tmp_path: Path, complete: TrialResult) -> None:
    recorder = Recorder(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    process = psutil.Process(recorder.process)
    process.send_signal(signal.SIGINT)
    parent = recorder.open_sweep(SWEEP)
    process.kill()
    with pytest.raises(EnvironmentLacks, match="the process that records in MLflow has ended"):
        recorder.open_trial(parent, complete.spec)
    other = Recorder(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    process = psutil.Process(other.process)
    del other
    process.wait(timeout=20)


def test_what_a_killed_sweep_has_told_is_recorded(tmp_path: Path, complete: TrialResult) -> None:
    """The sweep is killed at once after it has told of many trials."""
    code = (
        "import os, pickle, signal, sys\n"
        "from pathlib import Path\n"
        "from sweep.tracking import SweepRun\n"
        "from sweep.tracking.recorder import Recorder\n"
        "folder = Path(sys.argv[1])\n"
        "result = pickle.loads((folder / 'result').read_bytes())\n"
        "recorder = Recorder(f'sqlite:///{folder}/mlflow.db', folder / 'artifacts')\n"
        "parent = recorder.open_sweep(SweepRun('pharma', ''))\n"
        "runs = [recorder.open_trial(parent, result.spec) for _ in range(5)]\n"
        "for run in runs:\n"
        "    recorder.close_trial(run, result, [])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "result").write_bytes(pickle.dumps(complete))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "pharma"]
    end = time.monotonic() + 30
    finished = 0
    while finished < 5 and time.monotonic() < end:
        runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
        finished = sum(run.data.metrics["eval/loss"] == 0.15 for run in runs)
        time.sleep(0.2)
    assert finished == 5
