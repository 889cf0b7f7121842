"""What a command prints when a study ends: tables, the verdict in words, and next steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import Task, TextColumn
from rich.text import Text

from sweep.config.targets import set_name
from sweep.config.task_limits import limits_of
from sweep.config.units import show_bytes, show_seconds
from sweep.methods import FULL, arm_words
from sweep.records import CompletedTrial, StudyRecord, rung_words
from sweep.reports.by_method import has_methods, method_lines
from sweep.reports.forgetting_words import forgetting_words
from sweep.reports.kinds_table import WEAK, kinds_of, kinds_table
from sweep.reports.ladder_kind import is_cut
from sweep.reports.ladder_table import ladder_table, legend, test_table, training_line
from sweep.reports.steps import shown as shown
from sweep.reports.steps import steps
from sweep.reports.tables import PARETO, others, show_metric, trials_table
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, chosen, rank_results
from sweep.verdict.figures import made_at
from sweep.verdict.terms import terms_of
from sweep.verdict.verdict_json import reasons_unjudged
from sweep.verdict.words import nothing_certified
from tasks.printable import printable

WIDTH = 132
"""Columns where the output is not a terminal: a log, a file, a pipe."""


class PlainConsole(Console):
    """Shows text as it is, in tables and titles too: what data, models and configurations say is never markup, emoji codes or
    something to highlight, and what a terminal would act on is written as an escape (`\\x1b`).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`, through which every string goes, those in tables included."""
        return super().render_str(printable(text), **options)


class PlainColumn(TextColumn):
    """A column of progress bars that shows text as `PlainConsole` does."""

    def render(self, task: Task) -> Text:
        """See `TextColumn.render`."""
        return Text(printable(self.text_format.format(task=task)))


def console(*, error: bool = False) -> Console:
    """A console that is wide enough for the tables where the width is not known."""
    terminal = PlainConsole(stderr=error)
    return terminal if terminal.is_terminal else PlainConsole(stderr=error, width=WIDTH)


def print_outcome(record: StudyRecord, paths: Paths, tracking_uri: str | None, out: Console) -> None:
    """Prints tables, verdict and next steps; the same for the same record, whichever command prints them."""
    conclusion = conclude(record)
    if record.trials or conclusion is None:
        _print_search(record, out)
    best = record.best()
    if conclusion is not None:
        _print_ladder(record, conclusion, out)
        lines = answer(record, conclusion)
    elif best is not None:
        lines = words(record, best)
    else:
        return
    out.print()
    for line in lines:
        out.print(line)
    if limits := limits_of(record):
        out.print(f"Limits: {limits}")
    out.print()
    for line in next_steps(record, paths, tracking_uri, conclusion):
        out.print(line, soft_wrap=True)


def _print_search(record: StudyRecord, out: Console) -> None:
    out.print()
    out.print(trials_table(record))
    out.print(
        f"{PARETO} on the Pareto front of loss against adapter size; loss is on tune, in nats per completion token; {_seeds(record)}"
    )
    for line in others(record):
        out.print(line, style="yellow")
    if record.interrupted:
        out.print(f"{record.interrupted} interrupted trial(s) will run again")


def _print_ladder(record: StudyRecord, conclusion: Conclusion, out: Console) -> None:
    out.print()
    out.print(ladder_table(record, conclusion))
    for line in (training_line(record, conclusion), legend(record, conclusion)):
        if line is not None:
            out.print(line)
    tested = test_table(record, conclusion)
    if tested is not None:
        out.print()
        out.print(tested)
    kinds = kinds_of(record, conclusion)
    if kinds is not None:
        out.print()
        out.print(kinds_table(record, kinds))
        if any(row.weak for row in kinds.rows):
            out.print(f"{WEAK} of little use: see the note")


def answer(record: StudyRecord, conclusion: Conclusion) -> Sequence[str]:
    """The verdict in words: headline, costs, how training the rank compares, the reasons why it is not final, and notes."""
    costs = _costs(record, conclusion)
    forgets = " ".join(forgetting_words(record, conclusion))
    note = conclusion.metric_note
    confirmed = next((finding.text for finding in conclusion.findings if finding.kind == "confirmation"), None)
    return [
        f"status: {conclusion.status}. {conclusion.headline}",
        *([costs] if costs else []),
        *([forgets] if forgets else []),
        *([confirmed] if confirmed else []),
        *(f"  - {reason}" for reason in conclusion.reasons),
        *(f"Note: {note}" for note in conclusion.notes() if note != confirmed),
        *([f"Note: {note}"] if note else []),
    ]


def _costs(record: StudyRecord, conclusion: Conclusion) -> str | None:
    """Size and training time of the adapter that is handed out, beside those of the largest rank."""
    rows = rank_results(record, conclusion)
    handed_out = chosen(record, conclusion)
    own = next((row for row in rows if row.rank == conclusion.hands_out), None)
    if handed_out is None or own is None:
        return None
    largest = rows[-1]
    what = "model" if handed_out.arm.method == FULL else "adapter"
    which = f"Its {what}"
    if conclusion.rank is None:
        which = f"Best so far is {rung_words(own.rank)}; its {what}"
    elif own.rank != conclusion.rank:
        which = f"Handed out is rank {own.rank}, which is better than rank {conclusion.rank}; its adapter"
    if is_cut(handed_out) and largest.rank != handed_out.arm.cut_from:  # the uncut adapters could not be evaluated
        return f"{which} is {show_bytes(own.adapter_bytes)}."
    if is_cut(handed_out):
        return (
            f"{which} is {show_bytes(own.adapter_bytes)} against {show_bytes(largest.adapter_bytes)} at rank {largest.rank}, "
            f"from which it is cut; training took {show_seconds(largest.train_seconds)}."
        )
    if own.rank == largest.rank:
        return f"{which} is {show_bytes(own.adapter_bytes)}, training took {show_seconds(own.train_seconds)}."
    return (
        f"{which} is {show_bytes(own.adapter_bytes)} against {show_bytes(largest.adapter_bytes)} {made_at(largest.rank)}, "
        f"training took {show_seconds(own.train_seconds)} against {show_seconds(largest.train_seconds)}."
    )


def _seeds(record: StudyRecord) -> str:
    seeds = sorted({trial.seed for trial in record.trials})
    return f"seed {', '.join(str(seed) for seed in seeds)}"


def words(record: StudyRecord, best: CompletedTrial) -> Sequence[str]:
    """The outcome of a study without a verdict: the best trial, and why no rank is certified."""
    arm, measures, base = best.arm, best.measures, record.base
    gain = f", the base model {base.loss:.4f} and {show_metric(base.measures, record.metric)}" if base else ""
    on = f" on {set_name(arm.targets, record.target_sets)}" if arm.targets else ""
    lines = [
        f"status: undecided. {nothing_certified(terms_of(record.declaration.ladder))}",
        *(f"  - {reason}" for reason in reasons_unjudged(record)),
        f"Best so far: {arm_words(arm)}{on}, learning rate {arm.learning_rate:.1e}: "
        f"loss {measures.loss:.4f}, {record.metric} {show_metric(measures, record.metric)}{gain}.",
        f"Its adapter is {show_bytes(measures.adapter_bytes)}: {measures.trainable_parameters:,} parameters, "
        f"{100 * measures.trainable_fraction:.2f} % of the model.",
    ]
    if has_methods(record):
        lines += method_lines(record)
    smallest = _smallest_close(record, best)
    if smallest is not None:
        lines.append(smallest)
    return lines


def _smallest_close(record: StudyRecord, best: CompletedTrial) -> str | None:
    """Names the smallest rank that loses at most a hundredth of the gain; a hint, not a verdict."""
    gain = record.base.loss - best.loss if record.base is not None else 0.0
    if not gain > 0:
        return None
    close = [trial for trial in record.complete() if trial.loss - best.loss <= 0.01 * gain]
    smallest = min(close, key=lambda trial: trial.measures.adapter_bytes)
    if smallest.measures.adapter_bytes >= best.measures.adapter_bytes:
        return None
    return (
        f"Worth a look: {arm_words(smallest.arm)} keeps 99 % of the gain in this one run with an adapter of "
        f"{show_bytes(smallest.measures.adapter_bytes)} (loss {smallest.loss:.4f})."
    )


def next_steps(
    record: StudyRecord, paths: Paths, tracking_uri: str | None, conclusion: Conclusion | None = None
) -> Sequence[str]:
    """Commands to copy, and the path of the report."""
    page = paths.page(record.name)
    lines = [f"  {step.command}     {step.purpose}" for step in steps(record, conclusion, paths, tracking_uri)]
    report = [f"  {shown(page)}     the report, for a browser"] if page.is_file() else []
    return ["Next:", *lines[:1], *report, *lines[1:]]
