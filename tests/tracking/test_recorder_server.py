"""Recording in real stores behind a proxy that fails: an MLflow server, and a PostgreSQL database.

The recorder's process is a thread here, which needs no seconds to import MLflow; `test_study_on_servers.py` has a real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.faults.processes import waited
from benchmarks.faults.server import Server
from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult
from sweep.tracking import SweepRun, record_queue, recorder, recorder_process
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.port import Summary, is_provisional
from sweep.tracking.recorder import Recorder
from sweep.tracking.recorder_process import RecorderSettings
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.proxy import Proxy
from tests.study.driven import Threads

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*noload.*")]

PATIENCE_SECONDS = 240.0
CREATE = {"server": b"runs/create", "postgres": b"INSERT INTO runs"}
"""What a client sends to create a run."""
PARAMS = {"server": b"runs/log-batch", "postgres": b"INSERT INTO params"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    started = Server(folder / "server", folder / "mlflow.db")
    try:
        started.start()
        yield "http://127.0.0.1:{port}", started.port
    finally:
        started.kill()


@pytest.fixture(scope="module")
def postgres() -> Iterator[tuple[str, int]]:
    started = Postgres()
    try:
        started.start()
        started.create("mlflow")
        address = started.address("mlflow")
        MlflowTracker(address, None)  # makes the tables
        yield address.replace(f":{started.port}/", ":{port}/"), started.port
    finally:
        started.remove()


@pytest.fixture(autouse=True)
def in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: Connection, settings: RecorderSettings) -> None:
        recorder_process._RecordingLoop(connection, settings).run()

    monkeypatch.setattr(recorder_process, "record", serve)
    monkeypatch.setattr(recorder_process, "limit_waits", lambda: None)  # it is for the rest of a process
    monkeypatch.setattr(recorder_process.multiprocessing, "get_context", lambda _: Threads)


@dataclass
class Place:
    """One experiment of a store, recorded through a proxy and read past it."""

    kind: str
    address: str
    server_port: int
    folder: Path
    study: str
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proxy = Proxy(self.server_port)
        self.kept = self.folder / "kept"
        self.sweep = SweepRun(
            self.study, "study: {}\n", tags={"team": "Größe"}, params={"model": "tiny"}, command="made"
        )

    @property
    def uri(self) -> str:
        return self.address.format(port=self.proxy.port)

    def recorder(self) -> Recorder:
        return Recorder(self.uri, self.folder / "artifacts", self.kept, say=self.said.append)

    def client(self) -> MlflowClient:
        uri = self.address.format(port=self.server_port)
        return MlflowClient(uri, registry_uri=uri)

    def runs(self) -> list[Run]:
        """All runs that are not deleted, the sweep's first."""
        experiment = self.client().get_experiment_by_name(self.study)
        assert experiment is not None
        found = list(self.client().search_runs([experiment.experiment_id]))
        return sorted(found, key=lambda run: "sweep.trial" in run.data.tags)

    def journals(self) -> list[Path]:
        return sorted(self.kept.glob("*"))

    def about(self, words: str) -> list[str]:
        return [line for line in self.said if words in line]

    def leave(self) -> None:
        """Changes the journals as if a process of another machine, which is gone, had written them."""
        for journal in self.journals():
            head, *rest = journal.read_text().splitlines()
            gone = json.dumps({**json.loads(head), "sweep.owner": "elsewhere:1"})
            journal.write_text("\n".join([gone, *rest, '{"do": "close_tr']))


