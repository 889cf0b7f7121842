"""Writes the figures of benchmarks/results/*.json into README.md and docs/, between the marks that stand there.

    python -m benchmarks.document

A block begins with `<!-- benchmark: NAME -->` and ends with `<!-- end -->`; what stands between is replaced. There is a block
of a name only if there are results for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.faults.table import campaign_table
from benchmarks.verdict_calibration.tables import table

RESULTS = Path(__file__).parent / "results"
PAGES = tuple(Path(__file__).parents[1] / name for name in ("README.md", "docs/engine.md", "docs/reliability.md"))

_SHOWN_SECONDS = 0.05
"""What takes less everywhere is no row of its own."""

Results = Sequence[Mapping[str, Any]]


def results_in(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """What the benchmarks wrote, by file name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def blocks(results: Results) -> dict[str, str]:
    """The text of each block by name."""
    naive = _titled([found for found in results if found["kind"] == "against_naive"])
    verdicts = [found for found in results if found["kind"] == "time_to_verdict"]
    memory = [found for found in results if found["kind"] == "memory_model"]
    texts: dict[str, str] = {}
    if naive:
        texts |= {"speed": _speed(naive), "parts": _parts(naive), "arithmetic": _arithmetic(naive)}
        texts |= {"layouts": _layouts(naive), "losses": _losses(naive)}
    if verdicts:
        texts["verdict"] = _verdict(verdicts)
    orchestrated = [found for found in results if found["kind"] == "orchestration"]
    if orchestrated:
        texts["orchestration"] = _orchestration(orchestrated)
    for campaign in (found for found in results if found["kind"] == "faults"):
        texts["faults"] = campaign_table(campaign)
    if memory:
        texts["memory"] = "\n\n".join(map(_memory, memory))
    return texts


def _speed(results: Results) -> str:
    return table(
        ["data", "trials", "plain script", "Goldilocks", "times as fast", "measured on"],
        [
            [
                found["data"],
                f"{found['asked']['trials']} of {found['asked']['steps']} steps, batch {found['asked']['batch']}, "
                f"{found['the_same']['examples_scored']} scored",
                f"{found['peer']['seconds']:,.0f} s",
                f"{found['ours']['seconds']:,.0f} s",
                f"{found['ratio']:.1f}",
                _where(found),
            ]
            for found in results
        ],
    )


def _parts(results: Results) -> str:
    took = [(name, seconds) for found in results for name, seconds in found["ours"]["parts"].items()]
    names = list(dict.fromkeys(name for name, seconds in took if seconds >= _SHOWN_SECONDS))
    rows = [
        [name, *(_seconds(found["ours"]["parts"].get(name, 0.0), found["ours"]["seconds"]) for found in results)]
        for name in names
    ]
    whole = ["whole process", *(f"{found['ours']['seconds']:.1f} s" for found in results)]
    return table(["part", *(found["title"] for found in results)], [*rows, whole])


def _arithmetic(results: Results) -> str:
    rows = []
    for found in results:
        arithmetic = found["arithmetic"]
        for part, rates in arithmetic["parts"].items():
            rows.append(
                [
                    found["title"],
                    part,
                    f"{arithmetic['flops'][part] / 1e12:.1f}",
                    f"{arithmetic['flops'][f'peer_{part}'] / 1e12:.1f}",
                    f"{rates['gflops']:,.0f}",
                    f"{rates['roof_gflops']:,.0f}",
                    f"{rates['share_of_roof']:.0%}",
                ]
            )
    head = [
        "data",
        "part",
        "TFLOP needed",
        "the plain script's",
        "GFLOP/s reached",
        "roof, GFLOP/s",
        "share of the roof",
    ]
    limits = "\n".join(
        f"- {found['title']}: at the roof the arithmetic alone would take {found['arithmetic']['seconds_at_the_roof']:.1f} s, "
        f"{found['arithmetic']['share_of_whole']:.0%} of the whole process."
        for found in results
    )
    return f"{table(head, rows)}\n\n{limits}"


def _layouts(results: Results) -> str:
    rows = [
        [
            found["title"],
            str(run["workers"]),
            str(run["threads"]),
            str(run["slots"]),
            f"{run['seconds']:.1f} s",
            f"{found['peer']['seconds'] / run['seconds']:.2f}",
        ]
        for found in results
        for run in found["layouts"]
    ]
    head = ["data", "workers", "threads of each", "slots of each", "whole process", "times as fast as the plain script"]
    return table(head, rows)


