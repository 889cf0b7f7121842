"""A profile as one self-contained page, in the look of a study's page."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from sweep.records import StudyPlan
from sweep.reports.data_report import tables
from sweep.reports.data_report.advice import Advice
from sweep.reports.data_report.profile import PARTS, DataProfile
from sweep.reports.page.assemble import assemble
from sweep.reports.step import Step
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text

MOST_CHARACTERS = 20_000
"""Characters of an example on the page."""


def write_page(
    profile: DataProfile, recommended: Sequence[Advice], steps: Sequence[Step], plan: StudyPlan, paths: Paths
) -> Path:
    """Writes the page; returns the file. A half-written file is never seen."""
    page = paths.data_page(plan.name)
    page.parent.mkdir(parents=True, exist_ok=True)
    created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    replace_text(page, render(profile, recommended, steps, plan, created))
    return page


def render(
    profile: DataProfile, recommended: Sequence[Advice], steps: Sequence[Step], plan: StudyPlan, created: str
) -> str:
    """The page as HTML, complete in itself; the same for the same arguments."""
    lengths = profile.lengths
    found = tables.bins(lengths) if lengths is not None else []
    return assemble(
        "data.html.j2",
        [],
        profile=profile,
        plan=plan,
        parts=PARTS,
        facts=_facts(profile),
        lines=list(tables.lines(profile, plan.setup.task.max_length)),
        pairs=list(tables.pairs(profile)),
        bins=found,
        most_share=max((each.share for each in found), default=0.0) or 1.0,
        looked_at=tables.of_sample(profile),
        quantiles=tables.quantiles(lengths) if lengths is not None else "",
        answers=tables.answers(lengths) if lengths is not None else "",
        balances=[
            (balance, list(tables.values(balance)), list(tables.balance_notes(balance))) for balance in profile.balances
        ],
        most_characters=MOST_CHARACTERS,
        recommended=recommended,
        steps=steps,
        created=created,
    )


def _facts(profile: DataProfile) -> list[tuple[str, str, str]]:
    """Name, value, and a value to compare it with."""
    near = sum(each.count for each in profile.near if each.other == "train")
    held_out = profile.total - profile.counts["train"]
    facts = [
        ("examples", f"{profile.total:,}", f"{profile.counts['train']:,} to train"),
        ("rows that cannot be used", f"{profile.unusable:,}", f"{profile.empty:,} empty" if profile.empty else ""),
        ("near-duplicates of train", f"{near:,}", f"of {held_out:,} held-out examples"),
    ]
    if profile.lengths is not None:
        middle, most = profile.lengths.covering(0.5), profile.lengths.most()
        facts.append((f"length in {profile.lengths.unit}", f"{middle:,}", f"in the middle; the longest {most:,}"))
    sensitive = sum(each.rows for each in profile.sensitive)
    facts.append(("sensitive text", f"{sensitive:,}", "rows, by form" if sensitive else "none found"))
    return facts
