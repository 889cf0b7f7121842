"""Unusual places and environments; the study must not notice."""

from __future__ import annotations

import shutil
import signal

from benchmarks.faults.call import Manner
from benchmarks.faults.case import Case
from benchmarks.faults.kind import KILLED, STOPPED, kind
from benchmarks.faults.study import DATA

_NAMES = (
    "with spaces",
    "größe 青 é",
    "a%41b",
    "100%",
    "it's",
    'say "hi"',
    "a=b,c",
    "[x]{y}",
    "$HOME",
    "#1?x",
    "semi;colon&more",
    "-dash",
    "back\\slash",
    "~tilde",
    "very-long-" + "x" * 200,
)


@kind("odd-path", folders=_NAMES)
def odd_path(case: Case) -> None:
    """Spaces, quotes, percent signs, Unicode in the path."""
    call = case.under_way(KILLED)
    if case.one_of("killed", "undisturbed") == "killed":
        call.send(signal.SIGKILL)


@kind("symlinked-mlruns")
def symlinked_mlruns(case: Case) -> None:
    """mlruns is a symbolic link to a folder elsewhere."""
    elsewhere = case.folder.parent / "elsewhere" / "runs"
    elsewhere.parent.mkdir()
    case.root.rename(elsewhere)
    case.root.symlink_to(elsewhere, target_is_directory=True)
    case.under_way(STOPPED).send(signal.SIGTERM)


@kind("other-folder")
def other_folder(case: Case) -> None:
    """Stopped, then gone on from another working directory whose mlruns is a link, with an absolute path to the data."""
    case.under_way(STOPPED).send(signal.SIGTERM)
    case.end_calls()
    other = case.folder.parent / "other"
    other.mkdir()
    (other / "mlruns").symlink_to(case.root, target_is_directory=True)
    case.words = [word.replace(f"task.path={DATA}", f"task.path={case.folder / DATA}") for word in case.words]
    case.move_to(other)


@kind("moved-folder")
def moved_folder(case: Case) -> None:
    """Stopped, then the folder is moved, and it goes on there."""
    case.under_way(STOPPED).send(signal.SIGTERM)
    case.end_calls()
    before, after = case.folder, case.folder.parent / "moved"
    before.rename(after)
    case.move_to(after)
    case.call().end()
    # MLflow's experiments keep the absolute path of their artifacts: docs/reliability.md promises nothing else
    shutil.rmtree(before, ignore_errors=True)


@kind("plain-locale")
def plain_locale(case: Case) -> None:
    """LANG=C without UTF-8."""
    plain = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None}
    case.call(manner=Manner(environment=plain))


@kind("no-home")
def no_home(case: Case) -> None:
    """HOME cannot be written to, does not exist, or is not set."""
    home = case.one_of("/proc", "/nonexistent", None)
    unset = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "MPLCONFIGDIR"))
    case.call(manner=Manner(environment={**unset, "HOME": home}))
