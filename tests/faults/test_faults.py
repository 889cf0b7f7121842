"""Faults of a real sweep, each caused for real once: a kill, a signal, no memory, a damaged file.

Most of them are slow. The fast suite keeps the sweep that is interrupted and goes on; tests of the rooms check the rest there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.server import Server
from sweep.config.units import show_bytes
from sweep.store.locks import study_lock
from sweep.store.paths import Paths
from sweep.training.made_models import make_tiny_model
from tests.faults.conftest import PATIENCE_SECONDS, Sweep, finish, recorder_of, wait_until, workers_of

pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")

LONG = ("train.steps=60", "search.trials=4")
"""Trials that run long enough to be interrupted."""


STOPPED_ONCE = """
import os, runpy
from sweep.search.study import SearchStudy
tell = SearchStudy.tell
def stopping(study, *about):
    tell(study, *about)
    SearchStudy.tell = tell
    os.kill(os.getpid(), {number})
SearchStudy.tell = stopping
runpy.run_module("sweep", run_name="__main__", alter_sys=True)
"""
"""The sweep is sent a signal once its first trial is recorded."""


def trainings_logged(sweep: Sweep) -> int:
    """The number of complete trials in MLflow, the base left out; a trial taken from the store counts as well."""
    return len(sweep.trial_runs("complete")) - 1


def measures(trial: Path) -> dict[str, Any]:
    """The measures in a trial's result file."""
    loaded: dict[str, Any] = json.loads(trial.read_text())["measures"]
    return loaded


def nothing_is_running(sweep: Sweep) -> bool:
    return all(run.info.status != "RUNNING" for run in sweep.runs())


class TestATrialThatBreaks:
    @pytest.mark.slow
    def test_diverging_loss_is_failed_with_its_reason(self, sweep: Sweep) -> None:
        done = sweep.run_here(
            "train.steps=6", "train.learning_rate=1e38", "search.max_failures=2", "search.space.learning_rate.high=1e38"
        )
        assert done.returncode == 4, done.stdout
        assert "diverged: the training loss was nan" in done.stdout
        failed = sweep.trial_runs("failed")
        assert len(failed) == 2
        assert all(run.info.status == "FAILED" and "diverged" in run.data.tags["sweep.reason"] for run in failed)
        assert nothing_is_running(sweep)

    @pytest.mark.slow
    def test_out_of_memory_is_infeasible(self, sweep: Sweep) -> None:
        fits = sweep.run(module="sweep.train")
        assert fits.returncode == 0, fits.stdout
        (trial,) = sweep.trained()
        budget = int(1.3 * measures(trial)["peak_bytes"])  # what a process takes differs between machines
        done = sweep.run("train.batch_size=30000", f"budget.memory={budget}", module="sweep.train")
        assert done.returncode == 4, done.stdout
        assert "infeasible: out of memory" in done.stdout
        (run,) = sweep.trial_runs("infeasible")
        assert run.info.status == "FAILED"
        assert nothing_is_running(sweep)

    @pytest.mark.slow
    def test_five_failures_in_a_row_stop_the_study_with_the_reasons(self, sweep: Sweep) -> None:
        done = sweep.run_here(
            "train.learning_rate=1e38", "search.space.learning_rate.low=5e37", "search.space.learning_rate.high=1e38"
        )
        assert done.returncode == 4, done.stdout
        assert "5 trials in a row failed" in done.stdout
        assert done.stdout.count("failed: diverged") >= 5
        assert len(sweep.trial_runs("failed")) == 5

    @pytest.mark.slow
    def test_missing_gradient_is_an_error(self, sweep: Sweep) -> None:
        done = sweep.run_here("train.learning_rate=1e-45", "train.steps=8", module="sweep.train")
        assert done.returncode == 4, done.stdout
        assert "no gradient reached the adapter" in done.stdout


class TestTooLittleMemory:
    @pytest.mark.slow
    def test_fewer_trials_side_by_side_and_the_same_results(self, sweep: Sweep, tmp_path: Path) -> None:
        words = ("search.trials=3", "train.batch_size=3000", "train.steps=2", "quant=none")
        (tmp_path / "one").mkdir()
        one_at_a_time = Sweep(tmp_path / "one", sweep.data)
        assert one_at_a_time.run(*words, "engine.slots=1").returncode == 0
        # room for two trials at most; what the base alone takes differs between machines
        budget = max(
            measures(trial)["peak_bytes"] + measures(trial)["peak_above_base_bytes"]
            for trial in one_at_a_time.trained()
        )
        done = sweep.run(*words, "engine.slots=8", f"budget.memory={budget}")
        assert done.returncode == 0, done.stdout
        assert "engine.slots=8: 8 trials side by side would take about" in done.stdout
        assert f"budget.memory allows {show_bytes(budget)}" in done.stdout
        assert not sweep.trial_runs("infeasible")
        assert sweep.losses() == pytest.approx(one_at_a_time.losses(), rel=1e-4)