@pytest.fixture(params=["server", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    address, port = request.getfixturevalue(request.param)
    made = Place(request.param, address, port, tmp_path, f"study-{time.monotonic_ns()}")
    yield made
    made.proxy.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_queue, "_AWAY_SECONDS", 2.0)
    monkeypatch.setattr(record_queue, "_QUIET_SECONDS", 0.5)


def once(fault: bytes, times: int = 1) -> Callable[[bytes], bool]:
    """Whether this is one of the first times that a client sends this."""
    left = [times]

    def chosen(sent: bytes) -> bool:
        if fault in sent and left[0] > 0:
            left[0] -= 1
            return True
        return False

    return chosen


def is_whole(place: Place, complete: TrialResult, trials: int) -> None:
    """Every trial is recorded once and wholly under one sweep's run, and nothing is kept on disk any more."""
    parent, *children = place.runs()
    assert len(children) == trials
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.data.params == {"model": "tiny"}
    assert (parent.data.tags["team"], parent.data.metrics["verdict/rank"]) == ("Größe", 8.0)
    assert [file.path for file in place.client().list_artifacts(parent.info.run_id)] == ["config.yaml"]
    for run in children:
        assert (run.data.params["model"], run.data.params["lora.r"]) == ("tiny", "16")
        assert run.data.metrics["eval/loss"] == 0.15
        history = place.client().get_metric_history(run.info.run_id, "train/loss")
        assert len(history) == len(complete.history)
        assert [file.path for file in place.client().list_artifacts(run.info.run_id)] == ["result.json"]
    assert len(place.client().get_metric_history(parent.info.run_id, "verdict/rank")) == 1
    assert not place.journals()


def file_of(place: Place) -> Path:
    file = place.folder / "result.json"
    file.write_text("{}")
    return file


def is_said(place: Place, tracker: Recorder) -> None:
    """Waits until the recorder has said that the store is away."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not place.about("the study goes on") and time.monotonic() < end:
        tracker.poll()
        time.sleep(0.05)
    assert place.about("the study goes on")


VERDICT = Summary({"verdict/rank": 8.0}, {"sweep.verdict": "x"})


def test_away_at_the_start_and_back_later(place: Place, complete: TrialResult) -> None:
    place.proxy.break_(away=True)
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    assert is_provisional(parent)
    assert tracker.link(parent) is None
    first = tracker.open_trial(parent, complete.spec)
    tracker.close_trial(first, complete, [file_of(place)])
    (away,) = place.about("the study goes on")
    assert "refused" in away
    assert PASSWORD not in away
    place.proxy.repair()
    tracker.close_trial(tracker.open_trial(parent, complete.spec), complete, [file_of(place)])
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    assert place.about("takes records again")
    is_whole(place, complete, 2)


@pytest.mark.parametrize("place", ["server"], indirect=True)
@pytest.mark.usefixtures("impatient")
def test_away_from_start_to_end_is_recorded_by_the_next_run(place: Place, complete: TrialResult) -> None:
    place.proxy.break_(away=True)
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    tracker.close_trial(tracker.open_trial(parent, complete.spec), complete, [file_of(place)])
    assert not tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    (words,) = place.about("the next run of the same command records them")
    assert "4 record(s)" in words
    del tracker
    place.leave()
    place.proxy.repair()

    later = place.recorder()
    later.resume_sweep(parent, place.sweep)
    assert not place.journals()
    # a verdict that changed is recorded in the run that was opened under a provisional id
    assert later.close_sweep(parent, Status.COMPLETE, Summary({}, {"sweep.verdict": "y"}), [])
    is_whole(place, complete, 1)
    assert place.runs()[0].data.tags["sweep.verdict"] == "y"


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.usefixtures("impatient")
def test_two_nights_away_are_recorded_by_the_third(place: Place, complete: TrialResult) -> None:
    place.proxy.break_(away=True)
    for _ in range(2):
        tracker = place.recorder()
        parent = tracker.open_sweep(place.sweep)
        tracker.close_trial(tracker.open_trial(parent, complete.spec), complete, [])
        assert not tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
        del tracker
        place.leave()
    assert len(place.journals()) == 2
    place.proxy.repair()
    third = place.recorder()
    third.open_sweep(place.sweep)
    sweeps = [run for run in place.runs() if "sweep.trial" not in run.data.tags]
    trials = [run for run in place.runs() if "sweep.trial" in run.data.tags]
    assert sorted(run.info.status for run in sweeps) == ["FINISHED", "FINISHED", "RUNNING"]
    assert [run.info.status for run in trials] == ["FINISHED", "FINISHED"]
    assert len({run.data.tags["mlflow.parentRunId"] for run in trials}) == 2
    assert not place.journals()


def test_a_run_whose_creation_was_not_answered_is_not_made_twice(
    place: Place, complete: TrialResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    # however long a busy machine takes for an attempt, the first that fails is repeated at once
    monkeypatch.setattr(recorder_process, "_AT_ONCE_SECONDS", 1000.0)
    what, times = (CREATE["server"], 1) if place.kind == "server" else (b"COMMIT", 3)
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    place.proxy.break_(cut=once(what, times))
    child = tracker.open_trial(parent, complete.spec)
    tracker.close_trial(child, complete, [file_of(place)])
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    is_whole(place, complete, 1)
    assert bool(place.about("the study goes on")) is (times > 1), "one lost answer is not mentioned"


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_the_sweeps_run_whose_creation_was_not_answered_is_not_made_twice(place: Place, complete: TrialResult) -> None:
    tracker = place.recorder()
    place.proxy.break_(cut=once(CREATE["server"] if place.kind == "server" else b"COMMIT", 3))
    parent = tracker.open_sweep(place.sweep)
    tracker.close_trial(tracker.open_trial(parent, complete.spec), complete, [file_of(place)])
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    is_whole(place, complete, 1)


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_away_between_a_run_and_its_params(place: Place, complete: TrialResult) -> None:
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    place.proxy.break_(lose=once(PARAMS[place.kind], 2))
    child = tracker.open_trial(parent, complete.spec)
    tracker.close_trial(child, complete, [file_of(place)])
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    is_whole(place, complete, 1)


def test_away_in_the_middle(place: Place, complete: TrialResult) -> None:
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    begun = tracker.open_trial(parent, complete.spec)
    with place.proxy.faulty(away=True):
        tracker.close_trial(begun, complete, [file_of(place)])
        late = tracker.open_trial(parent, complete.spec)
        assert is_provisional(late)
        assert place.about("the study goes on"), "it waited no longer than until the store was known to be away"
        tracker.close_trial(late, complete, [file_of(place)])
        assert len(place.journals()) == 1
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    assert len(place.about("the study goes on")) == 1
    is_whole(place, complete, 2)


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_slow_store_holds_nothing_up(place: Place, complete: TrialResult, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    goes_on = threading.Event()
    place.proxy.break_(hold=lambda sent: goes_on.wait(PATIENCE_SECONDS))
    monkeypatch.setattr(recorder, "_OPEN_SECONDS", 1.0)
    opened = [tracker.open_trial(parent, complete.spec)]
    # who waited again would do so for this long
    monkeypatch.setattr(recorder, "_OPEN_SECONDS", PATIENCE_SECONDS)
    began = time.monotonic()
    opened += [tracker.open_trial(parent, complete.spec) for _ in range(2)]
    for run in opened:
        tracker.close_trial(run, complete, [file_of(place)])
    assert time.monotonic() - began < PATIENCE_SECONDS
    goes_on.set()
    place.proxy.repair()
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    assert not place.about("the study goes on")
    is_whole(place, complete, 3)


@pytest.mark.parametrize("place", ["server"], indirect=True)
@pytest.mark.parametrize("status", [507])
def test_a_server_that_is_full_or_broken(place: Place, complete: TrialResult, status: int) -> None:
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    begun = tracker.open_trial(parent, complete.spec)
    with place.proxy.faulty(answer=status):
        tracker.close_trial(begun, complete, [file_of(place)])
        late = tracker.open_trial(parent, complete.spec)
        assert is_provisional(late)
        is_said(place, tracker)
    tracker.close_trial(late, complete, [file_of(place)])
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    assert len(place.about("the study goes on")) == 1
    is_whole(place, complete, 2)


@pytest.mark.parametrize("place", ["server"], indirect=True)
@pytest.mark.parametrize("status", [500])
def test_a_server_that_is_broken_at_the_start(place: Place, complete: TrialResult, status: int) -> None:
    place.proxy.break_(answer=status)
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    tracker.close_trial(tracker.open_trial(parent, complete.spec), complete, [file_of(place)])
    place.proxy.repair()
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    is_whole(place, complete, 1)


@pytest.mark.parametrize("place", ["server"], indirect=True)
@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_refuses_at_the_start_is_an_error(place: Place, status: int) -> None:
    place.proxy.break_(answer=status)
    tracker = place.recorder()
    with pytest.raises(EnvironmentLacks, match=str(status)):
        tracker.open_sweep(place.sweep)


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_file_that_the_web_server_finds_too_large_is_left_out(place: Place, complete: TrialResult) -> None:
    """By default nginx allows one megabyte. The record must not wait for ever, and hold up all that follow."""
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    place.proxy.break_(answer=413, answer_to=lambda sent: b"PUT " in sent)
    tracker.close_trial(tracker.open_trial(parent, complete.spec), complete, [file_of(place)])
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    _, run = place.runs()
    assert (run.info.status, run.data.tags["sweep.left_out"]) == ("FINISHED", "result.json")
    assert not place.journals()


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_table_that_was_left_out_is_not_announced(place: Place) -> None:
    table = place.folder / "changed_answers.json"
    table.write_text('{"columns": ["prompt"], "data": [["a"]]}')
    tracker = place.recorder()
    for refused in (True, False):
        parent = tracker.open_sweep(place.sweep)
        place.proxy.break_(answer=413, answer_to=lambda sent: refused and b"PUT " in sent)  # noqa: B023
        assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [table])
        place.proxy.repair()
        tags = place.client().get_run(parent).data.tags
        assert tags.get("sweep.left_out") == ("changed_answers.json" if refused else None)
        assert ("mlflow.loggedArtifacts" in tags) is not refused


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_the_load_is_sampled_again_after_a_request_that_failed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    tracker = MlflowTracker(place.uri, None)
    parent = tracker.open_sweep(replace(place.sweep, system_metrics=True))

    def samples() -> int:
        return len(place.client().get_metric_history(parent, "system/cpu_utilization_percentage"))

    def has_more_than(count: int) -> bool:
        return waited(lambda: samples() > count, PATIENCE_SECONDS)

    assert has_more_than(0)
    failures: list[bytes] = []

    def fails(sent: bytes) -> bool:
        if b"runs/get" in sent:
            failures.append(sent)
        return True

    place.proxy.break_(answer=500, answer_to=fails)
    assert waited(lambda: len(failures) >= 1, PATIENCE_SECONDS)
    place.proxy.repair()
    assert has_more_than(samples())
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_silent_server(place: Place, complete: TrialResult, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    with monkeypatch.context() as short:
        short.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        place.proxy.break_(silent=True)
        child = tracker.open_trial(parent, complete.spec)
        assert is_provisional(child)
        tracker.close_trial(child, complete, [file_of(place)])
        is_said(place, tracker)
    place.proxy.repair()
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    is_whole(place, complete, 1)


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_a_request_that_arrives_after_it_was_repeated_leaves_no_second_run(
    place: Place, complete: TrialResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    first, repeated = once(CREATE["server"]), threading.Event()

    def until_repeated(sent: bytes) -> bool:
        return first(sent) and repeated.wait(PATIENCE_SECONDS)

    def creations() -> int:
        return sum(CREATE["server"] in sent for sent in place.proxy.sent)

    before = creations()
    place.proxy.break_(hold=until_repeated)
    with monkeypatch.context() as short:
        short.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
        child = tracker.open_trial(parent, complete.spec)
        tracker.close_trial(child, complete, [file_of(place)])
        assert waited(lambda: creations() >= before + 2, PATIENCE_SECONDS), "the request is repeated"
    assert waited(lambda: len(place.runs()) == 2, PATIENCE_SECONDS)
    repeated.set()
    assert waited(lambda: len(place.runs()) == 3, PATIENCE_SECONDS), "the first request arrives as well"
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    is_whole(place, complete, 1)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_full_disk_of_the_database(place: Place, complete: TrialResult) -> None:
    """The database's own code of error for a full disk, on every write to a trial's tables."""
    import psycopg

    tracker = place.recorder()
    parent = tracker.open_sweep(place.sweep)
    address = place.address.format(port=place.server_port).replace("+psycopg", "")
    tables = ("runs", "params", "tags", "metrics", "latest_metrics")
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        for table in tables:
            database.execute(
                f"CREATE TRIGGER f BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION full_disk()"  # type: ignore[arg-type]
            )
        try:
            child = tracker.open_trial(parent, complete.spec)
            assert is_provisional(child)
            tracker.close_trial(child, complete, [file_of(place)])
        finally:
            for table in tables:
                database.execute(f"DROP TRIGGER f ON {table}")  # type: ignore[arg-type]
    assert tracker.close_sweep(parent, Status.COMPLETE, VERDICT, [])
    assert place.about("the study goes on")
    is_whole(place, complete, 1)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_wrong_password_is_an_error_at_once(place: Place) -> None:
    wrong = replace(place, address=place.address.replace(PASSWORD, "another"))
    with pytest.raises(EnvironmentLacks, match="authentication failed") as raised:
        wrong.recorder()
    assert "another" not in str(raised.value)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_database_server_that_is_silent_holds_the_process_for_a_while_only(place: Place) -> None:
    """In a process of its own, as the recorder is: the watch is for all connections of a process."""
    code = (
        "import sys\n"
        "from sweep.errors import EnvironmentLacks\n"
        "from sweep.store import silence\n"
        "from sweep.tracking import SweepRun\n"
        "from sweep.tracking.recorder_process import RecorderSettings, local_tracker\n"
        "tracker = local_tracker(RecorderSettings(sys.argv[1], None, 'here:1'))\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "silence._SILENT_SECONDS = 1.0\n"
        "try:\n"
        "    tracker.open_sweep(SweepRun('made', ''))\n"
        "except EnvironmentLacks as error:\n"
        "    print(error)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, place.uri],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        place.proxy.break_(silent=True)
        printed, _ = process.communicate("\n", timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert "tracking.uri: cannot record in postgresql" in printed
    assert PASSWORD not in printed
