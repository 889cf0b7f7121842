"""How long the report on data takes, and how much memory, by the number of rows.

    python benchmarks/data_report.py [--rows 100000 1000000] [--model smollm2-135m] [--out FILE]

Makes a file of each format with made-up questions and answers (8 to 45 words, 2 % of them near-duplicates of earlier ones), runs
`python -m sweep.data` on it as a person would, and reads its peak memory from the system. Without the model on this machine, lengths
are in words, which takes less time: the result says so.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, machine

SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ter",
    "sun",
    "vel",
    "por",
    "an",
    "gri",
    "des",
    "tion",
    "ment",
    "er",
    "al",
    "ing",
    "ous",
    "ly",
)
NEARLY_THE_SAME = 0.02
FORMATS = ("jsonl", "csv", "parquet")


def rows(count: int) -> Iterator[tuple[str, str]]:
    """Questions and answers; some questions repeat an earlier one with a word changed."""
    chance = random.Random(0)  # noqa: S311 (no secret)
    words = [first + second + third for first in SYLLABLES for second in SYLLABLES for third in SYLLABLES]
    earlier = ""
    for number in range(count):
        said = chance.choices(words, k=chance.randint(8, 45))
        if earlier and chance.random() < NEARLY_THE_SAME:
            said = earlier.split()
            said[chance.randrange(len(said))] = chance.choice(words)
        elif number % 97 == 0 and len(said) > 20:
            earlier = " ".join(said)
        yield (
            f"Answer the customer's question. {' '.join(said)}",
            " ".join(chance.choices(words, k=chance.randint(2, 12))),
        )


def write_jsonl(file: Path, count: int) -> None:
    """JSON lines."""
    with file.open("w", encoding="utf-8") as out:
        for prompt, completion in rows(count):
            out.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")


def write_csv(file: Path, count: int) -> None:
    """CSV."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("prompt", "completion"))
        writer.writerows(rows(count))


def write_parquet(file: Path, count: int) -> None:
    """Parquet, in row groups of 50,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("prompt", pa.string()), ("completion", pa.string())])
    with pq.ParquetWriter(file, schema) as writer:
        batch: list[tuple[str, str]] = []
        for number, row in enumerate(rows(count), start=1):
            batch.append(row)
            if len(batch) == 50_000 or number == count:
                prompts, completions = zip(*batch, strict=True)
                writer.write_table(pa.table([pa.array(prompts), pa.array(completions)], schema=schema))
                batch = []


WRITERS: dict[str, Callable[[Path, int], None]] = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}


def measure(form: str, count: int, model: str, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of the command on a file of this format, which is deleted afterwards."""
    file = folder / f"made.{form}"
    WRITERS[form](file, count)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    words = ["-m", "sweep.data", "task=data", f"task.path={file}", f"model={model}"]
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        shown = run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if run.returncode:
        raise SystemExit(shown)
    size = file.stat().st_size
    file.unlink()
    near = next(line for line in shown.splitlines() if line.strip().startswith("near-duplicates of train"))
    return {
        "format": form,
        "rows": count,
        "bytes": size,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "unit": "tokens" if "Length in tokens" in shown else "words",
        "near_duplicates": near.split()[3:],
    }


def main() -> None:
    """Measures each size and format, prints and writes what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["jsonl"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--models", type=Path, help="mlruns/models with the model, if it is not in the hub's cache")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory(prefix="goldilocks-data-") as scratch:
        folder = Path(scratch)
        if arguments.models:
            (folder / "mlruns").mkdir()
            (folder / "mlruns" / "models").symlink_to(arguments.models.absolute())
        for form in arguments.formats:
            for count in arguments.rows:
                runs.append(measure(form, count, arguments.model, folder))
                took = runs[-1]
                print(
                    f"{form}, {count:,} rows of {took['bytes'] / count:.0f} bytes: {took['seconds']:.1f} s, {took['cpu_seconds']:.1f} s "
                    f"of CPU, at most {took['peak_bytes'] / 1e6:,.0f} MB, lengths in {took['unit']}",
                    flush=True,
                )
    if arguments.out:
        measured = {"kind": "data_report", "machine": machine("cpu"), "model": arguments.model, "runs": runs}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
