"""The results of a campaign by kind, for the terminal and for docs/reliability.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.case import Outcome
from benchmarks.verdict_calibration.tables import table

_SHOWN_FAILURES = 5
"""Failing cases named in a row; the results file has all."""


@dataclass(frozen=True, slots=True)
class Row:
    """A kind's faults.

    Attributes:
        failing: the seeds of those that failed.
    """

    kind: str
    what: str
    tried: int
    passed: int
    failing: tuple[int, ...]


def rows_of(outcomes: Sequence[Outcome], kinds: Mapping[str, str]) -> list[Row]:
    """A row for each kind that was tried.

    Args:
        kinds: what each kind does, by name, in the order of the table.
    """
    rows = []
    for name, what in kinds.items():
        tried = [outcome for outcome in outcomes if outcome.kind == name]
        failing = tuple(outcome.seed for outcome in tried if outcome.violations)
        if tried:
            rows.append(Row(name, what, len(tried), len(tried) - len(failing), failing))
    return rows


def campaign_table(results: Mapping[str, Any]) -> str:
    """The table of a results file, in Markdown, and what else is to be said of it."""
    outcomes = [Outcome.from_json(entry) for entry in results["cases"]]
    rows = rows_of(outcomes, results["kinds"])
    passed = sum(row.passed for row in rows)
    shown = [
        [f"`{row.kind}`", row.what, str(row.tried), str(row.passed), str(row.tried - row.passed), _failing(row)]
        for row in rows
    ]
    whole = ["all", "", str(len(outcomes)), str(passed), str(len(outcomes) - passed), ""]
    parts = [table(["kind", "what is done", "tried", "passed", "failed", "failing seeds"], [*shown, whole])]
    ran = results["machine"]
    late = sum(not outcome.landed for outcome in outcomes)
    parts.append(
        f"Seed {results['seed']}; undisturbed the study takes {results['undisturbed_seconds']:.0f} s; {late} faults came "
        f"when the study was already over ({ran['name']}, {ran['cores']} cores, {ran['date']})."
    )
    parts += [f"Not injected: `{name}`: {reason}." for name, reason in results["not_injected"].items()]
    return "\n\n".join(parts)


def write_results(file: Path, about: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Writes a results file: one case a line, in an order that does not depend on which was over first.

    Args:
        about: what it says beside the cases; `kinds` gives the order.
    """
    ordered = sorted(outcomes, key=lambda outcome: (list(about["kinds"]).index(outcome.kind), outcome.seed))
    cases = ",\n".join(f"  {json.dumps(asdict(outcome), ensure_ascii=False)}" for outcome in ordered)
    text = json.dumps({**about, "cases": []}, indent=1, ensure_ascii=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace('"cases": []', f'"cases": [\n{cases}\n ]') + "\n", encoding="utf-8")


def _failing(row: Row) -> str:
    named = ", ".join(map(str, row.failing[:_SHOWN_FAILURES]))
    return f"{named}, ..." if len(row.failing) > _SHOWN_FAILURES else named
