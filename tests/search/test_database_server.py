"""A study whose database is on a real PostgreSQL server that goes away, is slow, is full, or loses its answers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import optuna
import pytest

from sweep.errors import EnvironmentLacks, Interrupted
from sweep.records import StudyRecord
from sweep.search import patience
from sweep.search import storage as module
from sweep.search.storage import existing_storage, open_storage, opened_storage
from sweep.store import silence
from sweep.store.paths import Paths
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.proxy import Proxy
from tests.study.driven import Trained, essence, planned, run

pytestmark = pytest.mark.slow

ENDED = 4
"""Trials of the small study after which the server goes away."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.start()
        server.create("made")
        open_storage(server.address("made"), Paths(tmp_path_factory.mktemp("made"))).close()
        yield server
    finally:
        server.remove()


@dataclass
class Said(Trained):
    """What a study says, and actions: after some trials, and once the study says that it waits for its database."""

    after: int = 0
    action: Callable[[], object] = lambda: None
    while_it_waits: Callable[[], object] = lambda: None
    lines: list[str] = field(default_factory=list)
    ended_trials: int = 0
    times: dict[str, int] = field(default_factory=dict)

    def note(self, text: str) -> None:
        self.lines.append(text)
        if "waits for up to" in text:
            self.while_it_waits()

    def ended(self, number: int, result: Any) -> None:
        self.ended_trials += 1
        if self.ended_trials == self.after:
            self.action()

    def about(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]


@dataclass
class Place:
    """A database of its own behind a proxy, and the folder of a study."""

    server: Postgres
    proxy: Proxy
    database: str
    paths: Paths

    @property
    def url(self) -> str:
        return self.server.address(self.database, port=self.proxy.port)

    def run(self, said: Trained | None = None, *overrides: str) -> StudyRecord:
        return run(self.paths, planned(f"storage.url={self.url}", *overrides), said)

    def rows(self, query: str) -> list[Any]:
        return self.server.execute(self.database, query)


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> Iterator[Place]:
    database = f"d{time.monotonic_ns()}"
    postgres.execute("postgres", f'CREATE DATABASE "{database}" TEMPLATE made')
    proxy = Proxy(postgres.port)
    yield Place(postgres, proxy, database, Paths(tmp_path / "mlruns"))
    proxy.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AWAY_SECONDS", 3.0)
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 0.2)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 0.2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """How the study ends in a file of its own."""
    return essence(run(Paths(tmp_path_factory.mktemp("undisturbed") / "mlruns"), planned()))


def is_whole(place: Place, record: StudyRecord, said: Trained, undisturbed: Mapping[str, Any]) -> None:
    """The study ended as the undisturbed one, nothing was trained twice, and nothing is running."""
    assert essence(record) == undisturbed
    assert set(said.times.values()) == {1}
    assert place.rows("SELECT count(*) FROM trials WHERE state IN ('RUNNING')") == [(0,)]
    numbers = place.rows("SELECT number FROM trials ORDER BY trial_id")
    assert numbers == [(number,) for number in range(len(numbers))]


def test_a_server_is_a_database_like_any_other(place: Place, undisturbed: Mapping[str, Any]) -> None:
    said = Said()
    is_whole(place, place.run(said), said, undisturbed)
    assert not said.about("storage.url")
    with existing_storage(place.url, place.paths) as storage:
        assert len(storage.get_all_studies()) == 1


