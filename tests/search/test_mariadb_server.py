"""A study whose database is on a real MariaDB server: as with PostgreSQL (`test_database_server.py`), in short."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.errors import EnvironmentLacks
from sweep.search import patience
from sweep.search.storage import open_storage, opened_storage
from sweep.store import server_errors
from sweep.store.paths import Paths
from tests.search.test_database_server import ENDED, Commits, Said, impatient, is_whole, quick, undisturbed
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import PASSWORD
from tests.servers.proxy import Proxy
from tests.study.driven import planned, run

__all__ = ["impatient", "quick", "undisturbed"]  # the fixtures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Mariadb]:
    server = Mariadb()
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Place:
    """A database of its own behind a proxy, and the folder of a study."""

    def __init__(self, server: Mariadb, folder: Path) -> None:
        self.server, self.paths = server, Paths(folder / "mlruns")
        self.database = f"d{time.monotonic_ns()}"
        server.create(self.database)
        self.proxy = Proxy(server.port)

    @property
    def url(self) -> str:
        # without encryption, so that the proxy can read commits
        return f"{self.server.address(self.database, port=self.proxy.port)}?ssl_disabled=true"

    def run(self, said: Said) -> Any:
        return run(self.paths, planned(f'storage.url="{self.url}"'), said)

    def rows(self, query: str) -> list[Any]:
        return self.server.execute(self.database, query)


@pytest.fixture
def place(mariadb: Mariadb, tmp_path: Path) -> Iterator[Place]:
    made = Place(mariadb, tmp_path)
    yield made
    made.proxy.close()


@pytest.mark.usefixtures("quick")
def test_away_in_the_middle(place: Place, undisturbed: Mapping[str, Any]) -> None:
    said = Said(ENDED, lambda: place.proxy.break_(away=True), while_it_waits=place.proxy.repair)
    is_whole(place, place.run(said), said, undisturbed)  # type: ignore[arg-type]
    (waits,) = said.about("waits for up to 10 min")
    assert "refused" in waits
    assert said.about("is back")
    assert PASSWORD not in "".join(said.lines)


@pytest.mark.usefixtures("quick")
def test_no_answer_to_a_commit_that_was_made_writes_nothing_twice(place: Place, undisturbed: Mapping[str, Any]) -> None:
    commits = Commits()
    place.proxy.break_(cut=lambda sent: commits.hit < 6 and commits.chosen(sent))
    said = Said()
    is_whole(place, place.run(said), said, undisturbed)  # type: ignore[arg-type]
    assert commits.hit == 6


def test_a_server_that_is_silent_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_errors, "_ANSWER_SECONDS", 1)
    with opened_storage(place.url, place.paths) as storage:
        assert storage.get_all_studies() == []
        # only from here on: a busy server may take a second for an answer
        monkeypatch.setattr(storage.patience, "_seconds", 0.0)  # type: ignore[attr-defined]
        place.proxy.break_(silent=True)
        began = time.monotonic()
        with pytest.raises(EnvironmentLacks, match="was away"):
            storage.get_all_studies()
        assert time.monotonic() - began < 60, "as long as it would wait without the limit of this test"


def test_attributes_may_be_long(place: Place) -> None:
    """MySQL's type TEXT, which Optuna chooses, ends at 64 KB; the outcomes of a few thousand examples take more."""
    long = "0123456789" * 20_000
    with opened_storage(place.url, place.paths) as storage:
        study = optuna.create_study(storage=storage, study_name="long")
        study.set_user_attr("long", long)
        trial = study.ask()
        trial.set_user_attr("long", long)
    with opened_storage(place.url, place.paths) as storage:
        study = optuna.load_study(storage=storage, study_name="long")
        assert study.user_attrs["long"] == study.trials[0].user_attrs["long"] == long


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_mistake_is_reported_at_once(wrong: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_RETRY_SECONDS", 100.0)
    url = place.url.replace(PASSWORD, "another") if wrong == "password" else place.url.replace("?", "x?")
    with pytest.raises(EnvironmentLacks, match="Access denied" if wrong == "password" else "Unknown database"):
        open_storage(url, place.paths)
