"""Tasks: data, prompts and metrics. Imports neither `sweep` nor torch."""

from tasks.example import DataProblems, Example, RawSplits, Splits
from tasks.splits import split_hash
from tasks.task import Task

__all__ = ["DataProblems", "Example", "RawSplits", "Splits", "Task", "split_hash"]
