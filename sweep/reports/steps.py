"""The next steps, as commands to copy; the same in the terminal and on the page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from sweep.config.units import show_seconds
from sweep.console.command_line import pasteable
from sweep.console.masking import mask
from sweep.errors import GoldilocksError
from sweep.records import StudyRecord
from sweep.reports.by_method import certify_command, has_methods
from sweep.reports.ladder_kind import ladder_kind
from sweep.reports.step import Step as Step
from sweep.store.adapters import origin_of
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.experiments import with_values
from sweep.verdict.figures import named
from sweep.verdict.record import active_ranks


def steps(record: StudyRecord, conclusion: Conclusion | None, paths: Paths, tracking_uri: str | None) -> Iterator[Step]:
    """Use the adapter, compare the runs, settle an open verdict or search on; nothing while no trial is complete.

    The commands work when pasted into the shell that started this process.
    """
    if not record.complete() and conclusion is None:
        return
    yield from _using(record, conclusion, paths)
    runs = open_runs(paths, tracking_uri)
    if runs is not None:
        yield Step(runs, "compare the runs")
    if conclusion is None and has_methods(record) and (certifying := certify_command(record)) is not None:
        yield Step(pasteable(certifying.command), certifying.purpose)
    if conclusion is None:
        more = with_values(record.command, {"search.trials": str(2 * record.planned)})
        yield Step(pasteable(more), "search on from here")
    elif conclusion.settle is not None:
        command, seconds = conclusion.settle
        takes = f"about {show_seconds(seconds)}" if seconds > 0 else "nothing is trained"
        added = _added(command, record.command)
        bought = "; ".join(_bought(record, conclusion, added))
        unsure = (
            conclusion.verdict is not None and conclusion.verdict.needed is None and added.keys() == {"certify.seeds"}
        )
        forgets = conclusion.verdict is not None and conclusion.verdict.exhausted
        yield Step(
            pasteable(command),
            f"looks for a recipe that forgets less, in a study of its own ({takes})"
            if forgets
            else f"{'narrows' if unsure else 'settles'} what is open ({takes}{f': {bought}' if bought else ''})",
        )
    if conclusion is not None:
        yield from _confirming(record, conclusion)
        yield from _experiments(conclusion)


def _using(record: StudyRecord, conclusion: Conclusion | None, paths: Paths) -> Iterator[Step]:
    """How to get an answer with the adapter in use; where that is another one, how to take the verdict's into use."""
    adapter = paths.adapter(record.name)
    certified = conclusion is not None and conclusion.rank is not None
    which = "this adapter" if certified else "the best adapter so far, which is not certified"
    is_other = False
    with suppress(GoldilocksError):  # of a history that cannot be read, the commands that use it say what is wrong
        history = Champions(paths, record.name)
        entries, place = history.entries(), history.place
        if entries and place is not None:
            in_use = entries[entries[-1].version - 1]
            is_other = in_use.trial != origin_of(adapter).get("trial")
            adapter, which = place, f"version {in_use.version} of the champion, which is in use"
    predict = f'python -m sweep.predict study={record.name} prompt="..."{_storage(record)}'
    yield Step(pasteable(predict), f"an answer with {which} ({shown(adapter)})")
    if is_other and certified:
        adopt = f"python -m sweep.champion study={record.name} adopt=true{_storage(record)}"
        yield Step(pasteable(adopt), f"takes this adapter into use instead ({shown(paths.adapter(record.name))})")


def _experiments(conclusion: Conclusion) -> Iterator[Step]:
    """What follows from findings, each command once."""
    shown_already = {conclusion.settle[0]} if conclusion.settle is not None else set()
    for finding in conclusion.findings:
        if finding.next is not None and finding.next.command not in shown_already:
            shown_already.add(finding.next.command)
            yield Step(pasteable(finding.next.command), finding.next.purpose)


def _bought(record: StudyRecord, conclusion: Conclusion, added: Mapping[str, str]) -> Iterator[str]:
    """What a command that adds seeds or examples does; nothing where that goes without saying."""
    verdict, training = conclusion.verdict, ladder_kind(record, conclusion).training
    seeds = added.get("certify.seeds", "")
    if verdict is not None and training is not None and seeds.isdecimal() and int(seeds) > training.seeds:
        more = int(seeds) - training.seeds
        ranks = [rank for rank in active_ranks(verdict) if rank != training.rank]
        yield f"{more} more training{'s' if more > 1 else ''} at rank {training.rank}" + (
            f", cut to {named(ranks)}" if ranks else ""
        )
    if "evaluate.certify_examples" in added and (training is not None or len(added) == 1):
        yield "existing adapters are evaluated on more examples"


def _confirming(record: StudyRecord, conclusion: Conclusion) -> Iterator[Step]:
    """The command that also trains the chosen rank, if that rank was cut and has not been confirmed."""
    certification, training = record.certification, ladder_kind(record, conclusion).training
    rank = conclusion.rank
    if certification is None or training is None or rank is None or rank == training.rank or certification.confirmed:
        return
    rates = (yaml.safe_load(record.config).get("certify") or {}).get("rate_trials") or 0
    seconds = (rates + len(certification.complete(rank))) * training.seconds / record.parallel
    command = with_values(record.command, {"certify.confirm": "true"})
    yield Step(
        pasteable(command),
        f"also trains rank {rank} from the start, and says whether both agree (about {show_seconds(seconds)})",
    )


def _added(command: str, before: str) -> Mapping[str, str]:
    """The keys that the command adds or changes, and their values."""
    words = {*shlex.split(command)} - {*shlex.split(before)}
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def open_runs(paths: Paths, tracking_uri: str | None) -> str | None:
    """The command that opens MLflow's pages; None if the runs are only in memory."""
    if (tracking_uri or "").startswith("memory:"):
        return None
    command = "python -m sweep.ui"
    if tracking_uri is None and paths.root == Paths.here().root:
        return pasteable(command)
    store = tracking_uri or f"sqlite:///{shown(paths.mlflow_database)}"
    return pasteable(f"{command} tracking={_quoted(mask(store))}")


def _storage(record: StudyRecord) -> str:
    """How a command names the study's database; nothing for the one under `mlruns`."""
    url = (yaml.safe_load(record.config).get("storage") or {}).get("url")
    return "" if url is None else f" storage={_quoted(mask(str(url)))}"


def _quoted(address: str) -> str:
    """For a shell; `***` in place of a password stays readable, since it must be replaced anyway."""
    return address if "***" in address else shlex.quote(address)


def recorded_tracking(record: StudyRecord) -> str | None:
    """`tracking.uri` of the study's last run, its account masked; None for the database under `mlruns/`.

    Reads only this key, so that records of versions with other keys can be shown as well.
    """
    uri = (yaml.safe_load(record.config).get("tracking") or {}).get("uri")
    return None if uri is None else str(uri)


def shown(path: Path) -> str:
    """The path relative to the current folder if it is inside, else absolute."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
