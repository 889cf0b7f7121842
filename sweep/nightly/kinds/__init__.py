"""The schedulers that can call a tick: one file each, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sweep.nightly.kinds.kind import Kind


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind by its name, the default one first."""
    from sweep.nightly.kinds import cron, github, kubernetes, none, systemd

    every = (
        systemd.Systemd(),
        cron.Cron(),
        github.Github(),
        kubernetes.Kubernetes(),
        none.NoScheduler(),
    )
    return {kind.name: kind for kind in every}
