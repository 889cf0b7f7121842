"""A pharmaceutical tender desk: five kinds of short questions, made by `python -m tasks.pharma.generate`."""

from pathlib import Path

DATA = Path(__file__).with_name("data")
"""The folder with `train.jsonl`, `validation.jsonl` and `test.jsonl`."""
