"""Tasks: data, prompts and metrics. Imports neither `sweep` nor torch."""

from tasks.example import DataProblems, Example, RawSplits, Splits
from tasks.task import Task

__all__ = ["DataProblems", "Example", "RawSplits", "Splits", "Task"]
