"""Injects faults into real studies at random instants, and checks after each that nothing is lost and nothing hidden.

    python -m benchmarks.faults [--faults 200] [--seed 0] [--kinds a,b] [--out benchmarks/results/faults.json]
        [--parallel 1] [--keep FOLDER] [--only KIND:SEED ...] [--list]

The study is a small one with a made model (benchmarks/faults/study.py). It runs once undisturbed; then, for each fault, it is
started from the beginning or from a half-finished or finished copy, disturbed, called again until it is done, and compared with the
undisturbed one (benchmarks/faults/invariants.py). `--only` repeats single faults as the table names them; what is drawn is the
same, but how far the study is at an instant depends on the machine. With --out, the results are written as they come;
`python -m benchmarks.document` makes the table of docs/reliability.md of them. Ends with status 1 if a fault failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.campaign import planned, run
from benchmarks.faults.case import Outcome
from benchmarks.faults.kind import Kind
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.reference import Reference
from benchmarks.faults.table import campaign_table, write_results
from benchmarks.machine import machine


def main() -> int:
    """Runs a campaign; returns the exit status."""
    arguments = _arguments()
    if arguments.list:
        for kind in KINDS.values():
            print(f"{kind.name:24} {kind.what}")
        return 0
    chosen = _chosen(arguments.kinds)
    reasons = {kind.name: kind.lacks() for kind in chosen}
    lacking = {name: reason for name, reason in reasons.items() if reason is not None}
    able = [kind for kind in chosen if kind.name not in lacking]
    for name, reason in lacking.items():
        print(f"{name}: not injected: {reason}", flush=True)
    faults = [_named(name) for name in arguments.only] or list(planned(able, arguments.faults, arguments.seed))
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    # asked to stop, it still ends what it has started and mounted
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="goldilocks-faults-") as scratch:
        folder = Path(scratch).resolve()
        reference = Reference(folder)
        ended: list[Outcome] = []
        print(f"undisturbed: {reference.seconds:.1f} s", flush=True)
        about = {
            "kind": "faults",
            "seed": arguments.seed,
            "machine": machine("cpu"),
            "undisturbed_seconds": round(reference.seconds, 1),
            "kinds": {kind.name: kind.what for kind in chosen},
            "not_injected": lacking,
        }

        def report(outcome: Outcome) -> None:
            ended.append(outcome)
            print(f"{len(ended)} of {len(faults)}  {_line(outcome)}", flush=True)
            if arguments.out and not arguments.only:
                write_results(arguments.out, about, ended)

        outcomes = run(faults, reference, folder, arguments.parallel, arguments.keep, report)
    print(f"\n{campaign_table({**about, 'cases': [asdict(outcome) for outcome in outcomes]})}")
    print(f"\n{(time.monotonic() - began) / 60:.0f} min")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--faults", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", help="only these, with commas between them; see --list")
    parser.add_argument("--only", nargs="+", default=[], metavar="KIND:SEED", help="only these faults")
    parser.add_argument("--out", type=Path, help="the results, as JSON")
    parser.add_argument("--parallel", type=int, default=1, help="studies at the same time")
    parser.add_argument("--keep", type=Path, help="folders of faults that fail are copied here")
    parser.add_argument("--list", action="store_true", help="the kinds")
    return parser.parse_args()


def _chosen(names: str | None) -> Sequence[Kind]:
    if names is None:
        return list(KINDS.values())
    unknown = sorted(set(names.split(",")) - set(KINDS))
    if unknown:
        raise SystemExit(f"--kinds: there is no {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return [KINDS[name] for name in names.split(",")]


def _named(name: str) -> tuple[Kind, int]:
    kind, sign, seed = name.partition(":")
    if kind not in KINDS or not sign or not seed.isdigit():
        raise SystemExit(f"--only {name}: write KIND:SEED, with a kind of --list")
    return KINDS[kind], int(seed)


def _line(outcome: Outcome) -> str:
    head = f"{outcome.name}  {'FAILED' if outcome.violations else 'passed'}  {outcome.seconds:.0f} s  ({outcome.drawn})"
    return "\n    ".join([f"{head}  exit codes {', '.join(map(str, outcome.codes))}", *outcome.violations])


if __name__ == "__main__":
    sys.exit(main())
