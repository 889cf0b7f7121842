"""The figures of a profile as rows of text, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile

import numpy as np

from sweep.reports.data_report.profile import PARTS, Balance, DataProfile, Lengths, Repeats, repeats_of
from sweep.verdict.kinds import LEAST_EXAMPLES
from tasks import sensitive
from tasks.metrics import alike
from tasks.printable import printable
from tasks.splits import SEEN_BEFORE

MOST_BINS = 12
MOST_VALUES = 8
"""Labels and kinds that are listed one by one."""
_LONGEST_NAME = 40
_PAIRS = 3
_NICE = (1, 2, 2.5, 5)
_SHARES = (0.5, 0.9, 0.99, 0.995)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table of parts: a name and a value for each of PARTS; `-` where it has no meaning."""

    name: str
    values: tuple[str, ...]
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Bin:
    """Lengths above `low`, up to `high`."""

    low: int
    high: int
    count: int
    share: float


def lines(profile: DataProfile, max_length: int) -> Iterator[Line]:
    """The table of parts."""
    yield Line("examples", tuple(f"{profile.counts[part]:,}" for part in PARTS))
    yield _line("repeated: prompt and answer", [repeats_of(profile.within, part, part) for part in PARTS])
    yield from _across("same prompt as in", profile.across, always=True)
    if profile.left_out:
        judging = [f"{profile.left_out.get(part, 0):,}" if part in SEEN_BEFORE else "-" for part in PARTS]
        yield Line("left out of judging", tuple(judging), weak=True)
    yield from _across("near-duplicates of", profile.near, always=True)
    if profile.lengths is not None and profile.lengths.unit == "tokens":
        yield _too_long(profile, profile.lengths, max_length)


def _across(name: str, repeats: Sequence[Repeats], *, always: bool) -> Iterator[Line]:
    """A line for train, and for each other part that is repeated in a later one."""
    for number, other in enumerate(PARTS[:-1]):
        found = [repeats_of(repeats, part, other) for part in PARTS]
        if (always and number == 0) or any(each is not None and each.count for each in found):
            yield _line(f"{name} {other}", found)


def _line(name: str, found: Sequence[Repeats | None]) -> Line:
    values = tuple("-" if each is None else f"{'' if each.complete else 'at least '}{each.count:,}" for each in found)
    return Line(name, values, weak=any(each is not None and each.count for each in found))


def _too_long(profile: DataProfile, lengths: Lengths, max_length: int) -> Line:
    limit = min(max_length, profile.context or max_length)
    values: list[str] = []
    any_ = False
    for part in PARTS:
        longer, looked = lengths.longer(part, limit)
        any_ = any_ or longer > 0
        if not looked:
            values.append("-")
        elif lengths.sampled:
            values.append(f"about {longer / looked * profile.counts[part]:,.0f}" if longer else "0")
        else:
            values.append(f"{longer:,}")
    return Line(f"longer than {limit} tokens", tuple(values), weak=any_)


def bins(lengths: Lengths) -> list[Bin]:
    """A histogram with round borders; all above the last border is in the last bin."""
    high = max(lengths.covering(0.99), 1)
    width = next(
        width
        for power in range(12)
        for step in _NICE
        if (width := step * 10**power) * MOST_BINS >= high and width == int(width)
    )
    borders = [int(width) * number for number in range(1, 1 + int(np.ceil(high / width)))]
    counts = np.diff([0, *np.searchsorted(lengths.whole, borders, side="right"), len(lengths.whole)])
    tops = [*borders, lengths.most()]
    lows = [0, *borders]
    every = [
        Bin(low, top, int(count), float(count) / len(lengths.whole))
        for low, top, count in zip(lows, tops, counts, strict=True)
        if top > low or count
    ]
    return list(dropwhile(lambda each: not each.count, every))


def quantiles(lengths: Lengths) -> str:
    """`half up to 31, 90 % up to 55, ..., the longest 310 tokens`."""
    parts = [f"{_share(share)} up to {lengths.covering(share):,}" for share in _SHARES]
    longest = f", the longest {lengths.most():,}"
    where = f" ({lengths.longest[0][0]})" if lengths.longest else ""
    return f"{', '.join(parts)}{longest} {lengths.unit}{where}"


def answers(lengths: Lengths) -> str:
    """The lengths of the answers alone."""
    middle, most = lengths.answers[(len(lengths.answers) - 1) // 2], lengths.answers[-1]
    return f"answers: half up to {int(middle):,}, the longest {int(most):,} {lengths.unit}"


def _share(share: float) -> str:
    return "half" if share == 0.5 else f"{100 * share:.3g} %"


def of_sample(profile: DataProfile) -> str:
    """`of a random sample of 10,000 examples`, or `of all examples`."""
    lengths = profile.lengths
    return (
        f"of a random sample of {len(lengths.whole):,} examples" if lengths and lengths.sampled else "of all examples"
    )


def values(balance: Balance) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The most frequent values with their counts by part, and the others together."""
    listed = list(balance.counts.items())
    for value, counts in listed[:MOST_VALUES]:
        yield shortened(value), counts
    rest = listed[MOST_VALUES:]
    if rest:
        sums = tuple(sum(counts[part] for _, counts in rest) for part in range(len(PARTS)))
        yield f"{len(rest):,} others", sums


def balance_notes(balance: Balance) -> Iterator[str]:
    """What stands out: a value that is nearly all, values that are not in train, kinds with too few examples to judge."""
    total = sum(counts[0] for counts in balance.counts.values())
    name, counts = next(iter(balance.counts.items()))
    if total and len(balance.counts) > 1:
        yield (
            f"always answering '{shortened(name)}' is right in {100 * counts[0] / total:.3g} % of train"
            if balance.what != "kind"
            else f"{shortened(name)} is {100 * counts[0] / total:.3g} % of train"
        )
    if balance.what != "kind":
        if len(balance.counts) == 1:
            yield f"every {balance.what} is '{shortened(name)}': there is nothing to tell apart"
        for ways in alike(balance.counts)[:_PAIRS]:
            written = ", ".join(f"'{shortened(way)}'" for way in ways)
            yield f"different {balance.what}s that only differ in case, white space or a final period: {written}"
    lacking = balance.only_outside_train()
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        yield f"not in train: {', '.join(map(shortened, lacking[:3]))}{more}"
    few = [value for value, counts in balance.counts.items() if 0 < counts[2] < LEAST_EXAMPLES]
    if balance.what == "kind" and few:
        yield (
            f"kinds with fewer than {LEAST_EXAMPLES} certify examples are not judged by themselves: "
            f"{', '.join(map(shortened, few[:5]))}{f' and {len(few) - 5} more' if len(few) > 5 else ''}"
        )


def shortened(value: str) -> str:
    """A value in one short line, without what is sensitive."""
    text = printable(" ".join(sensitive.masked(value).split()))
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."


def pairs(profile: DataProfile) -> Iterator[tuple[str, list[str]]]:
    """The first few pairs of rows of each kind of repetition, by their places."""
    for what, repeats in (
        ("repeated", profile.within),
        ("same prompt", profile.across),
        ("near-duplicates", profile.near),
    ):
        for each in repeats:
            if each.count:
                between = f"in {each.part}" if each.part == each.other else f"{each.part} and {each.other}"
                shown = [
                    f"{pair.here} = {pair.there}" + (f" ({pair.similarity:.2f})" if pair.similarity is not None else "")
                    for pair in each.first
                ]
                yield f"{what}, {between}", [*shown, *(["..."] if each.count > len(each.first) else [])]
