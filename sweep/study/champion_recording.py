"""MLflow follows the history of a champion: each version that came into use is registered, and an alias names the one in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from sweep.errors import GoldilocksError
from sweep.records.champion import ChampionEntry
from sweep.store.champion_recording import RecordedHistory
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.study.champion import registered_name
from sweep.study.champion_versions import version_to_register
from sweep.tracking import (
    CHAMPION,
    VERDICT,
    Champion,
    KnownResults,
    SweepRun,
    Tracker,
    open_tracker,
    shown_store,
)


class ChampionRecording:
    """Records a history in MLflow. Repeating it adds nothing, and what a call that was killed left is recorded by the next one.

    Args:
        study: its name.
        config_yaml: its resolved configuration.
        tracking_uri: MLflow's store, as `tracking.uri`.
        prompt: the input example of new versions; None for none.
        say: called with each message for the user, one line.
    """

    def __init__(
        self,
        study: str,
        config_yaml: str,
        tracking_uri: str | None,
        paths: Paths,
        *,
        prompt: str | None = None,
        say: Callable[[str], None],
    ) -> None:
        self._study = study
        self._config = config_yaml
        self._uri = tracking_uri
        self._paths = paths
        self._prompt = prompt
        self._say = say
        self._history = Champions(paths, study)
        self._file = paths.champion_recording(study)
        self._store = shown_store(tracking_uri, paths)

    @property
    def follows_history(self) -> bool:
        """Whether the study has a history, so that its verdict is not in use until it is adopted."""
        return has_history(self._history)

    def is_behind(self, *, alone: bool) -> bool:
        """Whether MLflow lacks a part of the history, or a killed refresh may have left its run open.

        Args:
            alone: whether no sweep of this study is running.
        """
        last = self._history.current()
        return self._store is not None and last is not None and self._known().lacks(last.number, alone=alone)

    def begin(self) -> None:
        """Notes that a run is going to be opened: one that is killed is ended by the next call that looks at this."""
        if self._store is not None:
            replace(self._known(), is_open=True).write(self._file)

    def finish(self, tracker: Tracker, entry: int | None, *, is_open: bool = False) -> None:
        """Notes that MLflow has every record. If it has refused to register something, the next call tries that again.

        Args:
            tracker: what the records went to.
            entry: what `register` returned.
            is_open: whether the run of a refresh may be open.
        """
        if self._store is not None and self._file.parent.is_dir():
            known = self._known()
            if tracker.refused_registration:
                entry = None
            replace(known, entry=known.entry if entry is None else entry, is_open=is_open).write(self._file)

    def register(
        self,
        tracker: Tracker,
        *,
        run_id: str | None = None,
        verdict: Champion | None = None,
        only_current: bool = False,
    ) -> int | None:
        """Registers the versions that were in use since the last time, the one in use last; returns the last entry's number.

        Does not wait for the store. None if the history cannot be read, or the adapter in use is damaged.

        Args:
            verdict: the adapter of the study's verdict, which may be in use or not.
            run_id: the run of the sweep that chose it.
            only_current: whether to leave out the versions that are in use no more.
        """
        try:
            entries = self._history.entries()
        except GoldilocksError as error:
            self._behind(error)
            entries = []
        of_verdict = _version_of(entries, verdict)
        if verdict is not None and of_verdict is None:
            tracker.register(run_id, verdict)
        if not entries:
            return None
        current = entries[-1].version
        # the version that was in use the last time is described anew, since it is not any more
        since = [entry.version for entry in entries if entry.number >= self._known().entry and not only_current]
        earlier = [number for number in dict.fromkeys([*since, of_verdict]) if number not in (None, current)]
        is_registered = False
        for number in (*earlier, current):
            aliases = [alias for alias, named in ((CHAMPION, current), (VERDICT, of_verdict)) if number == named]
            is_registered = self._register(tracker, entries, number, aliases)
        return entries[-1].number if is_registered else None

    def bring_up_to_date(self, ended: Callable[[], KnownResults], *, alone: bool) -> None:
        """Records what is missing, and ends what killed runs left open; does nothing where nothing is missing.

        New versions are left to a refresh that is running: the store would take two of one trial from two processes.

        Args:
            ended: returns the trials that the study knows (`trials_by_run`), whose runs end with their results.
            alone: whether no sweep of this study is running.
        """
        try:
            last, known = self._history.current(), self._known()
            if last is None or not self.is_behind(alone=alone):
                return
            is_shared = known.is_open and not alone
            if is_shared and last.version > known.entry:
                return
            tracker = open_tracker(self._uri, self._paths, self._study, self._say)
            has_ended = tracker.end_left(SweepRun(self._study, "", known_results=ended(), alone=alone))
            entry = self.register(tracker, only_current=is_shared)
            # a refresh that is running may set the alias after this: a later call looks again
            if tracker.settle() and entry is not None and not is_shared:
                self.finish(tracker, entry, is_open=self._known().is_open and not (alone and has_ended))
        except GoldilocksError as error:
            self._behind(error)

    def _register(
        self, tracker: Tracker, entries: Sequence[ChampionEntry], number: int, aliases: Sequence[str]
    ) -> bool:
        """Registers a version; returns False if its adapter is damaged, so that a later call has to."""
        try:
            folder = self._history.adapter(number)
        except GoldilocksError as error:
            self._behind(error)
            return False
        version = version_to_register(self._study, entries, number, folder, self._config, self._prompt, aliases)
        if version is not None:
            tracker.register(None, version)
        else:
            name, lack = f"version {number} of the champion of {self._study}", ""
            if CHAMPION in aliases:
                # it must not stay on the version that was left
                tracker.release(registered_name(self._study), CHAMPION)
                lack = f"; no version has the alias {CHAMPION} until another one is in use"
            self._say(f"{name} is not registered in MLflow: its files do not say what it was trained on{lack}")
        return True

    def _known(self) -> RecordedHistory:
        """What this store has."""
        known = RecordedHistory.read(self._file)
        return known if known.store == self._store else RecordedHistory(self._store)

    def _behind(self, error: GoldilocksError) -> None:
        self._say(f"MLflow's registered model is not up to date: {str(error).splitlines()[0]}")


def _version_of(entries: Sequence[ChampionEntry], adapter: Champion | None) -> int | None:
    """The latest version that has this adapter."""
    if adapter is None:
        return None
    return next(
        (each.number for each in reversed(entries) if each.brings_adapter and each.trial == adapter.trial), None
    )


def has_history(history: Champions) -> bool:
    """Whether there is a history; True for one that cannot be read, since nobody knows what is in use then."""
    with suppress(GoldilocksError):
        return history.current() is not None
    return True
