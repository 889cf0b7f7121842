"""The functions behind `sweep.run`, `sweep.open_study` and `sweep.train`: the commands without a command line.

They raise the errors of `sweep.errors` instead of ending the process, and leave the process as it was: Hydra, standard
output, signal handlers, warnings and environment variables belong to the caller.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec

from hydra.core.global_hydra import GlobalHydra

from sweep.commands.app import composed_plan
from sweep.commands.data import load_data
from sweep.commands.study import write_reports
from sweep.commands.study_object import Study, Trial
from sweep.console.command_line import called_as, command_line
from sweep.console.masking import mask_output, without_secrets
from sweep.console.system_errors import explained
from sweep.errors import ConfigurationError, GoldilocksError, Problems
from sweep.records import StudyPlan
from sweep.reports.closing import WIDTH, PlainConsole
from sweep.reports.progress import LiveDisplay
from sweep.search.options import option_problems
from sweep.search.reading import study_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.display import Display, Silent
from sweep.study.run import run_study
from sweep.study.single import train_single
from sweep.study.stopping import StopRequest
from sweep.training.splits import problems_of
from tasks import Splits


def run(study: str | None = None, overrides: Sequence[str] = (), *, progress: bool = True) -> Study:
    """Runs a study, or goes on where an earlier run stopped, as `python -m sweep` does.

    Args:
        study: the name of a file in `conf/study`, the package's or your own; None to start from the defaults.
        overrides: `key=value` strings, as on the command line.
        progress: whether to print progress.

    Raises:
        sweep.errors.ConfigurationError: with all wrong keys and values.
        sweep.errors.DataError: the data set cannot be used.
        sweep.errors.EnvironmentLacks: this machine lacks something, such as memory or a package.
        sweep.errors.StudyBusy: another process is running this study.
        sweep.errors.NoTrialSucceeded: no trial is complete, or too many failed in a row.
        sweep.errors.Interrupted: Ctrl-C, or the kernel was interrupted. Finished trials are kept; calling `run` again resumes.
    """
    words = [*([] if study is None else [f"+study={study}"]), *_strings(overrides)]
    with _as_command("sweep.__main__", words):
        plan, splits, paths = _prepared(words, searches=True)
        write = partial(write_reports, paths=paths, tracking_uri=plan.tracking_uri)
        with _listening() as stop, _display(progress) as display:
            for warning in (*splits.notes, *splits.warnings):
                display.note(warning)
            outcome = run_study(plan, splits, paths, display, stop, write)
        return Study(outcome.record, paths)


def open_study(name: str, *, storage: str | None = None) -> Study:
    """Opens a study from its records under `./mlruns`, without training or loading a model.

    Args:
        name: the study's name, as in `study.name`.
        storage: the database that `storage.url` named, or None for `mlruns/optuna.db`.

    Raises:
        sweep.errors.ConfigurationError: there is no such study.
        sweep.errors.EnvironmentLacks: the database cannot be opened.
    """
    with _as_command("sweep.report", [f"study={name}", *([f"storage={storage}"] if storage else [])]):
        paths = Paths.here()
        with existing_storage(storage, paths) as opened:
            return Study(study_of(opened, name), paths)


def train(overrides: Sequence[str] = (), *, progress: bool = True) -> Trial:
    """Trains one adapter and evaluates it on tune, as `python -m sweep.train` does. Known trials are not trained again.

    Args:
        overrides: `key=value` strings, as on the command line, for example `["task=pharma", "lora.r=8"]`.
        progress: whether to print progress.

    Raises:
        sweep.errors.GoldilocksError: as `run`; `NoTrialSucceeded` if the trial is not complete.
    """
    words = _strings(overrides)
    with _as_command("sweep.train", words):
        plan, splits, paths = _prepared(words, searches=False)
        with _listening() as stop, _display(progress) as display:
            for warning in (*splits.notes, *splits.warnings):
                display.note(warning)
            display.planned(1, 0)
            record = train_single(plan, paths, display, stop)
        return Trial(record, TrialStore(paths).adapter_folder(record.spec))


def _strings(overrides: Sequence[str]) -> list[str]:
    if isinstance(overrides, str):
        raise ConfigurationError(f"overrides: write a list of strings: [{overrides!r}]")
    return [str(word) for word in overrides]


def _prepared(words: Sequence[str], *, searches: bool) -> tuple[StudyPlan, Splits, Paths]:
    before = GlobalHydra.instance().hydra
    try:
        plan = composed_plan(words, problems_of, option_problems, searches=searches)
    finally:
        GlobalHydra.instance().hydra = before
    if plan.dry_run:
        raise ConfigurationError(f"dry_run=true: run `{command_line()}` in a terminal to print the plan")
    paths = Paths.here()
    return *load_data(plan, paths), paths


def _listening() -> AbstractContextManager[StopRequest]:
    """Only the main thread may install signal handlers."""
    stop = StopRequest()
    return stop.listening() if threading.current_thread() is threading.main_thread() else nullcontext(stop)


@contextmanager
def _display(progress: bool) -> Iterator[Display]:
    """Bars in a terminal, plain lines in a notebook, whose output would keep every redrawing of a bar."""
    if not progress:
        yield Silent()
        return
    out = PlainConsole()
    if out.is_jupyter or not out.is_terminal:
        out = PlainConsole(force_jupyter=False, force_terminal=False, width=WIDTH)
    with LiveDisplay(out) as display:
        yield display


@contextmanager
def _as_command(module: str, words: Sequence[str]) -> Iterator[None]:
    """The block runs as if `python -m module words` had been typed, and the process is afterwards as it was before.

    So the recorded command can be pasted into a terminal, and child processes, which import the main module again, do
    not run the caller's script. Errors are raised without the frames in here: the message says what to do.
    """
    failed: GoldilocksError | None = None
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(called_as(("python", "-m", module.removesuffix(".__main__")), words))
        stack.callback(_restore_environment, dict(os.environ))
        for owner, name in ((sys, "argv"), (sys, "stdout"), (sys, "stderr"), (sys.modules["__main__"], "__spec__")):
            stack.callback(setattr, owner, name, getattr(owner, name, None))
        spec = find_spec(module)
        assert spec is not None
        sys.argv, sys.modules["__main__"].__spec__ = [str(spec.origin), *words], spec
        mask_output()
        try:
            yield
        except GoldilocksError as error:
            failed = _masked(error)
        except OSError as error:
            lack = explained(error)
            if lack is None:
                raise
            failed = _masked(lack)
    if failed is not None:
        raise failed from None


def _restore_environment(before: dict[str, str]) -> None:
    """Takes back what was set for this run, such as the number of threads; child processes have their own."""
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def _masked(error: GoldilocksError) -> GoldilocksError:
    """The error without passwords; a new object, which does not carry the traceback of the old one."""
    if isinstance(error, Problems):
        return type(error)([without_secrets(problem) for problem in error.problems])
    return type(error)(without_secrets(str(error)))