@pytest.mark.usefixtures("quick")
class TestAwayInTheMiddle:
    def test_the_study_waits_and_ends_like_an_undisturbed_one(
        self, place: Place, undisturbed: Mapping[str, Any]
    ) -> None:
        said = Said(ENDED, lambda: place.proxy.break_(away=True), while_it_waits=place.proxy.repair)
        is_whole(place, place.run(said), said, undisturbed)
        (waits,) = said.about("waits for up to 10 min")
        assert f"127.0.0.1:{place.proxy.port}/{place.database}" in waits
        assert "refused" in waits
        assert said.about("is back")
        assert PASSWORD not in "".join(said.lines)

    def test_a_crash_of_the_server(self, place: Place, undisturbed: Mapping[str, Any]) -> None:
        said = Said(ENDED, place.server.stop, while_it_waits=place.server.start)
        is_whole(place, place.run(said), said, undisturbed)
        assert said.about("waits for up to 10 min")

    def test_a_connection_that_was_cut_while_idle_is_not_mentioned(
        self, place: Place, undisturbed: Mapping[str, Any]
    ) -> None:
        def cut() -> None:
            with place.proxy.faulty(away=True):
                pass

        said = Said(ENDED, cut)
        is_whole(place, place.run(said), said, undisturbed)
        assert not said.about("storage.url")

    def test_a_server_that_is_silent(
        self, place: Place, undisturbed: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(silence, "_SILENT_SECONDS", 1.0)

        def fall_silent() -> None:
            place.proxy.break_(silent=True)
            threading.Timer(4.0, place.proxy.repair).start()

        said = Said(ENDED, fall_silent)
        is_whole(place, place.run(said), said, undisturbed)

    def test_a_slow_server(self, place: Place, undisturbed: Mapping[str, Any]) -> None:
        said = Said(ENDED, lambda: place.proxy.break_(delay=0.02))
        is_whole(place, place.run(said), said, undisturbed)
        assert not said.about("storage.url")

    def test_a_full_disk(self, place: Place, undisturbed: Mapping[str, Any]) -> None:
        """The server's own code of error for a full disk, on every write."""
        place.rows(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        tables = ("trials", "study_user_attributes", "trial_user_attributes", "trial_params")

        def fill() -> None:
            place.server.execute(
                place.database,
                *(f"CREATE TRIGGER f BEFORE INSERT OR UPDATE ON {t} EXECUTE FUNCTION full_disk()" for t in tables),
            )

        def free() -> None:
            place.server.execute(place.database, *(f"DROP TRIGGER f ON {table}" for table in tables))

        said = Said(ENDED, fill, while_it_waits=free)
        is_whole(place, place.run(said), said, undisturbed)
        (waits,) = said.about("waits for up to 10 min")
        assert "No space left on device" in waits


class Commits:
    """Chooses every fourth commit, at random: a fixed order could hit the same step of a repeated write each time."""

    def __init__(self) -> None:
        self._draw = random.Random(7)
        self.hit = 0

    def chosen(self, sent: bytes) -> bool:
        is_hit = b"COMMIT" in sent and self._draw.random() < 0.25
        self.hit += is_hit
        return is_hit


@pytest.mark.usefixtures("quick")
def test_no_answer_to_a_commit_that_was_made_writes_nothing_twice(place: Place, undisturbed: Mapping[str, Any]) -> None:
    """The worst moment: a commit reaches the server, and its answer is lost."""
    commits = Commits()
    place.proxy.break_(cut=commits.chosen)
    said = Said()
    is_whole(place, place.run(said), said, undisturbed)
    assert commits.hit > 10


@pytest.mark.usefixtures("quick")
def test_a_commit_that_does_not_reach_the_server_is_made_later(place: Place, undisturbed: Mapping[str, Any]) -> None:
    commits = Commits()
    place.proxy.break_(lose=commits.chosen)
    said = Said()
    is_whole(place, place.run(said), said, undisturbed)
    assert commits.hit > 10


@pytest.mark.usefixtures("impatient")
class TestStaysAway:
    def test_in_the_middle_the_study_ends_with_words_and_goes_on_later(
        self, place: Place, undisturbed: Mapping[str, Any]
    ) -> None:
        said = Said(ENDED, lambda: place.proxy.break_(away=True))
        with pytest.raises(EnvironmentLacks) as raised:
            place.run(said)
        assert len(said.about("waits for up to 3 s")) == 1, "only one thing waits, and nothing after it"
        (words,) = raised.value.problems
        assert "was away for 3 s" in words
        assert f"kept in {place.paths.root}/trials" in words
        assert "the same command continues from there" in words
        assert PASSWORD not in words
        place.proxy.repair()
        again = Said()
        record = place.run(again)
        again.times = {key: said.times.get(key, 0) + again.times.get(key, 0) for key in {*said.times, *again.times}}
        is_whole(place, record, again, undisturbed)

    def test_at_the_start_nothing_is_trained(self, place: Place) -> None:
        place.proxy.break_(away=True)
        said = Said()
        with pytest.raises(EnvironmentLacks, match="was away for 3 s"):
            place.run(said)
        assert not said.times
        assert len(said.about("waits for up to 3 s")) == 1

    def test_ctrl_c_ends_the_wait(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_AWAY_SECONDS", 600.0)
        place.proxy.break_(away=True)

        monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=time.monotonic, sleep=no_wait))

        def check() -> None:
            raise Interrupted("stopped")

        with pytest.raises(Interrupted), opened_storage(place.url, place.paths, check=check):
            pass


def no_wait(seconds: float) -> None:
    raise AssertionError(f"it waits for {seconds} s")


def test_heartbeats_wait_for_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=time.monotonic, sleep=no_wait))
    said = Said()
    with opened_storage(place.url, place.paths, say=said.note) as storage:
        study = optuna.create_study(storage=storage, study_name="s")
        trial = study.ask()
        number = storage.get_trial_id_from_study_id_trial_number(1, trial.number)
        with place.proxy.faulty(away=True):
            for _ in range(3):
                storage.record_heartbeat(number)
        storage.record_heartbeat(number)
    assert len(said.lines) == 2
    assert "running trials go on" in said.lines[0]
    assert "is back" in said.lines[1]


@pytest.mark.usefixtures("quick")
def test_a_server_that_is_back_soon_is_waited_for_at_the_start(place: Place, undisturbed: Mapping[str, Any]) -> None:
    place.proxy.break_(away=True)
    said = Said(while_it_waits=place.proxy.repair)
    is_whole(place, place.run(said), said, undisturbed)
    assert said.about("is back")


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_mistake_is_reported_at_once(wrong: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 100.0)
    url = place.url.replace(PASSWORD, "another") if wrong == "password" else f"{place.url}x"
    with pytest.raises(EnvironmentLacks, match="authentication failed" if wrong == "password" else "does not exist"):
        open_storage(url, place.paths)


@pytest.mark.parametrize("way", ["variable", "file"])
def test_the_password_may_be_outside_the_address(
    way: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "variable":
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
    else:
        file = tmp_path / "passwords"
        file.write_text(f"127.0.0.1:*:*:*:{PASSWORD}\n")
        file.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(file))
    url = place.server.address(place.database, port=place.proxy.port, password=None)
    with patch.object(module, "_AWAY_SECONDS", 0.0), opened_storage(url, place.paths) as storage:
        assert storage.get_all_studies() == []
