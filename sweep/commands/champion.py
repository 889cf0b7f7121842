"""`champion`: the adapter of a study that is in use, how it came there, and the way back."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.console.command import key_values, run
from sweep.console.command_line import pasteable, program
from sweep.errors import ConfigurationError

if TYPE_CHECKING:
    from sweep.records import CompletedTrial, StudyRecord
    from sweep.records.champion import ChampionEntry
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths
    from tasks.versions import DataVersion

USAGE = "study=NAME [adopt=true [margin=NATS] | rollback=true | to=VERSION | changes=true] [storage=URL]"
ABOUT = """Shows which adapter of a study is in use and every change that led to it. mlruns/champions/NAME/adapter
always leads to it.

  adopt=true       take the adapter of the study's verdict into use; begins a new count of tests
  margin=NATS      with adopt: how much worse a challenger may be on old examples, in nats per token,
                   for studies whose margin is in points of a metric
  rollback=true    take the version before this one into use again
  to=VERSION       take that version into use again
  changes=true     compare the task's data as it is with that of the version in use

Nothing is deleted: a rollback is one more entry. docs/champion.md says when a challenger is promoted."""
_KEYS = ("study", "adopt", "margin", "rollback", "to", "changes", "storage")
_ACTIONS = ("adopt", "rollback", "to", "changes")


def champion(words: Sequence[str]) -> int:
    """Shows or changes a study's champion; returns the exit code.

    Raises:
        ConfigurationError: with all problems of the words; or there is no study, verdict or version that they ask for.
        DataError: the study's data cannot be read.
        EnvironmentLacks: the history or an adapter is damaged.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('champion')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = _checked(key_values(words, _KEYS))
    study, storage_url = keys["study"], keys.get("storage")

    from sweep.store.champions import Champions
    from sweep.store.paths import Paths

    paths = Paths.here()
    history = Champions(paths, study)
    if "adopt" in keys:
        adopt(study, storage_url, history, paths, float(keys["margin"]) if "margin" in keys else None)
    elif "rollback" in keys or "to" in keys:
        print(_rolled_back(history, study, int(keys["to"]) if "to" in keys else None).reason)
    if history.current() is None:
        raise ConfigurationError(
            f"study={study}: it has no champion yet; once it has a verdict, "
            f"`{pasteable(f'python -m sweep.champion study={study} adopt=true')}` takes its adapter into use"
        )
    if "changes" in keys:
        return _show_changes(study, storage_url, history, paths)

    from sweep.reports.champion_words import print_history
    from sweep.reports.closing import console, shown

    link = history.link()
    assert link is not None
    print_history(history.entries(), shown(link), console())
    return 0


def _checked(given: dict[str, list[str]]) -> dict[str, str]:
    """One value of each key.

    Raises:
        ConfigurationError: with every problem.
    """
    usage = f"{program('champion')} {USAGE}"
    problems = [f"{key}: give it once" for key, values in given.items() if len(values) > 1 and key != "study"]
    if len(given.get("study", [])) != 1:
        problems.append(f"study: name one study ({usage})")
    keys = {key: values[0] for key, values in given.items()}
    problems += [
        f"{key}={keys[key]}: write {key}=true, or leave it out"
        for key in ("adopt", "rollback", "changes")
        if keys.get(key, "true").lower() != "true"
    ]
    if len(several := [key for key in _ACTIONS if key in keys]) > 1:
        problems.append(f"{', '.join(several)}: ask for one of them at a time")
    if "to" in keys and not (keys["to"].isdecimal() and int(keys["to"]) > 0):
        problems.append(f"to={keys['to']}: must be the number of a version, such as to=1")
    if "margin" in keys:
        if "adopt" not in keys:
            problems.append("margin: it is set with adopt=true alone, before any test is made")
        if not _is_positive(keys["margin"]):
            problems.append(f"margin={keys['margin']}: must be a number of nats per token above 0, such as margin=0.05")
    if problems:
        raise ConfigurationError(problems)
    return keys


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _record(study: str, storage_url: str | None, paths: Paths) -> StudyRecord:
    from sweep.search.reading import study_of
    from sweep.search.storage import existing_storage

    with existing_storage(storage_url, paths) as storage:
        return study_of(storage, study)


def _data(record: StudyRecord, paths: Paths) -> DataVersion:
    """The study's data as it is."""
    from sweep.commands.data import load_data
    from sweep.config.load import plan_of_record
    from tasks.versions import DataVersion

    return DataVersion.of(load_data(plan_of_record(record.config), paths)[1])


