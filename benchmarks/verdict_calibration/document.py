"""Writes the figures of results.json into docs/calibration.md, between their marks.

    python -m benchmarks.verdict_calibration.document

Figures of cut ladders are from cut.json, those of limits of forgetting from forgetting.json, those of gains
over the base or a lookup from gains.json.

A block begins with `<!-- calibration: NAME -->` and ends with `<!-- end -->`; the text between is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.verdict_calibration import tables
from benchmarks.verdict_calibration.cut import power_table
from benchmarks.verdict_calibration.forgetting import prose_table
from benchmarks.verdict_calibration.gains import STRESS, gains_table

RESULTS = Path(__file__).parent / "results" / "results.json"
CUT = RESULTS.with_name("cut.json")
FORGETTING = RESULTS.with_name("forgetting.json")
GAINS = RESULTS.with_name("gains.json")
PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"
SHOWN = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.4, 1.8, 2.3, 3.0)

Row = Mapping[str, Any]


def rows_of(results: Mapping[str, Any]) -> list[Row]:
    """A row for each setting and number of seeds, as `tables` takes them."""
    kinds = [", ".join(map(str, look)) for look in results["looks"]]
    return [
        {key: value[place] if isinstance(value, list) else value for key, value in line.items()}
        | {"seeds": kind, "studies": results["studies"]}
        for line in results["calibration"]
        for place, kind in enumerate(kinds)
    ]


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The text of each block by name."""
    rows = rows_of(results)
    promised = [row for row in rows if not row["stress"]]
    worst = max(promised, key=lambda row: float(row["false_certified"]))
    return {
        "run": (
            f"{results['studies']:,} simulated studies in each of {len(results['calibration'])} settings, judged by the shipped "
            f"code ({results['seconds']} s on one core)."
        ),
        "worst": tables.worst_by_group(promised, "false_certified"),
        "largest": (
            f"The largest rate of all {len(promised)} is {tables.percent(worst['false_certified'])} ({worst['world']}, "
            f"{worst['seeds']} seeds)."
        ),
        "inferior": (
            f"Good ranks called inferior: at most {_most(promised, 'false_inferior_up')} going up, "
            f"{_most(promised, 'false_inferior_down')} going down. The bracket held the smallest good rank in at least "
            f"{tables.percent(min(row['covered'] for row in promised))} of the studies of every setting that is promised (90 % is "
            "what is promised)."
        ),
        "stress": _stress(rows),
        "power": _power(results["power"]),
        "reach": tables.reach(results["reach"]),
    }


def cut_blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The text of each block on cut ladders by name."""
    rows = results["calibration"]
    promised = [row for row in rows if not row["stress"]]
    worst = max(promised, key=lambda row: float(row["false_certified"]))
    settings = len({row["world"] for row in rows})
    return {
        "cut_run": (
            f"{results['studies']:,} simulated studies in each of {settings} settings, judged by the shipped code "
            f"({results['seconds']} s on one core)."
        ),
        "cut_worst": tables.worst_by_group(promised, "false_certified"),
        "cut_other": (
            f"The largest rate is {tables.percent(worst['false_certified'])} ({worst['world']}, {worst['seeds']} seeds). Good cuts were "
            f"called inferior in at most {_most(promised, 'false_inferior')}, and cuts that are no better than the uncut adapter better in "
            f"at most {_most(promised, 'false_better')}."
        ),
        "cut_stress": tables.worst_by_group([row for row in rows if row["stress"]], "false_certified"),
        "cut_power": power_table(results["power"]),
    }


def forgetting_blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The text of each block on limits of forgetting by name."""
    rows = results["calibration"]
    promised = [row for row in rows if not row["stress"]]
    settings = len({row["world"] for row in rows})
    return {
        "forgetting_run": (
            f"{results['studies']:,} simulated studies in each of {settings} settings, judged by the shipped code "
            f"({results['seconds']} s on one core)."
        ),
        "forgetting": prose_table(rows),
        "forgetting_above": (
            f"But for the scale of 0.7, the largest of these rates is {_most(promised, 'below')} for a single rank and "
            f"{_most(promised, 'ladder')} for a ladder, and ranks at the limit were called forgetful in at most {_most(promised, 'above')}."
        ),
    }


def gains_blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The text of each block on gains over the base or a lookup by name."""
    rows = results["calibration"]
    worst = max((row for row in rows if row["world"] not in STRESS), key=lambda row: float(row["shown"]))
    return {
        "gains_run": (
            f"{results['studies']:,} simulated studies in each of {len(rows)} settings, judged by the shipped code "
            f"({results['seconds']} s on one core)."
        ),
        "gains": gains_table(rows),
        "gains_worst": (
            f"But for lognormal losses, the largest of these rates is {tables.percent(worst['shown'])} ({worst['world']}, "
            f"{worst['examples']} examples, {worst['seeds']} seed{'s' if worst['seeds'] > 1 else ''})."
        ),
    }


def _most(rows: Sequence[Row], rate: str) -> str:
    return tables.percent(max(row[rate] for row in rows))


def _stress(rows: Sequence[Row]) -> str:
    worlds = dict.fromkeys(row["world"] for row in rows if row["stress"])
    return tables.table(
        ["outside what is promised", "wrongly certified, worst number of seeds"],
        [[world, _most([row for row in rows if row["world"] == world], "false_certified")] for world in worlds],
    )


def _power(rows: Sequence[Row]) -> str:
    kinds = list(dict.fromkeys(row["seeds"] for row in rows))
    by_place = {(row["difference"], row["seeds"]): row for row in rows}
    body = [
        [difference, *(f"{_two(by_place, difference, kind)}" for kind in kinds)]
        for difference in SHOWN
        if (difference, kinds[0]) in by_place
    ]
    return tables.table(["difference, in margins", *(f"{kind} seeds" for kind in kinds)], body)


def _two(by_place: Mapping[tuple[float, str], Row], difference: float, kind: str) -> str:
    row = by_place[difference, kind]
    return f"{row['certified']:.2f} / {row['inferior']:.2f}"


def written(page: str, texts: Mapping[str, str]) -> str:
    """The page with its blocks replaced.

    Raises:
        KeyError: the page has a block that there is no text for.
    """

    def block(match: re.Match[str]) -> str:
        return f"<!-- calibration: {match[1]} -->\n{texts[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- calibration: (\w+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


def main() -> None:
    """Rewrites the page."""
    texts = blocks(json.loads(RESULTS.read_text())) | cut_blocks(json.loads(CUT.read_text()))
    texts |= forgetting_blocks(json.loads(FORGETTING.read_text()))
    texts |= gains_blocks(json.loads(GAINS.read_text()))
    PAGE.write_text(written(PAGE.read_text(), texts))


if __name__ == "__main__":
    main()
