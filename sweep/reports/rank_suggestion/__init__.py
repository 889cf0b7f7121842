"""Ranks of single modules, proposed from the singular values of a trained adapter."""

from sweep.reports.rank_suggestion.allocation import Proposal, propose
from sweep.reports.rank_suggestion.energies import ModuleUpdate, module_updates
from sweep.reports.rank_suggestion.suggestion import (
    SHARES,
    Suggestion,
    read_suggestion,
    suggestion_steps,
    write_suggestion,
)

__all__ = [
    "SHARES",
    "ModuleUpdate",
    "Proposal",
    "Suggestion",
    "module_updates",
    "propose",
    "read_suggestion",
    "suggestion_steps",
    "write_suggestion",
]
