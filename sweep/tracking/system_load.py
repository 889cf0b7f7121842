"""The load of this machine while a sweep runs, sampled by MLflow: processors, memory, disk, network and GPUs."""

from __future__ import annotations

from threading import Event

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class _Monitor(SystemMetricsMonitor):
    """Samples until `finish`. MLflow's own loop ends for good at the first request that the store does not answer."""

    def __init__(self, run_id: str, uri: str) -> None:
        super().__init__(run_id, resume_logging=True, tracking_uri=uri)
        self._is_over = Event()

    def monitor(self) -> None:
        """See `SystemMetricsMonitor.monitor`, which waits for a sampling interval before each request."""
        while not self._is_over.is_set():
            super().monitor()

    def finish(self) -> None:
        """See `SystemMetricsMonitor.finish`."""
        self._is_over.set()
        super().finish()


class SystemLoad:
    """At most one sampling thread, for one run. Samples that the store does not take are lost: they are no records.

    Args:
        uri: the store's address.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._run = ""
        self._monitor: _Monitor | None = None

    def begin(self, run_id: str, *, asked: bool) -> None:
        """Starts sampling if it is asked for; a recorder that replaces another one goes on counting."""
        if not asked or self._monitor is not None:
            return
        self._monitor = _Monitor(run_id, self._uri)
        self._run = run_id
        self._monitor.start()

    def end(self, run_id: str) -> None:
        """Stops sampling for this run."""
        if self._monitor is not None and self._run == run_id:
            self._monitor.finish()
            self._monitor = None
