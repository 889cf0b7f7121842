"""Runs in the store with which nobody goes on: those that killed sweeps left running, and doubles that a slow server made.

Imported by `mlflow_tracker`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.records import Status
from sweep.tracking import names
from sweep.tracking.port import KnownResults, SweepRun, is_leftover, known_result
from sweep.tracking.run_writer import RunWriter


class LeftRuns:
    """Finds such runs; ends those that were left running and deletes doubles.

    Args:
        owner: the process that sweeps, as named by `sweep.store.locks.this_process`.
        writer: has opened the runs of this process.
    """

    def __init__(self, client: MlflowClient, owner: str, writer: RunWriter) -> None:
        self._client = client
        self._owner = owner
        self._writer = writer

    def end(self, experiment: str, sweep: SweepRun, *, but: str | None = None) -> None:
        """Ends the runs of the study that killed sweeps left running.

        Args:
            but: the provisional id of a run that goes on.
        """

        def is_left(tags: Mapping[str, str]) -> bool:
            return (
                tags.get(names.STUDY) == sweep.study
                and is_leftover(tags, self._owner, alone=sweep.alone)
                and (but is None or tags.get(names.RUN) != but)
            )

        self._end_running(experiment, is_left, sweep.known_results)

    def known_as(self, experiment: str, own: str | None) -> str | None:
        """The run with this provisional id; others of it, which a slow server has made, are deleted."""
        first, *doubles = self._made_as(experiment, own) or [None]
        for double in doubles:
            self._client.delete_run(double.info.run_id)
        return None if first is None else str(first.info.run_id)

    def end_trials(self, experiment: str, parent: str, known_results: KnownResults) -> None:
        """Ends the trials' runs of a sweep that are still running."""
        self._end_running(experiment, lambda tags: tags.get(names.PARENT) == parent, known_results)

    def _end_running(
        self,
        experiment: str,
        chosen: Callable[[Mapping[str, str]], bool],
        known_results: KnownResults,
    ) -> None:
        """Ends the experiment's running runs that a sweep started and whose tags are chosen."""
        for run in self._running(experiment):
            if names.STUDY not in run.data.tags or not chosen(run.data.tags):
                continue
            if self._is_double(experiment, run):
                self._client.delete_run(run.info.run_id)
            elif known := known_result(known_results, run.info.run_id, run.data.tags):
                self._writer.close_trial(run.info.run_id, *known)
            else:
                self._client.set_tag(run.info.run_id, names.STATUS, Status.INTERRUPTED.value)
                self._client.set_terminated(run.info.run_id, names.RUN_STATUS[Status.INTERRUPTED])

    def _running(self, experiment: str) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs([experiment], "attributes.status = 'RUNNING'", page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _made_as(self, experiment: str, own: str | None) -> list[Run]:
        """The runs with this provisional id, the one that is furthest first."""
        found = self._client.search_runs([experiment], f"tags.`{names.RUN}` = '{own}'")
        return sorted(found, key=lambda run: -len(run.data.params))

    def _is_double(self, experiment: str, run: Run) -> bool:
        """Whether a slow server made this run after the request for it had been repeated."""
        own = run.data.tags.get(names.RUN)
        if own is None:
            return False
        opened = self._writer.opened.get(own) or next(iter(self._made_as(experiment, own)), run).info.run_id
        return bool(run.info.run_id != opened)
