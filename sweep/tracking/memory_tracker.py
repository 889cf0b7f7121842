"""A tracker that keeps everything in memory, for tests and for `tracking.uri=memory://`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweep.records import Status, TrialResult, TrialSpec
from sweep.store.locks import this_process
from sweep.tracking import names
from sweep.tracking.names import Point
from sweep.tracking.port import (
    Champion,
    DataSet,
    KnownResults,
    RecordRefused,
    Summary,
    SweepRun,
    is_leftover,
    known_result,
    owner_tags,
    seen_by,
)


@dataclass(slots=True)
class MemoryRun:
    """One run.

    Attributes:
        experiment: the experiment's name.
        status: MLflow's run status, `RUNNING` at first.
        points: every logged value, in order; single values are at step 0.
        artifacts: paths of the files, relative to the run, sorted; the contents are not kept.
        data_sets: what it uses, by split.
    """

    id: str
    experiment: str
    name: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    points: list[Point] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    data_sets: list[DataSet] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        """Each metric's value at its last step."""
        return names.latest(self.points)


class MemoryTracker:
    """An in-memory `MlflowTracker`: the same runs, names and final states.

    Attributes:
        runs: every run by id, in the order in which they were opened.
        notes: the description of each experiment, as Markdown.
        champions: the versions of each registered model, the latest last.
        aliases: the trial that each alias of a registered model names.
    """

    def __init__(self) -> None:
        self.runs: dict[str, MemoryRun] = {}
        self.notes: dict[str, str] = {}
        self.champions: dict[str, list[Champion]] = {}
        self.aliases: dict[str, dict[str, str]] = {}
        self._sweeps: dict[str, SweepRun] = {}

    @property
    def refused_registration(self) -> bool:
        """See `Tracker.refused_registration`."""
        return False

    def open_sweep(self, sweep: SweepRun) -> str:
        """See `Tracker.open_sweep`."""
        self.end_left(sweep)
        run = self._open(
            sweep.study,
            sweep.study,
            names.sweep_tags(sweep.study, sweep.command, sweep.tags) | owner_tags(this_process()),
        )
        run.params = names.valid_params({**sweep.params, **sweep.declared})
        run.artifacts = [names.CONFIG_FILE]
        run.data_sets = list(sweep.data_sets)
        self._sweeps[run.id] = sweep
        return run.id

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> None:
        """See `Tracker.resume_sweep`."""
        if run_id not in self.runs:
            raise RecordRefused(f"there is no run '{run_id}'")
        self._sweeps[run_id] = sweep

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """See `Tracker.open_trial`."""
        sweep = self._sweeps[parent]
        run = self._open(sweep.study, spec.name, names.trial_tags(parent, spec) | owner_tags(this_process()))
        run.params = names.trial_params(sweep.params, spec)
        run.points = [Point(name, value, 0) for name, value in names.started_with(spec).items()]
        run.data_sets = seen_by(spec, sweep.data_sets)
        return run.id

    def known_id(self, run_id: str) -> str:
        """See `Tracker.known_id`."""
        return run_id

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`."""
        run = self.runs[run_id]
        run.points += [Point(name, value, 0) for name, value in names.metrics_of(result).items()]
        run.points += names.points_of(result)
        _keep(run, files)
        run.tags |= names.closing_tags(result)
        run.status = names.RUN_STATUS[result.status]

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """See `Tracker.close_sweep`."""
        self._end_running(lambda tags: tags.get(names.PARENT) == run_id, self._sweeps[run_id].known_results)
        run = self.runs[run_id]
        run.points += names.summary_points(summary.metrics, summary.series)
        _keep(run, files)
        run.tags |= names.valid_tags({**summary.tags, names.STATUS: status.value})
        run.tags |= names.table_tags(file for file in files if file.exists())
        if summary.note:
            self.notes[run.experiment] = summary.note.replace("{experiment}", run.experiment).replace("{run}", run_id)
        run.status = names.RUN_STATUS[status]
        return True

    def end_left(self, sweep: SweepRun) -> bool:
        """See `Tracker.end_left`."""
        self._end_running(
            lambda tags: tags.get(names.STUDY) == sweep.study and is_leftover(tags, this_process(), alone=sweep.alone),
            sweep.known_results,
        )
        return True

    def settle(self) -> bool:
        """See `Tracker.settle`; nothing waits here."""
        return True

    def register(self, run_id: str | None, champion: Champion) -> None:
        """See `Tracker.register`."""
        self.aliases.setdefault(champion.model, {}).update(dict.fromkeys(champion.aliases, champion.trial))
        versions = self.champions.setdefault(champion.model, [])
        for place, known in enumerate(versions):
            if known.trial == champion.trial:
                versions[place] = champion
                return
        versions.append(champion)

    def release(self, model: str, alias: str) -> None:
        """See `Tracker.release`."""
        self.aliases.get(model, {}).pop(alias, None)

    def poll(self) -> None:
        """See `Tracker.poll`; there are no messages."""

    def link(self, run_id: str) -> str | None:
        """None: these runs have no page."""
        return None

    def _open(self, experiment: str, name: str, tags: dict[str, str]) -> MemoryRun:
        run = MemoryRun(f"memory-{len(self.runs)}", experiment, name, tags)
        self.runs[run.id] = run
        return run

    def _end_running(self, chosen: Callable[[Mapping[str, str]], bool], known_results: KnownResults) -> None:
        for run in self.runs.values():
            if run.status != "RUNNING" or names.STUDY not in run.tags or not chosen(run.tags):
                continue
            if known := known_result(known_results, run.id, run.tags):
                self.close_trial(run.id, *known)
            else:
                run.tags[names.STATUS] = Status.INTERRUPTED.value
                run.status = names.RUN_STATUS[Status.INTERRUPTED]


def _keep(run: MemoryRun, paths: Sequence[Path]) -> None:
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        run.artifacts += [file.relative_to(path.parent).as_posix() for file in files if file.is_file()]
    run.artifacts = sorted(set(run.artifacts))
