"""Which process a run belongs to, so that runs of killed processes can be told from those of live ones."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.store.locks import is_gone, is_here, is_left

OWNER = "sweep.owner"


def owner_tags(sweep: str) -> dict[str, str]:
    """The tag that says which process of which machine runs this."""
    return {OWNER: sweep}


def is_leftover(tags: Mapping[str, str], sweep: str, *, alone: bool) -> bool:
    """Whether a run that is said to be running was left by a process that is gone.

    Args:
        sweep: the process that sweeps now, as `sweep.store.locks.this_process` names it.
        tags: the run's tags.
        alone: whether nobody else sweeps this study: then only another live process of this machine keeps its runs.
    """
    owner = tags.get(OWNER, "")
    if alone:
        return not is_here(owner) or is_left(owner, sweep)
    return is_gone(owner)
