"""`python -m sweep.doctor`: each check by itself, and the whole command on this machine."""

import os
import socket
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.doctor import capacity, databases, machine, sources
from sweep.commands.doctor.command import doctor as examine_all
from sweep.commands.doctor.findings import Finding, conclusion, exit_code, misconfigured
from sweep.commands.doctor.rehearsal import RehearsalResult, abnormal_end, parsed_result
from sweep.config.gpus import Gpu, gpus_listed
from sweep.records import BaseModel, StudyPlan, TaskData
from sweep.store.locks import study_lock
from sweep.store.paths import Paths
from sweep.training.machine import available_memory

GB = 10**9
WHEEL = BaseModel("smollm2-135m", "ORG/SmolLM2-135M", wheel="some-wheel==1", wheel_sha256="ab" * 32)


def doctor(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweep.doctor", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "132"},
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        lines = [f'{{"prompt": "{split} {number}?", "completion": "{number}"}}' for number in range(24)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def plan() -> StudyPlan:
    return composed_plan([])


class TestCommand:
    @pytest.mark.slow
    def test_this_machine_can_run_a_small_study(self, data: Path) -> None:
        done = doctor("model=tiny", "task=jsonl", "task.path=data", folder=data.parent)
        assert done.stderr == ""
        assert done.returncode == 0, done.stdout
        assert "data: 24 train" in done.stdout
        assert "4-bit training" in done.stdout
        assert done.stdout.splitlines()[-1] == "This machine can run this study."
        assert list(data.parent.iterdir()) == [data]

    @pytest.mark.slow
    def test_what_is_missing_is_shown_and_secrets_are_not(self, data: Path) -> None:
        (data.parent / "mlruns").write_text("in the way")
        (data / "test.jsonl").unlink()
        done = doctor(
            *("model=tiny", "task=jsonl", "task.path=data", "storage.url=oracle+nothing://me:secret@127.0.0.1:1/db"),
            folder=data.parent,
        )
        assert done.returncode == 3
        assert "secret" not in done.stdout + done.stderr
        assert (
            done.stdout.splitlines()[-1]
            == "This machine cannot run this study yet; to fix: disk, MLflow store, Optuna database, data."
        )

    def test_wrong_overrides(self, tmp_path: Path) -> None:
        done = doctor("model=tinny", "lora.rr=3", folder=tmp_path)
        assert done.returncode == 2
        assert "did you mean 'tiny'?" in done.stderr
        assert "lora.rr" in done.stderr

    def test_override_that_hydra_refuses(self, tmp_path: Path) -> None:
        done = doctor("lora.r=4,8", folder=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr

    def test_help(self, tmp_path: Path) -> None:
        done = doctor("--help", folder=tmp_path)
        assert done.returncode == 0
        assert done.stdout.startswith("python -m sweep.doctor [key=value ...]")


class TestEmptyEnvironment:
    def test_package_that_the_doctor_itself_needs_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "sweep.commands.doctor.examination", raising=False)
        monkeypatch.delitem(sys.modules, "sweep.commands.app", raising=False)
        for name in ("hydra", "rich.table"):
            monkeypatch.setitem(sys.modules, name, None)
        assert examine_all([]) == 3
        said = capsys.readouterr().out
        assert "ok: Python" in said
        assert "problem: imports: import of hydra halted" in said
        assert "to fix: imports." in said


class TestConclusion:
    FINE = Finding("one", "ok", "")
    NOTED = Finding("two", "warning", "")
    LACKING = Finding("three", "problem", "")
    WRONG = misconfigured("four", "", "")

    def test_warnings_do_not_stop_a_study(self) -> None:
        assert exit_code([self.FINE, self.NOTED]) == 0
        assert conclusion([self.FINE, self.NOTED], "it") == "This machine can run it."

    def test_codes(self) -> None:
        assert exit_code([self.FINE, self.WRONG]) == 2
        assert exit_code([self.LACKING, self.WRONG]) == 3
        assert conclusion([self.FINE, self.LACKING, self.WRONG], "it").endswith("to fix: three, four.")


class TestPython:
    def test_old(self) -> None:
        assert machine.python_version((3, 10, 9)).state == "problem"

    def test_new(self) -> None:
        assert machine.python_version((3, 14, 0)).state == "ok"


class TestPackages:
    NEEDED = ("mlflow>=3.14,<4,!=3.18.0", "torch>=2.9,<3", "pytest>=8; extra == 'dev'")

    @pytest.mark.parametrize(
        ("mlflow", "state", "word"),
        [
            ("3.17.2", "ok", "all 2"),
            (None, "problem", "mlflow is missing"),
            ("3.1", "problem", "mlflow 3.1 is not in"),
            ("3.18.0", "problem", "mlflow 3.18.0 is not in"),
            ("4.0", "warning", "mlflow 4.0 is newer"),
        ],
    )
    def test_versions(self, mlflow: str | None, state: str, word: str) -> None:
        finding = machine.packages(self.NEEDED, {"mlflow": mlflow, "torch": "2.9.0+cpu"}.get)
        assert finding.state == state
        assert word in finding.message
        assert ("pip install 'mlflow" in finding.fix) == (state != "ok")

    def test_the_requirements_are_those_of_the_checkout(self) -> None:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
        assert machine.own_requirements() == project["dependencies"]

    def test_mlflow_3_18_0_is_left_out_of_the_projects_own_range(self) -> None:
        finding = machine.packages(machine.own_requirements(), {"mlflow": "3.18.0"}.get)
        assert "mlflow 3.18.0 is not in" in finding.message


class TestProcessor:
    def test_features_of_linux(self, tmp_path: Path) -> None:
        file = tmp_path / "cpuinfo"
        file.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f amx_tile\n\nprocessor : 1\n")
        features = machine.processor_features(file)
        assert features == {"avx2", "avx512f", "amx_tile"}
        assert machine.processor(2, features, 2, 1).message == "2 cores usable; avx2, avx512f, amx"

    def test_features_are_not_known(self, tmp_path: Path) -> None:
        assert machine.processor_features(tmp_path / "cpuinfo") is None
        assert machine.processor(1, None, 1, 1) == Finding("processor", "ok", "1 core usable")

    def test_slow_processor(self) -> None:
        assert machine.processor(2, frozenset(), 2, 1).state == "warning"

    def test_more_threads_than_a_container_may_use(self, tmp_path: Path) -> None:
        (tmp_path / "cpu.max").write_text("200000 100000\n")
        quota = machine.core_quota(tmp_path)
        assert quota == 2.0
        finding = machine.processor(64, frozenset(machine.FEATURES), 64, 1, quota)
        assert (finding.state, finding.fix) == ("warning", "executor.threads=2")

    def test_no_quota(self, tmp_path: Path) -> None:
        assert machine.core_quota(tmp_path) is None
        (tmp_path / "cpu.max").write_text("max 100000\n")
        assert machine.core_quota(tmp_path) is None


class TestGpu:
    LINE = "NVIDIA A100-SXM4-80GB, 81920, 80000, 8.0\n"

    def test_listed(self) -> None:
        (gpu,) = gpus_listed(f"{self.LINE}not a gpu\n")
        assert gpu == Gpu("NVIDIA A100-SXM4-80GB", 81920 * 2**20, 80000 * 2**20, (8, 0))

    def test_old_driver_without_the_capability(self) -> None:
        (gpu,) = gpus_listed("Tesla T4, 15360, 15000, [N/A]")
        assert gpu.capability is None

    def test_none_is_fine(self) -> None:
        assert capacity.graphics([], "cpu", None).state == "ok"

    @pytest.mark.parametrize(
        ("device", "need", "state", "word"),
        [
            ("cuda", GB, "ok", "compute capability 8.0, bf16 yes"),
            ("cpu", GB, "warning", "PyTorch does not use it"),
            ("cuda", 100 * GB, "warning", "needs about 100 GB of each"),
        ],
    )
    def test_used_or_not(self, device: str, need: int, state: str, word: str) -> None:
        finding = capacity.graphics(list(gpus_listed(self.LINE)), device, need)
        assert finding.state == state
        assert word in finding.message

    def test_several(self) -> None:
        listed = list(gpus_listed(self.LINE * 4))
        assert "; 3 more; 4 of 4 in use" in capacity.graphics(listed, "cuda", GB, 4).message
        assert "; 3 more; 2 of 4 in use" in capacity.graphics(listed, "cuda", GB, 2).message

    def test_not_asked_for(self) -> None:
        finding = capacity.graphics(list(gpus_listed(self.LINE)), "cpu", GB, 2, "cpu")
        assert (finding.state, finding.message.endswith("not used, because of device=cpu")) == ("ok", True)

    def test_unknown_memory(self) -> None:
        finding = capacity.graphics([Gpu("an NVIDIA GPU", 0, 0, None)], "cuda", GB)
        assert (finding.state, finding.message) == ("ok", "an NVIDIA GPU")


class TestMemory:
    @pytest.mark.parametrize(("available", "state"), [(3 * GB, "ok"), (1.5 * GB, "warning"), (GB, "problem")])
    def test_compared_with_the_need(self, available: float, state: str) -> None:
        assert capacity.memory(2 * GB, int(available)).state == state

    def test_need_is_not_known(self) -> None:
        assert capacity.memory(None, 1).state == "ok"

    def test_budget_is_below_the_need(self) -> None:
        finding = capacity.memory(2 * GB, 8 * GB, GB)
        assert finding.state == "warning"
        assert finding.fix.startswith("budget.memory=")

    def test_limit_of_a_container(self, tmp_path: Path) -> None:
        for name, text in (
            ("memory.max", "3000"),
            ("memory.current", "2500"),
            ("memory.stat", "anon 1\ninactive_file 200"),
        ):
            (tmp_path / name).write_text(text)
        assert available_memory(tmp_path) == 700

    def test_no_limit(self, tmp_path: Path) -> None:
        (tmp_path / "memory.max").write_text("max")
        assert available_memory(tmp_path) > 2**20

    def test_smollm2_needs_about_two_gigabytes(self, plan: StudyPlan) -> None:
        need = capacity.need(135_000_000, replace(plan, workers=1), fetched=False, from_wheel=True, on_gpu=False)
        assert need.memory == pytest.approx(2 * GB, rel=0.1)
        assert need.disk == pytest.approx(1.5 * GB, rel=0.1)

    def test_more_workers_need_more(self, plan: StudyPlan) -> None:
        one, two = (
            capacity.need(10**9, replace(plan, workers=workers), fetched=True, from_wheel=False, on_gpu=False).memory
            for workers in (1, 2)
        )
        assert one is not None
        assert two == 2 * one

    def test_unknown_model(self, plan: StudyPlan) -> None:
        assert capacity.need(None, plan, fetched=False, from_wheel=False, on_gpu=False) == capacity.Need(
            None, None, None
        )


class TestDisk:
    def test_free_space(self, tmp_path: Path) -> None:
        assert capacity.disk(tmp_path / "mlruns", GB, lambda place: 2 * GB).state == "ok"
        assert capacity.disk(tmp_path / "mlruns", 3 * GB, lambda place: 2 * GB).state == "problem"
        assert list(tmp_path.iterdir()) == []

    def test_hub_cache(self, tmp_path: Path) -> None:
        assert capacity.hub_cache(tmp_path / "hub", GB, lambda place: 2 * GB).state == "ok"
        assert capacity.hub_cache(tmp_path / "hub", 3 * GB, lambda place: 2 * GB).state == "problem"

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        finding = capacity.disk(tmp_path / "file" / "mlruns", GB)
        assert finding.state == "problem"
        assert "cannot be written to" in finding.message

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_of_someone_else(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        assert capacity.disk(tmp_path / "mlruns", GB).state == "problem"
        assert databases.tracking(None, Paths.here(tmp_path / "mlruns")).state == "problem"


Check = Callable[[str | None, Paths], Finding]


@pytest.mark.parametrize("check", [databases.tracking, databases.storage])
class TestDatabases:
    def test_not_there_yet(self, check: Check, tmp_path: Path) -> None:
        assert check(None, Paths.here(tmp_path / "mlruns")).state == "ok"
        assert list(tmp_path.iterdir()) == []

    def test_there(self, check: Check, tmp_path: Path) -> None:
        file = tmp_path / "own.db"
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE kept (here)")
        connection.close()
        before = file.read_bytes()
        assert check(f"sqlite:///{file}", Paths.here(tmp_path)).state == "ok"
        assert file.read_bytes() == before
        assert list(tmp_path.iterdir()) == [file]

    def test_in_use(self, check: Check, tmp_path: Path) -> None:
        file = tmp_path / "own.db"
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        assert check(f"sqlite:///{file}", Paths.here(tmp_path)).state == "warning"
        connection.close()

    def test_damaged(self, check: Check, tmp_path: Path) -> None:
        file = tmp_path / "own.db"
        file.write_bytes(b"no database at all" * 100)
        finding = check(f"sqlite:///{file}", Paths.here(tmp_path))
        assert finding.state == "problem"
        assert "--repair" in finding.fix

    def test_folder_cannot_be_made(self, check: Check, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        finding = check(f"sqlite:///{tmp_path}/file/own.db", Paths.here(tmp_path))
        assert (finding.state, finding.exit_code) == ("problem", 3)

    def test_unknown_kind(self, check: Check, tmp_path: Path) -> None:
        finding = check("quantum://me:secret@host/db", Paths.here(tmp_path))
        assert (finding.state, finding.exit_code) == ("problem", 2)
        assert "secret" not in finding.message + finding.fix

    def test_driver_is_missing(self, check: Check, tmp_path: Path) -> None:
        finding = check("postgresql+pg8000://me:secret@127.0.0.1/db", Paths.here(tmp_path))
        assert finding.fix == "python -m pip install pg8000"
        assert "secret" not in finding.message


class TestServers:
    def test_answers(self, tmp_path: Path) -> None:
        with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as listening:
            Thread(target=listening.serve_forever, daemon=True).start()
            uri = f"http://me:secret@127.0.0.1:{listening.server_port}"
            finding = databases.tracking(uri, Paths.here(tmp_path))
            listening.shutdown()
        # this one refuses every request, which is an answer too
        assert finding.message == f"http://127.0.0.1:{listening.server_port} answers"

    def test_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            assert databases.listens("127.0.0.1", port, 1.0)
        assert not databases.listens("127.0.0.1", port, 1.0)

    def test_no_answer_in_time(self) -> None:
        silent = Event()
        assert not databases.within(0.05, silent.wait)
        silent.set()

    def test_does_not_answer(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        assert databases.tracking(f"http://127.0.0.1:{port}", Paths.here(tmp_path)).state == "problem"

    def test_nothing_is_recorded(self, tmp_path: Path) -> None:
        assert databases.tracking("memory://", Paths.here(tmp_path)).state == "ok"

    def test_optuna_in_memory(self, tmp_path: Path) -> None:
        assert databases.storage("sqlite://", Paths.here(tmp_path)).state == "warning"

    def test_no_url(self, tmp_path: Path) -> None:
        assert databases.storage("optuna.db", Paths.here(tmp_path)).exit_code == 2


class TestBaseModel:
    @pytest.mark.parametrize(
        ("hub", "pip", "state", "word"),
        [
            (True, False, "ok", "from the hub"),
            (False, True, "ok", "the wheel some-wheel==1"),
            (False, False, "problem", "pip"),
        ],
    )
    def test_fetchable(self, hub: bool, pip: bool, state: str, word: str) -> None:
        finding = sources.base_model(WHEEL, None, lambda: hub, pip)
        assert finding.state == state
        assert word in finding.message

    def test_on_the_hub_only(self) -> None:
        finding = sources.base_model(replace(WHEEL, wheel=None), None, lambda: False, pip=True)
        assert (finding.state, finding.exit_code) == ("problem", 3)

    def test_folder_without_a_model(self, tmp_path: Path) -> None:
        model = replace(WHEEL, path=str(tmp_path))
        finding = sources.base_model(model, sources.folder_of(model, Paths.here(tmp_path)), lambda: True)
        assert (finding.state, finding.exit_code) == ("problem", 2)

    def test_converted_already(self, tmp_path: Path) -> None:
        paths = Paths.here(tmp_path)
        folder = sources.converted_folder(WHEEL, paths)
        assert folder is not None
        assert sources.folder_of(replace(WHEEL, source="wheel"), paths) is None
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        (folder / "model.safetensors").touch()
        assert sources.folder_of(replace(WHEEL, source="wheel"), paths) == folder

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("smollm2-135m", 135_000_000),
            ("qwen3-1.7b", 1_700_000_000),
            ("llama-3.1-8b", 8_000_000_000),
            ("phi-4-mini", None),
            ("own", None),
        ],
    )
    def test_size_by_name(self, name: str, parameters: int | None) -> None:
        assert sources.parameters_of(BaseModel(name, f"ORG/{name}"), None) == parameters

    def test_size_by_file(self, tmp_path: Path) -> None:
        import numpy as np
        from safetensors.numpy import save_file

        save_file({"a": np.zeros((3, 4)), "b": np.zeros(5)}, tmp_path / "model.safetensors")
        assert sources.parameters_of(BaseModel("own", "ORG/own"), tmp_path) == 17


class TestHub:
    @pytest.mark.parametrize(
        ("answers", "needed", "state"), [(True, True, "ok"), (False, False, "ok"), (False, True, "warning")]
    )
    def test_needed_or_not(self, answers: bool, needed: bool, state: str) -> None:
        assert sources.model_hub(answers, needed).state == state


class TestData:
    def test_counts(self, data: Path) -> None:
        finding = sources.data(TaskData("own", "jsonl", "exact_match", path=str(data)), Paths.here())
        assert "own: 24 train" in finding.message
        assert finding.state == "ok"

    def test_faults(self, data: Path) -> None:
        (data / "train.jsonl").write_text("{}\n" * 9)
        finding = sources.data(TaskData("own", "jsonl", "exact_match", path=str(data)), Paths.here())
        assert (finding.state, finding.exit_code) == ("problem", 2)
        assert "and 4 more" in finding.message


class TestRunningSweep:
    def test_none(self, tmp_path: Path) -> None:
        assert sources.running_sweep(Paths.here(tmp_path), "own").state == "ok"

    def test_alive(self, tmp_path: Path) -> None:
        with study_lock(Paths.here(tmp_path), "own"):
            found = sources.running_sweep(Paths.here(tmp_path), "own")
        assert (found.state, f"process {os.getpid()}" in found.message) == ("warning", True)

    def test_killed(self, tmp_path: Path) -> None:
        note = Paths.here(tmp_path).lock("own").with_suffix(".pid")
        note.parent.mkdir(parents=True)
        note.with_suffix(".lock").touch()
        note.write_text(str(os.getpid()))
        assert sources.running_sweep(Paths.here(tmp_path), "own").state == "ok"


class TestRehearsal:
    SAID = 'words of a library\n{"device": "cpu"}\n{"quantization": "nf4", "problem": null}\n'

    def test_fine(self) -> None:
        assert parsed_result(self.SAID, None).finding("nf4", "nf4").state == "ok"

    def test_killed_after_the_first(self) -> None:
        finding = parsed_result(self.SAID, abnormal_end(-4, ""))
        assert finding.finding("nf4", "nf4").state == "ok"
        assert finding.finding("int8", "nf4") == Finding(
            "8-bit training",
            "warning",
            "the test was killed by signal 4 (SIGILL)",
            "quant=none trains without quantization and needs more memory",
        )

    def test_a_problem_only_with_what_the_study_uses(self) -> None:
        broken = RehearsalResult("cpu", {"nf4": "the loss did not fall", "int8": "no"})
        assert broken.finding("nf4", "nf4").state == "problem"
        assert broken.finding("nf4", "none").state == "warning"
        assert broken.finding("int8", "int8").state == "problem"

    def test_libraries_cannot_be_imported(self) -> None:
        finding = parsed_result("", abnormal_end(1, "Traceback\nImportError: libcudart.so: not finding\n")).finding(
            "nf4", "nf4"
        )
        assert finding.state == "problem"
        assert "libcudart" in finding.message
        assert "pip install" in finding.fix
