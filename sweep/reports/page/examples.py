"""The examples on which a smaller rank fails: those on which two ranks differ most, with the answers of both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sweep.records import StudyRecord
from sweep.verdict.conclusion import Conclusion

MOST_CHARACTERS = 1500
"""Maximum length of a prompt or an answer; longer ones are cut."""

_RIGHT = 0.999
"""A score from which an answer counts as right."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The scores of a rank's answers to one example, over seeds.

    Attributes:
        shown: the score of the answer that is shown, 0 to 1.
        mean: over all seeds.
        right: number of seeds that were right; None unless every score is 0 or 1.
        seeds: number of answers.
    """

    shown: float
    mean: float
    right: int | None
    seeds: int

    @property
    def is_right(self) -> bool:
        """Whether the answer that is shown is right."""
        return self.shown >= _RIGHT

    @property
    def words(self) -> str:
        """The text beside the answer."""
        if self.right is not None:
            return f"{self.right} of {self.seeds} seed{'s' if self.seeds > 1 else ''} right"
        return f"score {self.mean:.2f}" + (f", mean of {self.seeds} seeds" if self.seeds > 1 else "")


@dataclass(frozen=True, slots=True)
class Contrast:
    """One certify example that a smaller rank predicts worse than a larger one.

    Attributes:
        smaller_answer: the answer most seeds gave.
        difference: loss of the smaller minus loss of the larger rank, nats over the whole completion, mean over seeds.
        smaller_marks: the scores of the answers; None if there were none.
        seeds: number of seeds per rank.
    """

    prompt: str
    expected: str
    smaller_rank: int
    smaller_answer: str | None
    larger_rank: int
    larger_answer: str | None
    difference: float
    smaller_marks: Marks | None = None
    larger_marks: Marks | None = None
    seeds: int = 1


def contrasts(
    record: StudyRecord,
    conclusion: Conclusion | None,
    scores_of: Callable[[str], Path],
    count: int = 4,
) -> tuple[Contrast, ...]:
    """The largest differences between the chosen rank and the largest, and between the rank below the chosen and it.

    Args:
        scores_of: the scores.jsonl of a trial by its identity; missing files are skipped.
    """
    certification = record.certification
    if certification is None:
        return ()
    judged = [rank for rank in certification.declared.ladder if certification.complete(rank)]
    files = {rank: [scores_of(trial.identity) for trial in certification.complete(rank)] for rank in judged}
    differing: list[Contrast] = []
    for smaller, larger in _pairs(judged, conclusion.rank if conclusion else None):
        differing += contrasts_between(smaller, files[smaller], larger, files[larger], count)
    return tuple(differing)


def _pairs(ladder: Sequence[int], chosen: int | None) -> list[tuple[int, int]]:
    """The pairs of ranks to compare."""
    if len(ladder) < 2:
        return []
    if chosen is None or chosen not in ladder:
        return [(ladder[0], ladder[-1])]
    place = ladder.index(chosen)
    below = [(ladder[place - 1], chosen)] if place else []
    above = [(chosen, ladder[-1])] if chosen != ladder[-1] else []
    return below + above


def contrasts_between(
    smaller: int, smaller_files: Sequence[Path], larger: int, larger_files: Sequence[Path], count: int = 4
) -> list[Contrast]:
    """The examples that the smaller rank predicts worse than the larger, the largest difference first."""
    small, large = _by_example(smaller_files), _by_example(larger_files)
    differing = []
    for key, rows in small.items():
        others = large.get(key)
        if others is None:
            continue
        difference = fmean(row["nats"] for row in rows) - fmean(row["nats"] for row in others)
        if difference > 0:
            differing.append(
                Contrast(
                    prompt=str(rows[0]["prompt"]),
                    expected=str(rows[0]["expected"]),
                    smaller_rank=smaller,
                    smaller_answer=_most_given(rows),
                    larger_rank=larger,
                    larger_answer=_most_given(others),
                    difference=difference,
                    smaller_marks=_marks(rows),
                    larger_marks=_marks(others),
                    seeds=min(len(rows), len(others)),
                )
            )
    return sorted(differing, key=lambda contrast: (-contrast.difference, contrast.prompt))[:count]


def _by_example(files: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    by_key: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        try:
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
            for row in rows:
                by_key.setdefault(str(row["key"]), []).append(
                    {**row, "nats": float(row["nats"]), "prompt": row["prompt"], "expected": row["expected"]}
                )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return by_key


def _most_given(rows: Sequence[dict[str, Any]]) -> str | None:
    answers = Counter(row["answer"] for row in rows if row.get("answer") is not None)
    return str(answers.most_common(1)[0][0]) if answers else None


def _marks(rows: Sequence[dict[str, Any]]) -> Marks | None:
    """The scores of the answers; the one shown is the one most seeds gave."""
    scores = [float(row["score"]) for row in rows if row.get("score") is not None]
    if not scores:
        return None
    given = _most_given(rows)
    shown = [float(row["score"]) for row in rows if row.get("score") is not None and row.get("answer") == given]
    whole = all(score in (0.0, 1.0) for score in scores)
    return Marks(
        shown=fmean(shown or scores),
        mean=fmean(scores),
        right=sum(score == 1.0 for score in scores) if whole else None,
        seeds=len(scores),
    )
