"""A store that is away is distinguished from one that cannot be used; without MLflow."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.tracking.address import address_of
from sweep.tracking.away import Absence, StoreAway, is_away

SERVER, FILE = address_of("http://ann:Sekret@host"), address_of("sqlite:///x.db")


class Coded(Exception):
    """An error of MLflow."""

    def __init__(self, code: str, text: str = "no") -> None:
        super().__init__(text)
        self.error_code = code


class Answered(OSError):
    """An error of MLflow's HTTP library, which files that are sent raise."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (Coded("INTERNAL_ERROR"), True),
        (Coded("TEMPORARILY_UNAVAILABLE"), True),
        (Coded("RESOURCE_EXHAUSTED"), True),
        (Coded("INTERNAL_ERROR", "Failed to resolve 'nowhere' ([Errno -2] Name or service not known)"), False),
        (Coded("UNAUTHENTICATED"), False),
        (Coded("PERMISSION_DENIED"), False),
        (Coded("ENDPOINT_NOT_FOUND"), False),
        (Answered(507), True),
        (Answered(503), True),
        (Answered(403), False),
        (ConnectionRefusedError(111, "refused"), True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (ImportError("no driver"), False),
        (None, False),
    ],
)
def test_a_server_that_is_away_and_one_that_cannot_be_used(error: Exception | None, away: bool) -> None:
    assert is_away(SERVER, error) is away
    assert not is_away(FILE, error), "a file is never away"


def test_it_is_said_once_and_so_is_the_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    absence = Absence(SERVER.shown, tmp_path / "tracking", tmp_path / "study.log", said.append)
    absence.end()
    absence.begin()
    absence.begin(StoreAway("tracking.uri: refused\nmore"))
    absence.end()
    absence.begin(StoreAway("tracking.uri: refused\nmore"))
    assert said == [
        "MLflow: http://host takes no records (details in study.log); the study goes on, and records are kept in tracking",
        "MLflow: http://host takes records again; the kept ones follow",
        "MLflow: http://host takes no records (refused); the study goes on, and records are kept in tracking",
    ]
