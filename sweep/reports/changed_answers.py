"""The test examples that the base and the chosen adapter answer differently, as a table that MLflow's page shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sweep.records import StudyRecord
from sweep.reports.page.samples import answer_pairs
from sweep.verdict.conclusion import Conclusion

COLUMNS = ("change", "kind", "prompt", "expected", "base answer", "adapter answer", "base score", "adapter score")
_EQUAL = 1e-9


def changed_answers(record: StudyRecord, conclusion: Conclusion | None, scores_of: Callable[[str], Path]) -> str | None:
    """The table as JSON in MLflow's format, in the order of the data; None before the test stage, and if no answer changed.

    `change` says whether the adapter's answer is better, worse, or only different.

    Args:
        scores_of: the scores.jsonl of a trial by its identity.
    """
    rows = []
    for pair in answer_pairs(record, conclusion, scores_of):
        before, after = pair.base, pair.adapter
        if before.text == after.text:
            continue
        change = "different"
        if before.score is not None and after.score is not None and abs(after.score - before.score) > _EQUAL:
            change = "better" if after.score > before.score else "worse"
        rows.append([change, pair.kind, pair.prompt, pair.expected, before.text, after.text, before.score, after.score])
    if not rows:
        return None
    return json.dumps({"columns": list(COLUMNS), "data": rows}, ensure_ascii=False, allow_nan=False) + "\n"
