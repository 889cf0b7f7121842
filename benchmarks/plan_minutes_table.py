"""The table of planned minutes against real ones, for the terminal and docs/plan.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.verdict_calibration.tables import table

FROM = {
    "products": "matrix products",
    "others": "trials of other studies",
    "measured": "`--measure`",
}


def minutes_table(results: Mapping[str, Any]) -> str:
    """A line for each study and source, and how many are right."""
    rows = [
        [
            f"`{each['study']}`" + ("" if each["same_data"] else ", on data that has changed since"),
            FROM[each["source"]],
            *(_minutes(each[name]) for name in ("low", "middle", "high", "took")),
            f"{each['middle'] / each['took']:.2f}",
            "yes" if each["low"] <= each["took"] <= each["high"] else "no",
        ]
        for each in results["predictions"]
    ]
    head = ["study", "planned from", "at least", "about", "at most", "took", "planned / took", "within the limits"]
    right = sum(abs(each["took"] / each["middle"] - 1) <= results["bar"] for each in results["predictions"])
    return f"{table(head, rows)}\n\n{right} of {len(results['predictions'])} plans are within {results['bar']:.0%} of what the study took."


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"