def _losses(results: Results) -> str:
    rows = []
    for found in results:
        pairs = [(each["peer"], each["ours"]) for each in found["losses"]]
        rows.append(
            [
                found["title"],
                str(len(pairs)),
                f"{mean(theirs for theirs, _ in pairs):.3f}",
                f"{mean(ours for _, ours in pairs):.3f}",
                f"{mean(abs(theirs - ours) for theirs, ours in pairs):.3f}",
            ]
        )
    return table(["data", "arms", "plain script, mean loss", "Goldilocks", "mean difference of an arm"], rows)


def _verdict(results: Results) -> str:
    rows = [
        [
            found["data"],
            f"{found['grid']['ranks']} ranks x {found['grid']['rates']} rates x {found['grid']['seeds']} seeds",
            f"{found['grid']['seconds_a_trial']:.1f} s",
            _minutes(found["grid"]["seconds"]),
            f"{_minutes(found['ours']['seconds'])} ({found['ours']['trainings']} trainings)",
            f"{found['ratio']:.1f}",
            _answer(found["verdict"]),
            _where(found),
        ]
        for found in results
    ]
    head = [
        "data",
        "grid",
        "a trial of the plain script",
        "grid, one by one",
        "Goldilocks to its verdict",
        "times as fast",
    ]
    counted = "The grid was not run: it is counted as its trials times the measured seconds of a trial."
    return f"{table([*head, 'verdict', 'measured on'], rows)}\n\n{counted}"


def _orchestration(results: Results) -> str:
    runs = [(found, run) for found in results for run in found["runs"]]
    names = list(dict.fromkeys(part for _, run in runs for part in run["whole"]["parts_ms"]))
    rows = [
        [
            f"{run['trials']:,}",
            f"{run['whole']['ms']:.1f} ms",
            f"{run['last']['ms']:.1f} ms",
            f"{run['whole']['cpu_ms']:.1f} ms",
            *(f"{run['whole']['parts_ms'].get(part, 0.0):.1f}" for part in names),
            _where(found),
        ]
        for found, run in runs
    ]
    head = ["trials", "a trial, beside its training", "of the last tenth", "CPU time of it", *names, "measured on"]
    return table(head, rows)


def _memory(found: Mapping[str, Any]) -> str:
    rows = [
        [
            case["data"],
            str(case["slots"]),
            str(case["rank"]),
            case["targets"] + (f", dropout {case['dropout']}" if case["dropout"] else ""),
            str(case["batch"]),
            case["quant"] + (", copies" if case["quant"] == "nf4" and case["cache"] == "always" else ""),
            f"{case['predicted'] / 1e6:,.0f} MB",
            f"{case['measured'] / 1e6:,.0f} MB",
            f"{case['error']:+.1%}",
        ]
        for case in found["cases"]
    ]
    head = ["data", "slots", "rank", "targets", "batch", "base", "predicted", "measured", "error"]
    size = found["summary"]
    return (
        f"{table(head, rows)}\n\nMedian error {size['median_error']:.1%}, largest {size['largest_error']:.1%} ({found['model']}, "
        f"{_where(found)})."
    )


def _answer(verdict: Mapping[str, Any]) -> str:
    low, high = verdict["bracket"]
    return (
        f"{verdict['status']}, {low}..{high}" if verdict["rank"] is None else f"{verdict['status']}: {verdict['rank']}"
    )


def _where(found: Mapping[str, Any]) -> str:
    ran = found["machine"]
    cores = "" if ran["device"] == "cuda" else f", {ran['cores']} cores"
    return f"{ran['name']}{cores}, {ran['compute']}, {ran['date']}"


def _titled(results: Results) -> list[dict[str, Any]]:
    """The results with a title each: the data, and how many trials where it was run more than once."""
    plain = [f"{found['data']}, GPU" if found["machine"]["device"] == "cuda" else found["data"] for found in results]
    return [
        {**found, "title": title if plain.count(title) == 1 else f"{title}, {found['asked']['trials']} trials"}
        for found, title in zip(results, plain, strict=True)
    ]


def _seconds(seconds: float, whole: float) -> str:
    return f"{seconds:.1f} s, {seconds / whole:.0%}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 600 else f"{seconds:,.0f} s"


def marked(page: str) -> list[str]:
    """The names of the blocks that stand on a page."""
    return re.findall(r"<!-- benchmark: (\w+) -->\n", page)


def written(page: str, texts: Mapping[str, str]) -> str:
    """The page with its blocks replaced.

    Raises:
        KeyError: the page has a block that there is no text for.
    """

    def block(found: re.Match[str]) -> str:
        return f"<!-- benchmark: {found[1]} -->\n{texts[found[1]]}\n<!-- end -->"

    return re.sub(r"<!-- benchmark: (\w+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


def main() -> None:
    """Rewrites the pages."""
    texts = blocks(results_in())
    for page in PAGES:
        page.write_text(written(page.read_text(), texts))


if __name__ == "__main__":
    main()
