"""Which process a run belongs to, so that runs of killed processes can be told from those of live ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import psutil

OWNER = "sweep.owner"


def owner_tags() -> dict[str, str]:
    """The tag that says which process of which machine runs this."""
    return {OWNER: f"{socket.gethostname()}:{os.getpid()}"}


def is_leftover(tags: Mapping[str, str], *, alone: bool) -> bool:
    """Whether a run that is said to be running was left by a process that is gone.

    Args:
        tags: the run's tags.
        alone: whether nobody else sweeps this study: then only another live process of this machine keeps its runs.
    """
    host, _, process = tags.get(OWNER, "").rpartition(":")
    here = host == socket.gethostname() and process.isdigit()
    if alone:
        return not (here and int(process) != os.getpid() and psutil.pid_exists(int(process)))
    return here and not psutil.pid_exists(int(process))
