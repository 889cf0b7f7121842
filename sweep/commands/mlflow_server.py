"""MLflow's own server as a child process, and what its pages have of the studies."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.tracking import names, views
from sweep.tracking.address import Address
from sweep.tracking.port import CHAMPION, VERDICT

_START_SECONDS = 180.0
"""MLflow takes ten seconds to start, longer on a busy machine or with a database to migrate."""
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_PORTS_TRIED = 50
_NOT_THERE = (400, 404)
"""Answers of a server that has no such model or alias."""


class MlflowServer:
    """`mlflow ui` on a store, for the length of a block.

    Args:
        address: the store; it is given to the child in its environment, where other users do not see it.

    Raises:
        EnvironmentLacks: it does not start; the message has the end of its output.

    Attributes:
        url: of its pages.
    """

    def __init__(self, address: Address, host: str, port: int) -> None:
        self.url = f"http://{host}:{port}"
        self._address = address
        self._output: IO[bytes] = TemporaryFile()  # noqa: SIM115 (closed when the server is stopped)
        environment = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": address.uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONWARNINGS": "ignore",
        }
        words = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1"]
        # a session of its own: the server's workers end with it
        self._process = subprocess.Popen(  # noqa: S603
            words,
            stdout=self._output,
            stderr=self._output,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> MlflowServer:
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def wait(self) -> None:
        """Returns when the server has ended by itself.

        Raises:
            EnvironmentLacks: always then, with the end of its output.
        """
        self._process.wait()
        raise self._ended()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._ended()
            with suppress(OSError), urlopen(f"{self.url}/health", timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise EnvironmentLacks(
            f"MLflow does not answer at {self.url} after {_START_SECONDS:g} s:\n{self._last_words()}"
        )

    def _ended(self) -> EnvironmentLacks:
        return EnvironmentLacks(
            f"MLflow's server has ended (exit code {self._process.returncode}):\n{self._last_words()}"
        )

    def _last_words(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").splitlines()
        return self._address.without_secrets("\n".join(f"  {line}" for line in lines[-10:]))

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self._output.close()


def free_port(host: str, first: int, asked: int | None) -> int:
    """The port that was asked for, or the first free one from `first` on.

    Raises:
        ConfigurationError: the port is taken, or this machine has no such address.
    """
    for port in [asked] if asked is not None else range(first, first + _PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except socket.gaierror as error:
                raise ConfigurationError(f"host={host}: this machine has no such address ({error.strerror})") from error
            except OSError as error:
                if asked is not None:
                    raise ConfigurationError(
                        f"port={asked}: cannot be used on {host} ({error.strerror}); choose another"
                    ) from error
                continue
            return port
    raise ConfigurationError(
        f"no port from {first} to {first + _PORTS_TRIED - 1} is free on {host}; choose one: port=..."
    )


def links(
    url: str, shown: str, study: str | None, in_use: Callable[[str], str | None] = lambda study: None
) -> Iterator[str]:
    """What the server has of each study, or of one: lines of a name and an address.

    Args:
        url: of the server, with the account if it has one.
        shown: the same without it.
        in_use: returns the path of the adapter of a study that is in use; None if that is the one of its verdict.

    Raises:
        ConfigurationError: the store does not have the study.
        EnvironmentLacks: the server does not answer.
    """
    server = _Server(url, shown)
    found = server.experiments()
    if study is not None:
        found = {name: number for name, number in found.items() if name == study}
        if not found:
            raise ConfigurationError(f"study={study}: {shown} has no experiment of this name")
    for name, experiment in sorted(found.items()):
        pages = {
            "experiment": f"#/experiments/{experiment}/runs?{views.PAGES}",
            "ladder, as a table": views.page(experiment, views.LADDER),
            "ladder, as charts": views.page(experiment, views.CHARTS),
        }
        model = f"{name}-goldilocks"
        champion, chosen = (server.version(model, alias) for alias in (CHAMPION, VERDICT))
        if champion is not None:
            pages[f"champion, version {champion}"] = f"#/models/{quote(model)}/versions/{champion}"
        if chosen not in (None, champion):
            pages[f"verdict, version {chosen} (not in use)"] = f"#/models/{quote(model)}/versions/{chosen}"
        yield f"{name}:"
        width = max(map(len, pages))
        yield from (f"  {label:{width}}  {shown.rstrip('/')}/{page}" for label, page in pages.items())
        if (place := in_use(name)) is not None:
            yield f"  {'adapter in use':{width}}  {place}"


class _Server:
    """The REST API of a tracking server."""

    def __init__(self, url: str, shown: str) -> None:
        parts = urlsplit(url)
        self._api = f"{shown.rstrip('/')}/api/2.0/mlflow"
        self._shown = shown
        account = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._headers = (
            {"Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"} if parts.username else {}
        )

    def experiments(self) -> dict[str, str]:
        """The ids of the experiments that sweeps have described, by name."""
        known: dict[str, str] = {}
        token = ""
        while True:
            page = self._ask("experiments/search", {"max_results": 1000, **({"page_token": token} if token else {})})
            for each in page.get("experiments", []):
                tags = {tag["key"] for tag in each.get("tags", [])}
                if f"{views.TAG}{views.LADDER}" in tags or names.NOTE in tags:
                    known[str(each["name"])] = str(each["experiment_id"])
            token = page.get("next_page_token", "")
            if not token:
                return known

    def version(self, model: str, alias: str) -> str | None:
        """The version of the registered model that has the alias."""
        found = self._ask(f"registered-models/alias?name={quote(model)}&alias={alias}", or_nothing=True)
        return str(found["model_version"]["version"]) if found else None

    def _ask(self, path: str, query: Mapping[str, Any] | None = None, *, or_nothing: bool = False) -> dict[str, Any]:
        body = json.dumps(query).encode() if query is not None else None
        request = Request(f"{self._api}/{path}", body, {"Content-Type": "application/json", **self._headers})  # noqa: S310
        try:
            with urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as error:
            if or_nothing and error.code in _NOT_THERE:
                return {}
            hint = "refuses this account" if error.code in (401, 403) else "does not answer as a server of MLflow"
            raise EnvironmentLacks(f"{self._shown} {hint} ({error})") from error
        except (URLError, OSError, ValueError) as error:
            raise EnvironmentLacks(f"{self._shown} does not answer as a server of MLflow: {error}") from error
