"""The load of this machine while a sweep runs, sampled by MLflow: processors, memory, disk, network and GPUs."""

from __future__ import annotations

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class SystemLoad:
    """At most one sampling thread, for one run. Samples that the store does not take are lost: they are no records.

    Args:
        uri: the store's address.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._run = ""
        self._monitor: SystemMetricsMonitor | None = None

    def begin(self, run_id: str, *, asked: bool) -> None:
        """Starts sampling if it is asked for; a recorder that replaces another one goes on counting."""
        if not asked or self._monitor is not None:
            return
        self._monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=self._uri)
        self._run = run_id
        self._monitor.start()

    def end(self, run_id: str) -> None:
        """Stops sampling for this run."""
        if self._monitor is not None and self._run == run_id:
            self._monitor.finish()
            self._monitor = None
