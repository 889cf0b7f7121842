"""Writes the figures of benchmarks/results/*.json into README.md and docs/, between their marks.

    python -m benchmarks.document

A block begins with `<!-- benchmark: NAME -->` and ends with `<!-- end -->`; the text between is replaced. There is a block
of a name only if there are results for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.cut_methods.summary import cuts_table, seconds_table, trained_table
from benchmarks.each_method.table import rows_table
from benchmarks.faults.table import campaign_table
from benchmarks.forgetting.summary import PICTURE, draw, forgetting_table
from benchmarks.plan_minutes_table import minutes_table
from benchmarks.verdict_calibration.tables import table

RESULTS = Path(__file__).parent / "results"
PAGES = tuple(
    Path(__file__).parents[1] / name
    for name in (
        "README.md",
        "docs/cutting.md",
        "docs/data_report.md",
        "docs/engine.md",
        "docs/forgetting.md",
        "docs/methods.md",
        "docs/plan.md",
        "docs/reliability.md",
    )
)

_SHOWN_SECONDS = 0.05
"""Parts that take less everywhere get no row."""

Results = Sequence[Mapping[str, Any]]


def results_in(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of the benchmarks, by file name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def blocks(results: Results) -> dict[str, str]:
    """The text of each block by name."""
    naive = _titled([result for result in results if result["kind"] == "against_naive"])
    verdicts = [result for result in results if result["kind"] == "time_to_verdict"]
    memory = [result for result in results if result["kind"] == "memory_model"]
    texts: dict[str, str] = {}
    if naive:
        texts |= {"speed": _speed(naive), "parts": _parts(naive), "arithmetic": _arithmetic(naive)}
        texts |= {"layouts": _layouts(naive), "losses": _losses(naive)}
    if verdicts:
        texts["verdict"] = _verdict(verdicts)
    orchestrated = [result for result in results if result["kind"] == "orchestration"]
    if orchestrated:
        texts["orchestration"] = _orchestration(orchestrated)
    for campaign in (result for result in results if result["kind"] == "faults"):
        texts["faults"] = campaign_table(campaign)
    for forgot in _forgetting(results):
        texts["forgetting"] = forgetting_table(forgot, _where(forgot))
    cuts = [result for result in results if result["kind"] == "cut_methods"]
    if cuts:
        texts |= {
            "cuts": cuts_table(cuts),
            "cuts_and_trained": trained_table(cuts),
            "cuts_seconds": seconds_table(cuts),
        }
    for each in (result for result in results if result["kind"] == "each_method"):
        texts["each_method"] = rows_table(each)
    for planned in (result for result in results if result["kind"] == "plan_minutes"):
        texts["plan_minutes"] = f"{minutes_table(planned)}\n\nMeasured on {_where(planned)}."
    for reported in (result for result in results if result["kind"] == "data_report"):
        texts["data_report"] = _data_report(reported)
    if memory:
        texts["memory"] = "\n\n".join(map(_memory, memory))
    return texts


def _data_report(result: Mapping[str, Any]) -> str:
    rows = [
        [
            run["format"],
            f"{run['rows']:,}",
            f"{run['bytes'] / 1e6:,.0f} MB",
            f"{run['seconds']:.0f} s",
            f"{run['cpu_seconds']:.0f} s",
            f"{run['peak_bytes'] / 1e6:,.0f} MB",
        ]
        for run in result["runs"]
    ]
    unit = result["runs"][0]["unit"]
    return (
        f"Made-up questions of 8 to 45 words, lengths in {unit}, on {_where(result)}:\n\n"
        f"{table(['format', 'rows', 'file', 'time', 'CPU time', 'peak memory'], rows)}"
    )


def _forgetting(results: Results) -> Results:
    return [result for result in results if result["kind"] == "forgetting"]


def _speed(results: Results) -> str:
    return table(
        ["data", "trials", "plain script", "Goldilocks", "times as fast", "measured on"],
        [
            [
                result["data"],
                f"{result['asked']['trials']} of {result['asked']['steps']} steps, batch {result['asked']['batch']}, "
                f"{result['the_same']['examples_scored']} scored",
                f"{result['peer']['seconds']:,.0f} s",
                f"{result['ours']['seconds']:,.0f} s",
                f"{result['ratio']:.1f}",
                _where(result),
            ]
            for result in results
        ],
    )


def _parts(results: Results) -> str:
    took = [(name, seconds) for result in results for name, seconds in result["ours"]["parts"].items()]
    names = list(dict.fromkeys(name for name, seconds in took if seconds >= _SHOWN_SECONDS))
    rows = [
        [name, *(_seconds(result["ours"]["parts"].get(name, 0.0), result["ours"]["seconds"]) for result in results)]
        for name in names
    ]
    whole = ["whole process", *(f"{result['ours']['seconds']:.1f} s" for result in results)]
    return table(["part", *(result["title"] for result in results)], [*rows, whole])


def _arithmetic(results: Results) -> str:
    rows = []
    for result in results:
        arithmetic = result["arithmetic"]
        for part, rates in arithmetic["parts"].items():
            rows.append(
                [
                    result["title"],
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
        f"- {result['title']}: at the roof the arithmetic alone would take {result['arithmetic']['seconds_at_the_roof']:.1f} s, "
        f"{result['arithmetic']['share_of_whole']:.0%} of the whole process."
        for result in results
    )
    return f"{table(head, rows)}\n\n{limits}"


def _layouts(results: Results) -> str:
    rows = [
        [
            result["title"],
            str(run["workers"]),
            str(run["threads"]),
            str(run["slots"]),
            f"{run['seconds']:.1f} s",
            f"{result['peer']['seconds'] / run['seconds']:.2f}",
        ]
        for result in results
        for run in result["layouts"]
    ]
    head = ["data", "workers", "threads of each", "slots of each", "whole process", "times as fast as the plain script"]
    return table(head, rows)


def _losses(results: Results) -> str:
    rows = []
    for result in results:
        pairs = [(each["peer"], each["ours"]) for each in result["losses"]]
        rows.append(
            [
                result["title"],
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
            result["data"],
            f"{result['grid']['ranks']} ranks x {result['grid']['rates']} rates x {result['grid']['seeds']} seeds",
            f"{result['grid']['seconds_a_trial']:.1f} s",
            _minutes(result["grid"]["seconds"]),
            f"{_minutes(result['ours']['seconds'])} ({result['ours']['trainings']} trainings)",
            f"{result['ratio']:.1f}",
            _answer(result["verdict"]),
            _where(result),
        ]
        for result in results
    ]
    head = [
        "data",
        "grid",
        "seconds per trial, plain script",
        "grid, one by one",
        "Goldilocks to its verdict",
        "times as fast",
    ]
    counted = "The grid was not run: its time is the number of trials times the measured seconds per trial."
    return f"{table([*head, 'verdict', 'measured on'], rows)}\n\n{counted}"


def _orchestration(results: Results) -> str:
    runs = [(result, run) for result in results for run in result["runs"]]
    names = list(dict.fromkeys(part for _, run in runs for part in run["whole"]["parts_ms"]))
    rows = [
        [
            f"{run['trials']:,}",
            f"{run['whole']['ms']:.1f} ms",
            f"{run['last']['ms']:.1f} ms",
            f"{run['whole']['cpu_ms']:.1f} ms",
            *(f"{run['whole']['parts_ms'].get(part, 0.0):.1f}" for part in names),
            _where(result),
        ]
        for result, run in runs
    ]
    head = ["trials", "per trial, besides its training", "last tenth", "CPU time", *names, "measured on"]
    return table(head, rows)


def _memory(result: Mapping[str, Any]) -> str:
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
        for case in result["cases"]
    ]
    head = ["data", "slots", "rank", "targets", "batch", "base", "predicted", "measured", "error"]
    size = result["summary"]
    return (
        f"{table(head, rows)}\n\nMedian error {size['median_error']:.1%}, largest {size['largest_error']:.1%} ({result['model']}, "
        f"{_where(result)})."
    )


def _answer(verdict: Mapping[str, Any]) -> str:
    low, high = verdict["bracket"]
    return (
        f"{verdict['status']}, {low}..{high}" if verdict["rank"] is None else f"{verdict['status']}: {verdict['rank']}"
    )


def _where(result: Mapping[str, Any]) -> str:
    ran = result["machine"]
    cores = "" if ran["device"] == "cuda" else f", {ran['cores']} cores"
    return f"{ran['name']}{cores}, {ran['compute']}, {ran['date']}"


def _titled(results: Results) -> list[dict[str, Any]]:
    """The results with a title each: the data, and how many trials where it was run more than once."""
    plain = [
        f"{result['data']}, GPU" if result["machine"]["device"] == "cuda" else result["data"] for result in results
    ]
    return [
        {**result, "title": title if plain.count(title) == 1 else f"{title}, {result['asked']['trials']} trials"}
        for result, title in zip(results, plain, strict=True)
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

    def block(match: re.Match[str]) -> str:
        return f"<!-- benchmark: {match[1]} -->\n{texts[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- benchmark: (\w+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


def main() -> None:
    """Rewrites the pages, and draws the picture of docs/forgetting.md."""
    results = results_in()
    texts = blocks(results)
    for forgot in _forgetting(results):
        draw(forgot, PICTURE)
    for page in PAGES:
        page.write_text(written(page.read_text(), texts))


if __name__ == "__main__":
    main()
