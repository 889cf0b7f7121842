"""From the losses of every seed to differences, their noise, and bounds; and the tables made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.cut_methods.methods import DEFAULT
from benchmarks.verdict_calibration.tables import table

LEVEL = 0.95
"""One-sided confidence of the upper bound of a difference."""

Result = Mapping[str, Any]
Row = Mapping[str, Any]


def difference(losses: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """Mean of the paired difference over seeds, its standard deviation, and the upper bound of the mean (Student)."""
    apart = np.array(losses) - np.array(reference)
    seeds = len(apart)
    sd = float(apart.std(ddof=1)) if seeds > 1 else float("nan")
    quantile = float(stats.t.ppf(LEVEL, seeds - 1)) if seeds > 1 else float("nan")
    return {"mean": float(apart.mean()), "sd": sd, "upper": float(apart.mean()) + quantile * sd / seeds**0.5}


def margin(result: Result, share: float = 0.02) -> float:
    """That share of what the uncut adapters gain over the base, in nats per token."""
    return share * (float(result["base"]) - float(np.mean(_uncut(result, ""))))


def cuts_table(results: Sequence[Result]) -> str:
    """The difference of each kind of cut to the uncut adapter of the same seed, by rank."""
    cut = {row["rank"] for result in results for row in result["rows"] if row["method"] != "trained"}
    ranks = sorted(cut, reverse=True)
    body = []
    for result in results:
        uncut = _uncut(result, "")
        spread = float(np.std(uncut, ddof=1))
        body.append(
            [result["data"], f"uncut: {np.mean(uncut):.4f}, sd {spread:.4f} ({len(uncut)} seeds)", *[""] * len(ranks)]
        )
        known = {""}
        for method, of in dict.fromkeys((row["method"], row["of"]) for row in result["rows"]):
            if of not in known:
                known.add(of)
                body.append([result["data"], f"uncut ({of}): {np.mean(_uncut(result, of)):.4f}", *[""] * len(ranks)])
            cells = [_cell(result, method, of, rank) for rank in ranks]
            if method != "trained" and any(cells):
                body.append([result["data"], f"{method} ({of})" if of else method, *cells])
    return table(["data", "cut", *(f"rank {rank}" for rank in ranks)], body)


def trained_table(results: Sequence[Result]) -> str:
    """The cut of a study, and healed cuts, against the rank trained from the start with its own rate: the mean difference and its upper
    bound."""
    body = []
    for result in results:
        third = margin(result) / 3
        methods = dict.fromkeys(row["method"] for row in result["rows"] if ", healed" in row["method"])
        for rank, method in [(rank, method) for method in (DEFAULT, *methods) for rank in sorted(result["trained"])]:
            own, cut = _losses(result, "trained", "", rank), _losses(result, method, "", rank)
            if own is None or cut is None:
                continue
            apart = difference(cut, own)
            body.append(
                [
                    result["data"],
                    method,
                    rank,
                    f"{np.mean(cut):.4f}",
                    f"{np.mean(own):.4f}, sd {np.std(own, ddof=1):.4f}",
                    f"{apart['mean']:+.4f}",
                    f"{apart['upper']:+.4f}",
                    f"{third:.4f}",
                    "yes" if apart["upper"] < third else "no",
                ]
            )
    head = [
        "data",
        "cut",
        "rank",
        "its loss",
        "trained",
        "cut minus trained",
        "upper bound",
        "a third of the margin",
        "below it",
    ]
    return table(head, body)


def seconds_table(results: Sequence[Result]) -> str:
    """CPU seconds of each step per adapter."""
    results = [result for result in results if result["seconds"]]
    names = list(dict.fromkeys(name for result in results for name in result["seconds"]))
    body = [
        [name, *(f"{result['seconds'][name]:.1f} s" if name in result["seconds"] else "" for result in results)]
        for name in names
    ]
    return table(["per adapter", *(result["data"] for result in results)], body)


def _cell(result: Result, method: str, of: str, rank: int) -> str:
    losses, uncut = _losses(result, method, of, rank), _uncut(result, of)
    if losses is None:
        return ""
    apart = difference(losses, uncut)
    return f"{apart['mean']:+.4f} ({apart['sd']:.4f})"


def _uncut(result: Result, of: str) -> Sequence[float]:
    losses = _losses(result, "trained", of, result["top"])
    if losses is None:
        raise KeyError(f"no uncut adapters {of}".rstrip())
    return losses


def _losses(result: Result, method: str, of: str, rank: int) -> Sequence[float] | None:
    for row in result["rows"]:
        if (row["method"], row["of"], row["rank"]) == (method, of, rank):
            losses: Sequence[float] = row["losses"]
            return losses
    return None
