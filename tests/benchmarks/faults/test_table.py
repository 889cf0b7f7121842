"""The table by kind, and the results file that it is made of."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.document import blocks
from benchmarks.faults.case import Outcome
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.table import campaign_table, rows_of, write_results

MACHINE = {"name": "a processor", "cores": 2, "date": "2026-01-02"}


def outcome(kind: str, seed: int, *violations: str, landed: bool = True) -> Outcome:
    return Outcome(kind, seed, "fresh", landed, (-9, 0), 30.0, violations)


OUTCOMES = [
    outcome("kill-sweep", 0),
    outcome("kill-sweep", 1, "verdict: rank is 8, undisturbed 4", "no orphans: python still runs"),
    outcome("kill-sweep", 2, landed=False),
    outcome("sigterm", 0),
]


def results(outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "kind": "faults",
        "seed": 0,
        "machine": MACHINE,
        "undisturbed_seconds": 17.6,
        "kinds": {"sigterm": "SIGTERM", "kill-sweep": "SIGKILL of the sweep", "disk-full": "the disk is full"},
        "not_injected": {"disk-full": "needs root"},
        "cases": [asdict(each) for each in outcomes],
    }


def test_a_row_for_each_kind_that_was_tried() -> None:
    rows = rows_of(OUTCOMES, results([])["kinds"])
    assert [(row.kind, row.tried, row.passed, row.failing) for row in rows] == [
        ("sigterm", 1, 1, ()),
        ("kill-sweep", 3, 2, (1,)),
    ]


def test_the_table_names_what_failed_so_that_it_can_be_repeated() -> None:
    shown = campaign_table(results(OUTCOMES))
    assert "| `kill-sweep` | SIGKILL of the sweep | 3 | 2 | 1 | 1 |" in shown
    assert "| all |  | 4 | 3 | 1 |  |" in shown
    assert "1 faults came when the study was already over (a processor, 2 cores, 2026-01-02)" in shown
    assert "Not injected: `disk-full`: needs root." in shown


def test_many_failures_are_counted_and_not_all_named() -> None:
    shown = campaign_table(results([outcome("sigterm", seed, "done: no") for seed in range(9)]))
    assert "| 9 | 0 | 9 | 0, 1, 2, 3, 4, ... |" in shown


def test_the_results_file_gives_the_table_of_the_documentation(tmp_path: Path) -> None:
    about = {name: value for name, value in results([]).items() if name != "cases"}
    write_results(tmp_path / "new" / "faults.json", about, list(reversed(OUTCOMES)))
    written = json.loads((tmp_path / "new" / "faults.json").read_text())
    assert [(case["kind"], case["seed"]) for case in written["cases"]] == [
        ("sigterm", 0),
        ("kill-sweep", 0),
        ("kill-sweep", 1),
        ("kill-sweep", 2),
    ]
    assert blocks([written])["faults"] == campaign_table(results(OUTCOMES))
    assert [Outcome.from_json(case) for case in written["cases"]] == [OUTCOMES[-1], *OUTCOMES[:-1]]


def test_every_kind_says_in_a_line_what_it_does() -> None:
    assert len(KINDS) > 50
    for kind in KINDS.values():
        assert kind.what
        assert "|" not in kind.what, "it stands in a Markdown table"
