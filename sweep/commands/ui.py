"""`ui`: MLflow's pages on the right store, with links to what a study has there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from sweep.console.command import key_values, run
from sweep.console.command_line import program
from sweep.errors import ConfigurationError

USAGE = "[study=NAME] [storage=URL] [tracking=URI] [host=127.0.0.1] [port=5000]"
ABOUT = """Starts MLflow's pages (`mlflow ui`) on the store of the studies here, mlruns/mlflow.db, and prints links: each study's
experiment, its ladder as a table and as charts, its champion. study=NAME uses the store that this study was recorded in;
tracking=URI any other. storage=URL names the study's database, as storage.url. Of a tracking server that is running
already, it prints the links and ends. Stop it with Ctrl-C."""
_KEYS = ("study", "storage", "tracking", "host", "port")
_HOST, _PORT = "127.0.0.1", 5000


def ui(words: Sequence[str]) -> int:
    """Starts the pages and waits until it is stopped; returns the exit code.

    Raises:
        ConfigurationError: with all problems of the words, or if the study or the store does not exist.
        EnvironmentLacks: MLflow's server does not start, or a tracking server does not answer.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('ui')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = _single(key_values(words, _KEYS))
    port = _port(keys.get("port"))

    from sweep.commands.mlflow_server import MlflowServer, free_port, links
    from sweep.tracking.address import SERVERS, address_of

    in_use = _unknown if "tracking" in keys else _in_use
    address = address_of(keys.get("tracking") or _store(keys.get("study"), keys.get("storage")))
    if address.kind == "memory":
        raise ConfigurationError("tracking.uri=memory:// records nothing, so there is nothing to show")
    if address.kind in SERVERS:
        _print(links(address.uri, address.shown, keys.get("study"), in_use))
        return 0
    if address.database is not None and not address.database.exists():
        raise ConfigurationError(
            f"there is no store of MLflow at {address.database}; go to the folder where the sweep was run, or name the store: "
            "tracking=sqlite:///PATH"
        )
    host = keys.get("host", _HOST)
    with _ended_by_signals(), MlflowServer(address, host, free_port(host, _PORT, port)) as server:
        print(f"MLflow is at {server.url} (store: {address.shown}); Ctrl-C stops it", flush=True)
        _print(links(server.url, server.url, keys.get("study"), in_use))
        server.wait()
    return 0


def _single(keys: dict[str, list[str]]) -> dict[str, str]:
    problems = [f"{key}: write it once" for key, values in keys.items() if len(values) > 1]
    if problems:
        raise ConfigurationError(problems)
    return {key: values[0] for key, values in keys.items()}


def _port(text: str | None) -> int | None:
    """The port that was asked for; None if any will do."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise ConfigurationError(f"port={text}: must be a whole number from 1 to 65535")
    return int(text)


def _store(study: str | None, storage_url: str | None) -> str:
    """The address of the store that a study was recorded in, or that of the studies here.

    Args:
        storage_url: as `storage.url`.
    """
    from sweep.store.paths import Paths

    paths = Paths.here()
    recorded = None
    if study is not None:
        from sweep.reports.steps import recorded_tracking
        from sweep.search.reading import study_of
        from sweep.search.storage import existing_storage

        with existing_storage(storage_url, paths) as storage:
            recorded = recorded_tracking(study_of(storage, study))
        if recorded is not None and "***" in recorded:
            raise ConfigurationError(
                f"study={study} was recorded in {recorded}, whose password is not stored; write the address: tracking=URI"
            )
    return recorded or f"sqlite:///{paths.mlflow_database}"


def _in_use(study: str) -> str | None:
    """The path that leads to the adapter in use, of a study here whose champion has a history."""
    from sweep.errors import GoldilocksError
    from sweep.reports.steps import shown
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths

    with suppress(GoldilocksError):  # the commands that use it say what is wrong
        place = Champions(Paths.here(), study).place
        return shown(place) if place is not None else None
    return None


def _unknown(study: str) -> str | None:
    """Of another store, nothing is known here."""
    return None


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(line, flush=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block like Ctrl-C, so that no server outlives this process."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        print("MLflow's pages are closed")
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def main() -> int:
    """The command; returns its exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return run(lambda: ui(sys.argv[1:]))
