"""Taking the adapter of a study's verdict into use: the beginning of a champion's history."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.console.command_line import pasteable
from sweep.errors import ConfigurationError

if TYPE_CHECKING:
    from sweep.records import CompletedTrial, StudyRecord
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths
    from sweep.verdict.conclusion import Conclusion
    from tasks.versions import DataVersion


def recorded_study(study: str, storage_url: str | None, paths: Paths) -> StudyRecord:
    """The record of a study, by name."""
    from sweep.search.reading import study_of
    from sweep.search.storage import existing_storage

    with existing_storage(storage_url, paths) as storage:
        return study_of(storage, study)


def present_data(record: StudyRecord, paths: Paths) -> DataVersion:
    """The study's data as it is."""
    from sweep.commands.data import load_data
    from sweep.config.load import plan_of_record
    from tasks.versions import DataVersion

    return DataVersion.of(load_data(plan_of_record(record.config), paths)[1])


def adopt(study: str, storage_url: str | None, history: Champions, paths: Paths, margin: float | None) -> None:
    """Takes the adapter of the study's verdict into use, unless it is already.

    Raises:
        ConfigurationError: the study has no verdict, its margin is not in nats, or its data have changed since.
        EnvironmentLacks: its adapter, or the record of its training, is gone.
    """
    from sweep.records import to_json
    from sweep.records.champion import ChampionEntry, ChampionEvent
    from sweep.verdict.conclude import conclude
    from sweep.verdict.conclusion import chosen
    from sweep.verdict.verdict_json import verdict_json

    record = recorded_study(study, storage_url, paths)
    conclusion = conclude(record)
    trial = chosen(record, conclusion)
    if conclusion is None or trial is None or record.certification is None:
        raise ConfigurationError(f"study={study}: it has no verdict yet; run `{pasteable(record.command)}`")
    last = history.current()
    version = next((each for each in history.entries() if last is not None and each.number == last.version), None)
    is_same = version is not None and (version.trial, version.data_hash) == (trial.identity, record.data_hash)
    if version is not None and is_same and version.training:
        print(f"the adapter of this verdict is in use already: version {version.number}")
        return
    margin = margin if margin is not None else conclusion.margin_in_loss
    if margin is None or margin <= 0:
        raise ConfigurationError(
            f"study={study}: its margin is not known in nats per token; say how much worse a challenger may be, such as margin=0.05"
        )
    data = present_data(record, paths)
    if data.data_hash != record.data_hash:
        raise ConfigurationError(
            f"study={study}: its data have changed since the verdict; run `{pasteable(record.command)}` for a verdict on them"
        )
    adapter = _handed_out(record, conclusion, trial.identity, paths)
    training = _training(record, trial, paths)
    created = now()
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
            training=training,
            verdict=verdict_json(record, conclusion, created),
        ),
        adapter=adapter,
        rows=data,
    )


def _training(record: StudyRecord, trial: CompletedTrial, paths: Paths) -> dict[str, Any]:
    """The record of the adapter's training, without which no refresh could score it; from the trial's own if the store has lost it.

    Raises:
        EnvironmentLacks: neither has it.
    """
    from sweep.errors import EnvironmentLacks
    from sweep.records import to_json
    from sweep.store.adapters import training_of
    from sweep.store.trials import TrialStore

    adapter = trial.spec.adapter_id
    trained = TrialStore(paths).adapters.find(adapter) or training_of(adapter, trial.result)
    if trained is None:
        raise EnvironmentLacks(
            f"study={record.name}: its records do not say on which base its adapter was trained, so no refresh could score it; run the "
            "study under another name"
        )
    plain: dict[str, Any] = to_json(trained)
    return plain


def _handed_out(record: StudyRecord, conclusion: Conclusion, trial: str, paths: Paths) -> Path:
    """The adapter folder of the study's report, which is written again if it is not that of the verdict.

    Raises:
        EnvironmentLacks: the adapter is gone.
    """
    from sweep.errors import EnvironmentLacks
    from sweep.reports.files import write_report
    from sweep.store.adapters import origin_of

    folder = paths.adapter(record.name)
    if origin_of(folder).get("trial") != trial:
        write_report(record, conclusion, paths)
    if origin_of(folder).get("trial") != trial:
        raise EnvironmentLacks(
            f"study={record.name}: the adapter of its verdict is gone; run `{pasteable(record.command)}`, which makes it again"
        )
    return folder


def now() -> str:
    """The time as ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
