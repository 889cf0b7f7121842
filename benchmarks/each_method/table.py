"""The figures of each method's training as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.verdict_calibration.tables import table
from sweep.config.units import show_bytes

SLOTS = 4
"""Trials that are trained side by side."""

SCORED = 32
"""Tune examples that the losses are of."""


def rows_table(result: Mapping[str, Any]) -> str:
    """The rows as a Markdown table."""

    def cells(row: Mapping[str, Any]) -> list[str]:
        packed = row.get("packed_step_cpu_seconds")
        return [
            row["name"],
            row["quant"],
            f"{row['learning_rate']:.0e}".replace("e-0", "e-"),
            f"{row['before']:.3f}",
            f"{row['after']:.3f}",
            f"{row['trainable']:,}",
            show_bytes(row["bytes"]),
            f"{row['step_cpu_seconds']:.2f}",
            f"{packed:.2f} ({row['step_cpu_seconds'] / packed:.1f}x)" if packed else "",
        ]

    head = [
        "method",
        "base",
        "rate",
        "loss before",
        "after",
        "trained",
        "file",
        "CPU s a step",
        f"{SLOTS} side by side",
    ]
    where = result["machine"]
    ran = f"{result['steps']} steps, {SCORED} tune examples, one seed, one thread; {where['name']}, {where['date']}"
    return f"{table(head, list(map(cells, result['rows'])))}\n\n{ran}."
