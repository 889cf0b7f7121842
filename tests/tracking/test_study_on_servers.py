"""A real study that records on a real MLflow server and in a real PostgreSQL, both away for a while: whole, once, and without passwords."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.faults.processes import end_all, in_folder
from benchmarks.faults.server import Server
from tests.faults.conftest import PATIENCE_SECONDS, Sweep, wait_until
from tests.servers.postgres import PASSWORD, USER, Postgres
from tests.servers.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*noload.*")]

WEB_PASSWORD = "Sekret-0815"  # noqa: S105 (made up, so that the test can look for it)
STUDY = """# @package _global_
tracking:
  uri: ${oc.env:MADE_UP_TRACKING}
storage:
  url: postgresql+psycopg://goldilocks:${oc.env:MADE_UP_SECRET}@127.0.0.1:${oc.env:MADE_UP_PORT}/optuna
"""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    started = Postgres()
    try:
        started.start()
        started.create("optuna")
        yield started
    finally:
        started.remove()


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    started = Server(tmp_path / "server", tmp_path / "mlflow.db")
    try:
        started.start()
        yield started
    finally:
        started.kill()


def output_of(process: subprocess.Popen[str], when_said: dict[str, Callable[[], None]]) -> str:
    """All that the sweep prints until it ends; each of the actions is done once the sweep has said its words."""
    assert process.stdout is not None
    output, left = "", dict(when_said)
    limit = threading.Timer(PATIENCE_SECONDS, process.kill)
    limit.start()
    with process:
        for line in process.stdout:
            output += line
            shown = " ".join(output.split())
            for words in [words for words in left if words in shown]:
                left.pop(words)()
    limit.cancel()
    assert not left, output
    return output


def test_no_trial_is_lost_or_recorded_twice_and_no_password_is_left(
    tmp_path: Path, made_task: Path, server: Server, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    (folder / "conf" / "study").mkdir(parents=True)
    (folder / "conf" / "study" / "mine.yaml").write_text(STUDY)
    passwords = tmp_path / "passwords"
    passwords.write_text(f"127.0.0.1:*:optuna:{USER}:{PASSWORD}\n")
    passwords.chmod(0o600)
    web, database = Proxy(server.port), Proxy(postgres.port)
    sweep = Sweep(folder, made_task)
    outputs = []
    try:
        with monkeypatch.context() as environment:
            environment.setenv("MLFLOW_TRACKING_USERNAME", "ann")
            environment.setenv("MLFLOW_TRACKING_PASSWORD", WEB_PASSWORD)
            environment.setenv("PGPASSFILE", str(passwords))
            process = sweep.start(
                *("search.trials=3", "train.steps=60", "engine.slots=1"),
                f"tracking.uri=http://127.0.0.1:{web.port}",
                f"storage.url={postgres.address('optuna', port=database.port, password=None)}",
            )
            wait_until(lambda: len(sweep.trained()) >= 1, process, "a first trial")
            web.break_(away=True)
            database.break_(away=True)
            output = output_of(process, {"waits for up to": database.repair, "the study goes on": web.repair})
        assert process.returncode == 0, output
        outputs.append(output)
        shown = " ".join(output.split())
        assert "is back" in shown, shown
        assert shown.count("the study goes on") == 1, shown

        monkeypatch.setenv("MADE_UP_TRACKING", f"http://ann:{WEB_PASSWORD}@127.0.0.1:{web.port}")
        monkeypatch.setenv("MADE_UP_SECRET", PASSWORD)
        monkeypatch.setenv("MADE_UP_PORT", str(database.port))
        again = sweep.run_here("+study=mine", "search.trials=4", "train.steps=60", "engine.slots=1")
        assert again.returncode == 0, again.stdout
        outputs.append(again.stdout)
    finally:
        web.close()
        database.close()
        end_all(in_folder(folder))

    assert len(sweep.trained()) == 4
    client = MlflowClient(server.address, registry_uri=server.address)
    experiment = client.get_experiment_by_name("faults")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    trials = [run for run in runs if "sweep.trial" in run.data.tags and run.data.tags["sweep.rank"] != "0"]
    assert sorted(run.data.tags["sweep.trial"] for run in trials) == sorted(
        file.parent.name for file in sweep.trained()
    )
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert postgres.execute("optuna", "SELECT state, count(*) FROM trials GROUP BY state") == [("COMPLETE", 4)]
    assert not list((folder / "mlruns" / "tracking").glob("*"))

    account = base64.b64encode(f"ann:{WEB_PASSWORD}".encode())
    assert any(account in sent for sent in web.sent), "the account reached the server"
    written = [file for file in (folder / "mlruns").rglob("*") if file.is_file()]
    assert [file for file in written if file.name == "faults.log"]
    served = [file for file in (tmp_path / "server").rglob("*") if file.is_file() and file.name != "server.log"]
    rows = postgres.execute("optuna", "SELECT value_json FROM study_user_attributes")
    tags = [str(run.data.to_dictionary()) for run in runs]
    texts = {
        **{str(file): file.read_bytes() for file in (*written, *served, tmp_path / "mlflow.db")},
        **{f"output {number}": text.encode() for number, text in enumerate(outputs)},
        "Optuna": str(rows).encode(),
        "MLflow": str(tags).encode(),
    }
    assert [place for place, text in texts.items() if str(web.port).encode() in text], (
        "addresses are written, so they can be found"
    )
    secrets = (PASSWORD.encode(), WEB_PASSWORD.encode(), account)
    assert not [place for place, text in texts.items() for secret in secrets if secret in text]
