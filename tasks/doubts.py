"""Warnings about rows that can be used, and may not be meant as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tasks.example import Example
from tasks.metrics import alike, normalise
from tasks.readings import Reading
from tasks.suggest import closest

_PAIRS_SHOWN = 3


def repeated_rows(reading: Reading) -> list[str]:
    """Warns about rows that are there several times."""
    first_seen: dict[Example, int] = {}
    pairs = [
        (first_seen[example], number)
        for number, example in reading.rows
        if first_seen.setdefault(example, number) != number
    ]
    places = _places((reading.origin.short(later), reading.origin.short(earlier)) for earlier, later in pairs)
    return [f"{reading.origin.title}: {counted(len(pairs), 'row')} repeated: {places}"] if pairs else []


def contradictions(reading: Reading) -> list[str]:
    """Warns about prompts with several labels, or several completions if rows have no label."""
    first_seen: dict[str, tuple[int, str]] = {}
    pairs: dict[str, tuple[int, int]] = {}
    for number, example in reading.rows:
        answer = example.completion if example.label is None else example.label
        earlier, said = first_seen.setdefault(example.asked, (number, answer))
        if said != answer:
            pairs.setdefault(example.asked, (earlier, number))
    places = _places((reading.origin.short(later), reading.origin.short(earlier)) for earlier, later in pairs.values())
    return (
        [f"{reading.origin.title}: {counted(len(pairs), 'prompt')} answered in several ways: {places}"] if pairs else []
    )


def shared_prompts(first: Reading, second: Reading) -> list[str]:
    """Warns about prompts of the second split that are in the first one, too."""
    home = {example.asked: number for number, example in reversed(first.rows)}
    pairs = [(number, home[example.asked]) for number, example in second.rows if example.asked in home]
    if not pairs:
        return []
    places = _places((second.origin.short(here), first.origin.short(there)) for here, there in pairs)
    return [
        f"{second.origin.title}: {len(pairs)} of {counted(second.count, 'prompt')} in {first.origin.title} too: {places}"
    ]


def unknown_keys(readings: Iterable[Reading]) -> list[str]:
    """Warns about keys without a meaning."""
    total: Counter[str] = Counter()
    for reading in readings:
        total.update(dict(reading.unknown))
    if not total:
        return []
    named = [f'"{key}" in {counted(count, "row")}{_nearest_key(key)}' for key, count in total.most_common(10)]
    rest = [f"and {counted(len(total) - 10, 'other key')}"] if len(total) > 10 else []
    return [f"keys without a meaning are ignored: {', '.join(named + rest)}"]


def _nearest_key(key: str) -> str:
    meant = closest(key, ("label", "kind"))
    return f' (did you mean "{meant}"?)' if meant else ""


def unmatched_labels(readings: Iterable[Reading]) -> list[str]:
    """Warns about labels of which none is what its row should be answered with."""
    labelled = [row for reading in readings for _, row in reading.rows if row.label is not None]
    if not labelled or any(normalise(row.label or "") == normalise(row.completion) for row in labelled):
        return []
    return [
        f'no label equals its row\'s completion ("{labelled[0].label}", "{labelled[0].completion}"): accuracy and '
        "macro_f1 compare what the model writes with the label, and would stay at 0"
    ]


def doubtful_labels(readings: Iterable[Reading]) -> list[str]:
    """Warns about a single label, and about labels that are written in several ways."""
    labels = Counter(row.label for reading in readings for _, row in reading.rows if row.label is not None)
    if len(labels) == 1 and labels.total() > 1:
        return [f'every label is "{next(iter(labels))}": there is nothing to tell apart']
    pairs = alike(labels)
    if not pairs:
        return []
    named = "; ".join(", ".join(f'"{label}" ({labels[label]})' for label in ways) for ways in pairs[:_PAIRS_SHOWN])
    return [f"labels that only differ in case, white space or a final period are different classes: {named}"]


def _places(pairs: Iterable[tuple[str, str]]) -> str:
    named = [f"{here} = {there}" for here, there in pairs]
    return ", ".join(named[:_PAIRS_SHOWN]) + (", ..." if len(named) > _PAIRS_SHOWN else "")


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
