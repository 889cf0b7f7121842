"""What models are fine-tuned on: each task's data, prompt and metrics. Imports nothing of `sweep`, and no torch."""

from tasks.example import DataProblems, Example, RawSplits, Splits

__all__ = ["DataProblems", "Example", "RawSplits", "Splits"]