class TestAKilledWorker:
    @pytest.mark.slow
    def test_one_that_was_loading_the_base_is_started_once_more(self, sweep: Sweep) -> None:
        process = sweep.start("search.trials=1")
        wait_until(lambda: len(workers_of(process)) > 0, process, "a worker")
        workers_of(process)[0].kill()  # started before the recorder
        code, output = finish(process)
        assert code == 0, output
        assert "(SIGKILL) while it loaded the base model; it is started once more" in " ".join(output.split())
        assert len(sweep.trained()) == 1
        assert nothing_is_running(sweep)

    @pytest.mark.slow
    def test_its_only_trial_is_tried_again_by_a_new_one(self, sweep: Sweep) -> None:
        process = sweep.start(*LONG, "engine.slots=1")
        wait_until(lambda: len(sweep.trained()) >= 1, process, "a first trial")
        (worker,) = workers_of(process)
        worker.kill()
        code, output = finish(process)
        assert code == 0, output
        assert len(sweep.trained()) == 4
        assert not sweep.trial_runs("failed")
        assert nothing_is_running(sweep)

    @pytest.mark.slow
    def test_trials_side_by_side_are_trained_again_and_none_has_failed(self, sweep: Sweep) -> None:
        process = sweep.start(*LONG, "engine.slots=2")
        wait_until(lambda: sweep.open_trials() == 2, process, "two trials side by side")
        (worker,) = workers_of(process)
        worker.kill()
        code, output = finish(process)
        assert code == 0, output
        assert len(sweep.trained()) == 4
        assert not sweep.trial_runs("failed")
        assert nothing_is_running(sweep)


class TestAKilledRecorder:
    @pytest.mark.slow
    def test_is_replaced_and_the_sweep_goes_on(self, sweep: Sweep) -> None:
        process = sweep.start(*LONG)
        wait_until(lambda: len(sweep.trained()) >= 1, process, "a first trial")
        recorder_of(process).kill()
        code, output = finish(process)
        assert code == 0, output
        assert "a new one replaces it" in " ".join(output.split())
        assert "Traceback" not in output
        assert len(sweep.trained()) == 4
        assert trainings_logged(sweep) == 4
        assert nothing_is_running(sweep)


class TestAKillAfterTheLastTrial:
    @pytest.mark.slow
    def test_the_next_call_ends_the_sweeps_run_and_later_ones_do_not_open_mlflow(self, sweep: Sweep) -> None:
        code = (
            "import os, runpy, signal, sys\n"
            "from sweep.reports import files\n"
            "files.write_report = lambda *given: os.kill(os.getpid(), signal.SIGKILL)\n"
            "runpy.run_module('sweep', run_name='__main__', alter_sys=True)\n"
        )
        words = sweep.words("search.trials=1")
        killed = subprocess.run(
            [words[0], "-c", code, *words[3:]], cwd=sweep.folder, timeout=PATIENCE_SECONDS, check=False
        )
        assert killed.returncode == -signal.SIGKILL
        parent = sweep.parent_run()
        assert parent.info.status == "RUNNING"

        done = sweep.run_here("search.trials=1")
        assert done.returncode == 0, done.stdout
        after = sweep.parent_run()
        assert (after.info.run_id, after.info.status) == (parent.info.run_id, "FINISHED")
        assert after.data.tags["sweep.verdict"] == "undecided"
        assert after.data.metrics["trials/complete"] == 1.0
        assert nothing_is_running(sweep)

        (sweep.folder / "mlruns/mlflow.db").write_bytes(b"no database" * 1000)
        assert sweep.run_here("search.trials=1").returncode == 0


class TestAKilledServer:
    @pytest.mark.slow
    def test_stops_no_sweep_and_gets_every_record_once_it_is_back(self, sweep: Sweep, tmp_path: Path) -> None:
        server = Server(tmp_path / "server", sweep.folder / "mlruns/mlflow.db")
        words = (*LONG, f"tracking.uri=http://ann:Sekret@127.0.0.1:{server.port}")
        server.start()
        try:
            process = sweep.start(*words)
            wait_until(lambda: len(sweep.trained()) >= 1, process, "a first trial")
            server.kill()
            code, output = finish(process)
            assert code == 0, output
            shown = " ".join(output.split())
            assert shown.count("the study goes on") == 1
            assert shown.count("for up to 30 s") == 1, "it waits once, at its end"
            assert "Traceback" not in shown
            assert len(sweep.trained()) == 4
            assert len(list((sweep.folder / "mlruns/tracking").iterdir())) == 1

            server.start()
            again = sweep.run_here(*words)
            assert again.returncode == 0, again.stdout
            server.kill()  # so that its database is read as it is
        finally:
            server.kill()
        assert trainings_logged(sweep) == 4
        assert nothing_is_running(sweep)
        assert not list((sweep.folder / "mlruns/tracking").iterdir())
        written = [file for file in (sweep.folder / "mlruns").rglob("*") if file.is_file()]
        texts = [output, again.stdout, *(file.read_bytes().decode("latin-1") for file in written)]
        assert not [text for text in texts if "Sekret" in text]


