"""Tasks: data, prompts and metrics. Imports neither `sweep` nor torch."""

from tasks.example import DataProblems, Example, RawSplits, Splits

__all__ = ["DataProblems", "Example", "RawSplits", "Splits"]
