"""How noisy the certify trials of a study are: between seeds, between examples, and what the margin is beside it.

    python benchmarks/noise_of_study.py NAME [NAME ...]

Reads the studies' records under ./mlruns and trains nothing. For each study one row:

    loss, base, margin      mean over the ladder, the unadapted base, and the margin (nats per token)
    seed sd                 standard deviation of a trial's mean loss between seeds, pooled over ranks
    correlation             of two ranks' losses over seeds, mean over pairs: what training ranks with the same seeds gains
    example sd              standard error of a difference of two ranks that stems from the choice of certify examples
    margin / seed sd        six or more can be certified with three seeds, three or more with eight (docs/calibration.md)
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np
from rich.console import Console
from rich.table import Table

from sweep.records import Certification, StudyRecord
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths


def losses_of(certification: Certification, rank: int) -> np.ndarray:
    """(seeds, examples): loss of each certify example in nats per token."""
    tokens = np.array(certification.tokens, dtype=float)
    return np.array([trial.nats for trial in certification.complete(rank)]) / tokens


def row(record: StudyRecord) -> list[str]:
    """The study's figures, formatted."""
    certification = record.certification
    if certification is None or certification.base is None:
        return [record.name, *["-"] * 10]
    weights = np.array(certification.tokens, dtype=float)
    weights /= weights.sum()
    ranks = certification.complete_ranks()
    tables = {rank: losses_of(certification, rank) for rank in ranks}
    seeds = min(len(table) for table in tables.values())
    means = np.array([table[:seeds] @ weights for table in tables.values()])  # (ranks, seeds)
    seed_sd = float(np.sqrt(means.var(axis=1, ddof=1).mean()))
    covariance = np.cov(means)
    pairs = list(combinations(range(len(ranks)), 2))
    correlation = float(np.mean([covariance[a, b] for a, b in pairs]) / np.trace(covariance) * len(ranks))
    averaged = [table[:seeds].mean(axis=0) for table in tables.values()]
    spread = [
        float(np.sqrt((weights**2 * (difference - difference @ weights) ** 2).sum()))
        for a, b in pairs
        for difference in (averaged[a] - averaged[b],)
    ]
    base = float(np.array(certification.base.nats).sum() / np.array(certification.tokens).sum())
    margin = certification.declared.margin * (base - float(means.mean(axis=1).min()))
    return [
        record.name,
        f"{ranks[0]}..{ranks[-1]}",
        str(seeds),
        str(len(weights)),
        f"{means.mean():.3f}",
        f"{base:.2f}",
        f"{margin:.3f}",
        f"{seed_sd:.4f}",
        f"{correlation:.2f}",
        f"{np.mean(spread):.4f}",
        f"{margin / seed_sd:.1f}",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    table = Table("study", "ranks", "seeds", "examples", "loss", "base", "margin", "seed sd")
    for name in ("correlation", "example sd", "margin / seed sd"):
        table.add_column(name)
    with existing_storage(None, Paths.here()) as storage:
        for name in arguments.names:
            table.add_row(*row(studies_of(storage, name)[0]))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
