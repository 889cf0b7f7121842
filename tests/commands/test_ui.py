"""`ui`: what it refuses before any server is started."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import chdir
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.mlflow_server import free_port, links
from sweep.commands.ui import ui
from sweep.errors import ConfigurationError, EnvironmentLacks


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["stuff=1"], "there is no key 'stuff'"),
        (["port=0"], "from 1 to 65535"),
        (["port=1e3"], "from 1 to 65535"),
        (["port=1", "port=2"], "write it once"),
        (["tracking=memory://"], "nothing to show"),
        (["tracking=ftp://x"], "not supported"),
        (["tracking=sqlite:///nothing.db"], "there is no store of MLflow"),
        ([], "there is no store of MLflow"),
        (["study=pharma"], "there is no study here"),
    ],
)
def test_mistakes_are_explained(words: list[str], text: str, tmp_path: Path) -> None:
    with chdir(tmp_path), pytest.raises(ConfigurationError, match=text):
        ui(words)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(EnvironmentLacks, match=r"127\.0\.0\.1:9 does not answer") as error:
        ui(["tracking=http://me:hushhush@127.0.0.1:9"])
    assert "hushhush" not in str(error.value)


def test_a_taken_port_is_refused_if_it_was_asked_for_and_passed_over_if_not() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port={port}"):
            free_port("127.0.0.1", 5000, port)
        assert free_port("127.0.0.1", port, None) > port
    with pytest.raises(ConfigurationError, match="cannot be used"):
        free_port("203.0.113.7", 5000, 5000)


@pytest.fixture
def other_server() -> Iterator[str]:
    """A server that is not MLflow's, but answers two of its questions."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            tags = [{"key": "mlflow.sharedViewState.goldilocks-ladder", "value": "{}"}]
            self._answer(
                200, {"experiments": [{"name": "pharma", "experiment_id": "4", "tags": tags}, {"name": "Default"}]}
            )

        def do_GET(self) -> None:
            known = "pharma-goldilocks" in self.path
            version = "3" if "alias=champion" in self.path else "4"
            self._answer(200 if known else 404, {"model_version": {"version": version}})

        def _answer(self, code: int, contents: Any) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(contents).encode())

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_links_lead_to_experiment_ladder_and_champion(other_server: str) -> None:
    text = "\n".join(links(other_server, other_server, None))
    assert text.startswith("pharma:\n")
    assert "Default" not in text
    assert f"{other_server}/#/experiments/4/runs?viewStateShareKey=goldilocks-ladder" in text
    assert f"champion, version 3 {other_server}/#/models/pharma-goldilocks/versions/3" in " ".join(text.split())
    assert "adapter in use" not in text
    lines = list(links(other_server, other_server, "pharma", lambda study: f"here/{study}"))
    assert lines[-1].split() == ["adapter", "in", "use", "here/pharma"]
    assert f"verdict, version 4 (not in use)  {other_server}/#/models/pharma-goldilocks/versions/4" in text
    with pytest.raises(ConfigurationError, match="no experiment of this name"):
        list(links(other_server, other_server, "legal"))
