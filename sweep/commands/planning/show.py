"""Prints the plan of a study: the one implementation behind `plan` and `dry_run=true`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap

from sweep.commands.planning.outlook import Outlook, outlook
from sweep.commands.planning.speeds import busy_words
from sweep.commands.planning.tables import (
    decision_lines,
    decision_table,
    limits_table,
    needs_table,
    parameters_table,
    stages_table,
)
from sweep.commands.planning.timetable import MOST, counts_at
from sweep.config.cores import available_cores
from sweep.config.units import show_seconds
from sweep.console.command_line import program
from sweep.records import Split, StudyPlan, StudyRecord
from sweep.reports.closing import PlainConsole, console
from sweep.reports.forecast import stage_lines
from sweep.store.paths import Paths
from tasks import Splits

WIDTH = 100

UNTOUCHED = "Nothing was trained or written."


def show_outlook(
    title: str,
    lines: Mapping[str, str],
    plan: StudyPlan,
    splits: Splits,
    paths: Paths,
    record: StudyRecord | None,
    *,
    last: str = UNTOUCHED,
) -> None:
    """Prints what a study would do and take.

    Args:
        lines: what is known from the configuration and the data, by a word for each.
        last: the line at the end.
    """
    out = console()
    out = out if out.is_terminal and out.width >= WIDTH else PlainConsole(width=WIDTH)
    view = outlook(plan, splits, paths, record)
    out.print(title, style="bold")
    for name, text in lines.items():
        for line in wrap(
            text, WIDTH, initial_indent=f"  {name:9} ", subsequent_indent=" " * 12, break_on_hyphens=False
        ):
            out.print(line, soft_wrap=True)
    out.print()
    stages = dict(stage_words(plan, record))
    if stages:
        out.print(stages_table(stages, view.times))
    for line in time_lines(plan, record, view):
        out.print(line)
    for table in (parameters_table(view), needs_table(plan, view), limits_table(view)):
        if table is not None:
            out.print()
            out.print(table)
    if not view.limits:
        out.print("This machine can do all of it.")
    if view.decision is not None:
        out.print()
        out.print(decision_table(view.decision))
        for line in decision_lines(plan, view.decision):
            out.print(line)
    out.print()
    out.print(last)


def stage_words(plan: StudyPlan, record: StudyRecord | None) -> Iterator[tuple[str, str]]:
    """The stages that have trials, in words."""
    counts = counts_at(MOST, plan, record)
    on = [split.value for split in counts.base if split is not Split.TEST]
    if on:
        yield "base", f"the unadapted base on {' and '.join(on)}"
    yield from stage_lines(plan, record)
    if not counts.test:
        return
    if plan.declaration.arms:
        yield "test", "base, chosen and most expensive method, evaluated once at the end"
    else:
        yield "test", "base, chosen and largest rank, evaluated once at the end"


def time_lines(plan: StudyPlan, record: StudyRecord | None, view: Outlook) -> Iterator[str]:
    """What the times rest on, and how to know them better."""
    if counts_at(MOST, plan, record).is_done:
        yield "Nothing is left to do: the same command prints the answer again."
        return
    speeds = view.speeds
    if speeds is None or not view.times:
        yield "Time is unknown: not even the size of the base model is. It is known once the base is on this machine."
        return
    tokens = (
        "tokens counted by the base's tokenizer"
        if view.load.counted
        else "tokens guessed from the number of characters"
    )
    yield f"From {speeds.source}, and {tokens}."
    if not view.load.counted:
        yield "The base is not on this machine yet; fetching it comes on top."
    busy = None if speeds.measured else busy_words(available_cores())
    if busy is not None:
        yield f"Now {busy}, so these times may be too long."
    if not speeds.measured:
        yield f"Closer after the first trial, or with `{program('plan')} ... --measure`, which trains a few steps."
    if plan.setup.scoring.certify_examples is None and view.certify_examples is not None and plan.certify:
        yield f"With about {view.certify_examples} certify examples, whose number the study chooses (evaluate.certify_examples)."
    if plan.wall_clock is not None:
        yield f"No trial begins that would end after budget.wall_clock={show_seconds(plan.wall_clock)}."
