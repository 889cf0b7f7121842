"""Scores code by running it, in a child process that can reach nothing: `score`, for a metric of any task (docs/tasks.md)."""

from tasks.execution.checks import Check, read_checks, write_checks
from tasks.execution.program import Limits, Program
from tasks.execution.scoring import outcomes, score

__all__ = ["Check", "Limits", "Program", "outcomes", "read_checks", "score", "write_checks"]
