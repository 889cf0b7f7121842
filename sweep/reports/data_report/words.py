"""A profile in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweep.records import TaskData
from sweep.reports.data_report import tables
from sweep.reports.data_report.advice import Advice
from sweep.reports.data_report.profile import PARTS, DataProfile, Rendered
from sweep.reports.step import Step

GIVEN, TRAINED = "|", ">"
"""What stands before each line of an example: tokens that are given, tokens that are trained."""
_BAR = 40
_MOST_CHARACTERS = 1200


def print_profile(
    profile: DataProfile, recommended: Sequence[Advice], steps: Sequence[Step], task: TaskData, out: Console
) -> None:
    """Prints the whole report."""
    _title(profile, out)
    if task.limits:
        _indented([f"limits: {task.limits}"], out)
    _problems(profile, out)
    if profile.total:
        out.print(_parts(profile, task.max_length))
        _indented(_repeats(profile), out)
        _lengths(profile, out)
        _balances(profile, out)
    _heading("Sensitive text (counts only, by form)", out)
    _indented(
        [f"{each.name}: {_rows(each.rows)}, first {each.first}" for each in profile.sensitive] or ["none found"], out
    )
    _examples(profile, out)
    if recommended:
        _heading("Recommended", out)
        for each in recommended:
            _indented([f"{each.about}: {each.text}"], out)
            if each.setting:
                out.print(f"    {each.setting}", style="green", soft_wrap=True)
    out.print()
    out.print("Next:")
    for step in steps:
        out.print(f"  {step.command}     {step.purpose}", soft_wrap=True)


def _title(profile: DataProfile, out: Console) -> None:
    read = f", read with the tokenizer of {profile.model}" if profile.has_tokenizer else ""
    out.print(f"Data of {profile.name}: {profile.total:,} examples{read}", style="bold")
    _indented(profile.understood, out)
    if not profile.has_tokenizer:
        _indented([f"lengths are in words: {profile.model}, with its tokenizer, is not on this machine"], out)


def _problems(profile: DataProfile, out: Console) -> None:
    if profile.unusable:
        empty = f", of which {profile.empty:,} are empty or lack a value" if profile.empty else ""
        out.print(f"{_rows(profile.unusable)} cannot be used{empty}:", style="bold red")
    elif profile.problems:
        out.print("The data cannot be used as it is:", style="bold red")
    for problem in profile.problems:
        out.print(f"  - {problem}", soft_wrap=True)
    if profile.more_problems:
        out.print(f"  ... and {profile.more_problems:,} more")


def _parts(profile: DataProfile, max_length: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1))
    table.add_column("")
    for part in PARTS:
        table.add_column(part, justify="right")
    for line in tables.lines(profile, max_length):
        table.add_row(line.name, *line.values, style="yellow" if line.weak else None)
    return table


def _repeats(profile: DataProfile) -> Iterator[str]:
    for what, shown in tables.pairs(profile):
        yield f"{what}: {', '.join(shown)}"
    if profile.contradictory:
        yield f"prompts with several answers: {profile.contradictory:,}"
    if profile.compared < profile.total:
        yield f"near-duplicates were looked for among the first {profile.compared:,} rows"


def _lengths(profile: DataProfile, out: Console) -> None:
    lengths = profile.lengths
    if lengths is None:
        return
    _heading(f"Length in {lengths.unit}, prompt and answer together, {tables.of_sample(profile)}", out)
    found = tables.bins(lengths)
    most = max(each.share for each in found) or 1.0
    width = len(f"{found[-1].high:,}")
    for each in found:
        bar = "█" * round(_BAR * each.share / most) or ("▏" if each.count else "")
        label = f"{each.low + 1:>{width},} to {each.high:>{width},}"
        out.print(f"  {label}  {bar:{_BAR}} {each.count:>7,}  {100 * each.share:5.1f} %")
    _indented([tables.quantiles(lengths), tables.answers(lengths)], out)


def _balances(profile: DataProfile, out: Console) -> None:
    for balance in profile.balances:
        _heading(f"Balance of {balance.what}s: {len(balance.counts):,} different", out)
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1))
        table.add_column(balance.what)
        for part in PARTS:
            table.add_column(part, justify="right")
        for value, counts in tables.values(balance):
            table.add_row(value, *(f"{count:,}" for count in counts))
        out.print(table)
        _indented(tables.balance_notes(balance), out)


def _examples(profile: DataProfile, out: Console) -> None:
    if not profile.rendered:
        return
    if profile.has_tokenizer:
        _heading(f"As {profile.model} sees them: {GIVEN} is given, {TRAINED} is trained", out)
    else:
        _heading(f"Examples, without a chat template: {GIVEN} is given, {TRAINED} is trained", out)
    for number, example in enumerate(profile.rendered):
        if number:
            out.print()
        out.print(f"  {example_title(example)}", style="dim")
        for mark, text, style in ((GIVEN, example.prompt, None), (TRAINED, example.answer, "bold green")):
            for line in _cut(text.removesuffix("\n")).split("\n"):
                out.print(f"  {mark} {line}", style=style, soft_wrap=True)


def example_title(example: Rendered) -> str:
    """Where the example is, and how long."""
    size = "" if example.tokens is None else f": {example.tokens:,} tokens, {example.trained:,} trained"
    return f"{example.place} ({example.part}){size}{f'; {example.note}' if example.note else ''}"


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters are not shown here ...]\n{text[-half:]}"


def _heading(text: str, out: Console) -> None:
    out.print()
    out.print(text, style="bold")


def _indented(lines: Iterable[str], out: Console) -> None:
    for line in lines:
        for piece in Text(line).wrap(out, max(20, out.width - 4)):
            out.print(f"  {piece.plain.rstrip()}")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