class TestAStoppedSweep:
    @pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
    def test_keeps_finished_trials_and_goes_on(self, sweep: Sweep, number: signal.Signals) -> None:
        words = ("train.steps=60", "search.trials=3", "engine.slots=2")
        # not from here, where it might come after the last trial on a busy machine
        called = sweep.words(*words)
        stopped = subprocess.run(
            [called[0], "-c", STOPPED_ONCE.format(number=int(number)), *called[3:]],
            cwd=sweep.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert stopped.returncode == 130, stopped.stdout + stopped.stderr
        assert nothing_is_running(sweep)
        finished = len(sweep.trained())
        assert 1 <= finished < 3
        times = {file: file.stat().st_mtime_ns for file in sweep.trained()}

        done = sweep.run_here(*words)
        assert done.returncode == 0, done.stdout
        assert len(sweep.trained()) == 3
        assert all(file.stat().st_mtime_ns == time for file, time in times.items()), "a finished trial was repeated"
        assert trainings_logged(sweep) == 3
        assert nothing_is_running(sweep)

    @pytest.mark.slow
    def test_goes_on_after_sigkill(self, sweep: Sweep) -> None:
        process = sweep.start(*LONG)
        wait_until(lambda: len(sweep.trained()) >= 1, process, "a first trial")
        workers = workers_of(process)
        process.kill()
        process.communicate()
        for worker in workers:
            worker.wait(timeout=PATIENCE_SECONDS)  # a worker never outlives its parent
        times = {file: file.stat().st_mtime_ns for file in sweep.trained()}

        done = sweep.run_here(*LONG)
        assert done.returncode == 0, done.stdout
        assert len(sweep.trained()) == 4
        assert all(file.stat().st_mtime_ns == time for file, time in times.items()), "a finished trial was repeated"
        assert nothing_is_running(sweep)
        assert all(run.data.tags["sweep.status"] != "running" for run in sweep.runs())

    @pytest.mark.slow
    def test_ends_like_one_that_was_not_interrupted(self, sweep: Sweep, tmp_path: Path) -> None:
        (tmp_path / "undisturbed").mkdir()
        undisturbed = Sweep(tmp_path / "undisturbed", sweep.data)
        whole = undisturbed.run_here(*LONG, "search.trials=5")
        assert whole.returncode == 0, whole.stdout

        process = sweep.start(*LONG, "search.trials=5")
        wait_until(lambda: len(sweep.trained()) >= 2, process, "a second trial")
        assert finish(process, signal.SIGTERM)[0] == 130
        assert sweep.run_here(*LONG, "search.trials=5").returncode == 0
        assert {file.parent.name for file in sweep.trained()} == {file.parent.name for file in undisturbed.trained()}


class TestAStoppedMultirun:
    @pytest.mark.slow
    def test_ends_at_once_and_leaves_nothing_running(self, sweep: Sweep) -> None:
        process = sweep.start("-m", "lora.r=4,8,16", "train.steps=3000", module="sweep.train")
        wait_until(sweep.has_a_running_trial, process, "a running trial")
        code, output = finish(process, signal.SIGINT)
        assert code == 130, output
        assert "r8-" not in output
        assert nothing_is_running(sweep)

    @pytest.mark.slow
    def test_runs_of_a_killed_one_are_ended_by_the_next(self, sweep: Sweep) -> None:
        process = sweep.start("train.steps=3000", module="sweep.train")
        wait_until(sweep.has_a_running_trial, process, "a running trial")
        process.kill()
        process.communicate()
        assert not nothing_is_running(sweep)
        assert sweep.run_here(module="sweep.train").returncode == 0
        assert nothing_is_running(sweep)


class TestASecondSweep:
    def test_of_the_same_study_is_refused(self, sweep: Sweep) -> None:
        with study_lock(Paths.here(sweep.folder / "mlruns"), "faults"):
            second = sweep.run()
        assert second.returncode == 2, second.stdout
        assert f"already running here (process {os.getpid()})" in second.stdout
        assert "Traceback" not in second.stdout
        assert not sweep.trial_results()


class TestASecondCall:
    @pytest.mark.slow
    def test_trains_nothing_and_prints_the_same(self, sweep: Sweep) -> None:
        first = sweep.run_here("search.trials=2")
        assert first.returncode == 0, first.stdout
        runs = len(sweep.runs())
        second = sweep.run_here("search.trials=2")
        assert second.returncode == 0, second.stdout
        assert len(sweep.runs()) == runs
        assert table_of(first) == table_of(second)
        assert "undecided" in table_of(second)

    @pytest.mark.slow
    def test_a_moved_model_continues_and_another_in_its_place_does_not(self, sweep: Sweep) -> None:
        make_tiny_model(sweep.folder / "here")
        words = ("search.trials=1", "train.steps=4", "model.source=auto")
        assert sweep.run_here(*words, "model.path=here").returncode == 0
        times = {file: file.stat().st_mtime_ns for file in sweep.trial_results()}
        (sweep.folder / "here").rename(sweep.folder / "there")
        moved = sweep.run_here(*words, "model.path=there")
        assert moved.returncode == 0, moved.stdout
        assert "this is a new study" not in " ".join(moved.stdout.split())
        assert {file: file.stat().st_mtime_ns for file in sweep.trial_results()} == times, "nothing is trained"
        (sweep.folder / "there" / "added.json").write_text("{}")
        other = sweep.run_here(*words, "model.path=there")
        assert "this is a new study" in " ".join(other.stdout.split())
        assert set(times) < set(sweep.trial_results())

    @pytest.mark.slow
    def test_counts_are_totals_and_a_changed_space_is_a_new_study(self, sweep: Sweep) -> None:
        assert sweep.run_here("search.trials=1").returncode == 0
        assert sweep.run_here("search.trials=2").returncode == 0
        assert len(sweep.trained()) == 2
        changed = sweep.run_here("search.trials=1", "search.space.rank=[4,8,16,32]")
        assert changed.returncode == 0, changed.stdout
        assert "this is a new study" in " ".join(changed.stdout.split())


def table_of(done: subprocess.CompletedProcess[str]) -> str:
    """From the table's title on."""
    return done.stdout[done.stdout.index("faults: ") :]


class TestChangedData:
    @pytest.mark.slow
    def test_a_worker_that_reads_other_data_ends_the_study_and_nothing_is_mixed(self, sweep: Sweep) -> None:
        words = ("search.trials=3", "train.steps=40", "engine.slots=1")
        file = sweep.data / "train.jsonl"
        before = file.read_text()
        process = sweep.start(*words)
        wait_until(lambda: len(sweep.trained()) >= 1, process, "finished trial")
        file.write_text(before + json.dumps({"prompt": "one more: the red box", "completion": "red"}) + "\n")
        for worker in workers_of(process):
            worker.kill()
        code, output = finish(process)
        assert code == 2, output
        assert "the data set was changed while the study was running" in output
        assert "Traceback" not in output
        file.write_text(before)
        again = sweep.run_here(*words)
        assert again.returncode == 0, again.stdout
        hashes = {json.loads(result.read_text())["provenance"]["data_hash"] for result in sweep.trial_results()}
        assert len(hashes) == 1


class TestADamagedTrial:
    @pytest.mark.slow
    def test_is_set_aside_reported_and_run_again(self, sweep: Sweep) -> None:
        first = sweep.run_here("search.trials=1")
        assert first.returncode == 0, first.stdout
        (trial,) = sweep.trained()
        losses = sweep.losses()
        (trial.parent / "scores.jsonl").unlink()
        (sweep.folder / "mlruns/optuna.db").unlink()
        again = sweep.run_here("search.trials=1")
        assert again.returncode == 0, again.stdout
        assert "scores.jsonl is missing" in again.stdout
        assert sweep.losses() == losses

    @pytest.mark.slow
    def test_whose_adapter_is_damaged_is_trained_again_for_test(self, sweep: Sweep) -> None:
        words = ("certify.enabled=true", "search.trials=1", "search.space.rank=[2]", "certify.rate_trials=1")
        small = ("evaluate.certify_examples=8", "evaluate.test_examples=6", "certify.ladder=[2,4]", "certify.seeds=1")
        process = sweep.start(*words, *small)
        wait_until(lambda: len(sweep.trained()) >= 3, process, "certify trial")
        finish(process, signal.SIGKILL)
        for weights in (sweep.folder / "mlruns/adapters").glob("*/*/adapter/*.safetensors"):
            weights.write_bytes(weights.read_bytes()[:-1])
        done = sweep.run_here(*words, *small)
        assert done.returncode == 0, done.stdout
        assert "on test" in done.stdout
        assert "Traceback" not in done.stdout
