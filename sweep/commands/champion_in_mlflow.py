"""Brings MLflow's registered model up to date with the history of a champion, from the study's records alone."""

from __future__ import annotations

from sweep.errors import GoldilocksError
from sweep.store.champion_recording import RecordedHistory
from sweep.store.champions import Champions
from sweep.store.locks import is_held, say_on_stderr
from sweep.store.paths import Paths


def follow_in_mlflow(study: str, storage_url: str | None, history: Champions, paths: Paths) -> None:
    """Records what MLflow lacks of the history; opens no database if it lacks nothing, and says on stderr what was not possible.

    A history whose study has no record here has no store that is known.

    Raises:
        EnvironmentLacks: the history cannot be read.
    """
    last = history.current()
    if last is None:
        return
    alone = not is_held(paths.lock(study))
    known = RecordedHistory.read(paths.champion_recording(study))
    if known.store is not None and not known.lacks(last.number, alone=alone):
        return

    from sweep.commands.adoption import recorded_study
    from sweep.reports.steps import recorded_tracking

    try:
        record = recorded_study(study, storage_url, paths)
    except GoldilocksError as error:
        if known.store is not None:
            say_on_stderr(f"MLflow's registered model is not up to date: {str(error).splitlines()[0]}")
        return
    uri = recorded_tracking(record)
    if uri is not None and "***" in uri:
        say_on_stderr(
            f"MLflow's registered model is not up to date: the password of {uri} is not stored; the next refresh records it"
        )
        return

    from sweep.store.trials import TrialStore
    from sweep.study.champion_recording import ChampionRecording
    from sweep.study.recording import trials_by_run

    recording = ChampionRecording(study, record.config, uri, paths, say=say_on_stderr)
    recording.bring_up_to_date(lambda: trials_by_run(record, TrialStore(paths)), alone=alone)