def adopt(study: str, storage_url: str | None, history: Champions, paths: Paths, margin: float | None) -> None:
    """Takes the adapter of the study's verdict into use, unless it is already.

    Raises:
        ConfigurationError: the study has no verdict, its margin is not in nats, its adapter is not that of the verdict, or its data
            have changed since.
    """
    from sweep.records import to_json
    from sweep.records.champion import ChampionEntry, ChampionEvent
    from sweep.verdict.conclude import conclude
    from sweep.verdict.conclusion import chosen
    from sweep.verdict.verdict_json import verdict_json

    record = _record(study, storage_url, paths)
    conclusion = conclude(record)
    trial = chosen(record, conclusion)
    if conclusion is None or trial is None or record.certification is None:
        raise ConfigurationError(f"study={study}: it has no verdict yet; run `{pasteable(record.command)}`")
    last = history.current()
    version = next((each for each in history.entries() if last is not None and each.number == last.version), None)
    if version is not None and (version.trial, version.data_hash) == (trial.identity, record.data_hash):
        print(f"the adapter of this verdict is in use already: version {version.number}")
        return
    margin = margin if margin is not None else conclusion.margin_in_loss
    if margin is None or margin <= 0:
        raise ConfigurationError(
            f"study={study}: its margin is not known in nats per token; say how much worse a challenger may be, such as margin=0.05"
        )
    data = _data(record, paths)
    if data.data_hash != record.data_hash:
        raise ConfigurationError(
            f"study={study}: its data have changed since the verdict; run `{pasteable(record.command)}` for a verdict on them"
        )
    created = _now()
    history.append(
        ChampionEntry(
            number=last.number + 1 if last else 1,
            event=ChampionEvent.VERDICT,
            created=created,
            version=0,
            tests=0,
            promotions=0,
            reason=f"the study's verdict: {conclusion.status}",
            data_hash=record.data_hash,
            trial=trial.identity,
            rank=trial.rank,
            recipe=to_json(trial.arm),
            margin=margin,
            alpha=record.certification.declared.alpha,
            training=_training(trial, paths),
            verdict=verdict_json(record, conclusion, created),
        ),
        adapter=_handed_out(study, trial.identity, paths),
        rows=data,
    )


def _training(trial: CompletedTrial, paths: Paths) -> dict[str, Any]:
    """The record of the adapter's training; empty if it is gone."""
    from sweep.records import to_json
    from sweep.store.trials import TrialStore

    trained = TrialStore(paths).adapters.find(trial.spec.adapter_id)
    return to_json(trained) if trained is not None else {}


def _handed_out(study: str, trial: str, paths: Paths) -> Path:
    """The adapter folder of the study's report, if it is that of the verdict."""
    from sweep.store.paths import ORIGIN

    folder = paths.adapter(study)
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        origin = {}
    if not isinstance(origin, dict) or origin.get("trial") != trial:
        raise ConfigurationError(
            f"study={study}: {folder} is not the adapter of the verdict; run "
            f"`{pasteable(f'python -m sweep.report study={study}')}`, which copies it again"
        )
    return folder


def _rolled_back(history: Champions, study: str, to: int | None) -> ChampionEntry:
    """Takes an earlier version into use; of none named, the one that was in use before.

    Raises:
        ConfigurationError: there is no such version, or it is in use.
        EnvironmentLacks: its adapter is damaged.
    """
    from sweep.records.champion import ChampionEvent

    entries = history.entries()
    if not entries:
        raise ConfigurationError(f"study={study}: it has no champion yet, so there is nothing to go back to")
    last = entries[-1]
    if to is None:
        to = next((entry.version for entry in reversed(entries) if entry.version != last.version), None)
        if to is None:
            raise ConfigurationError(
                f"study={study}: version {last.version} is the only one, so there is nothing to go back to"
            )
    if to == last.version:
        raise ConfigurationError(f"to={to}: this version is in use already")
    history.adapter(to)  # raises unless it is there and whole
    version = entries[to - 1]
    return history.append(
        replace(
            last,
            number=last.number + 1,
            event=ChampionEvent.ROLLBACK,
            created=_now(),
            version=to,
            # whoever goes back may have seen losses on certify: that is one more answer which later tests depend on
            tests=last.tests + 1,
            promotions=last.promotions + 1,
            reason=f"back from version {last.version} to {to}",
            data_hash=version.data_hash,
            trial=version.trial,
            rank=version.rank,
            recipe=version.recipe,
            training=version.training,
            verdict={},
            test={},
        )
    )


def _show_changes(study: str, storage_url: str | None, history: Champions, paths: Paths) -> int:
    from tasks.versions import change_between, old_and_new

    current = history.current()
    assert current is not None
    before = history.rows(current.version)
    after = _data(_record(study, storage_url, paths), paths)
    change = change_between(before, after)
    print(f"Data of version {current.version} and as they are: {change.words()}.")
    divided = old_and_new(before, after, "certify")
    left_out = (
        f"; {len(divided.left_out):,} left out, whose prompts were trained on or in another part"
        if divided.left_out
        else ""
    )
    print(f"Certify examples: {len(divided.old):,} old, {len(divided.new):,} new{left_out}.")
    return 0


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: champion(sys.argv[1:]))
