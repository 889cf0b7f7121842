"""What the report on data keeps of rows: counts that are exact, a fair sample, and no row that is not needed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from sweep.commands.data_report.repeats import SeenRows
from sweep.commands.data_report.sample import Sample
from sweep.commands.data_report.survey import survey
from sweep.commands.data_report.tallies import MOST_ANSWERS, Tallies
from sweep.reports.data_report.profile import PARTS
from tasks import Example, RawSplits, row_stream
from tasks.minhash import NearDuplicateSearch


class TestRepeats:
    """Equal rows are found as a comparison of all rows finds them."""

    def test_against_every_pair(self) -> None:
        chance = np.random.default_rng(0)
        parts, asked, answers = (chance.integers(0, most, 200).tolist() for most in (4, 60, 2))
        with NearDuplicateSearch() as search:
            seen = SeenRows(search)
            for number, (part, prompt, answer) in enumerate(zip(parts, asked, answers, strict=True)):
                seen.add(part, 0, number, f"prompt {prompt}", f"answer {answer}")
            within, across = (
                seen.within(lambda source, number: str(number)),
                seen.across(lambda source, number: str(number)),
            )
            contradictory = seen.contradictory()
        keys = list(zip(parts, asked, answers, strict=True))
        for each in within:
            part = PARTS.index(each.part)
            repeated = [n for n in range(200) if parts[n] == part and keys[n] in keys[:n]]
            assert each.count == len(repeated)
            assert [pair.here for pair in each.first] == [str(n) for n in repeated[:3]]
            assert [pair.there for pair in each.first] == [str(keys.index(keys[n])) for n in repeated[:3]]
        for each in across:
            there = {asked[n] for n in range(200) if PARTS[parts[n]] == each.other}
            assert each.count == sum(PARTS[parts[n]] == each.part and asked[n] in there for n in range(200))
        several = {
            prompt for prompt in asked if len({a for p, a in zip(asked, answers, strict=True) if p == prompt}) > 1
        }
        assert contradictory == len(several)


class TestSample:
    def test_all_of_a_few(self) -> None:
        sample = Sample(5)
        for number in range(5):
            sample.add(0, 0, number, Example(f"p{number}", "c"), 10 * number)
        assert sample.is_whole
        assert [sampled.number for sampled in sample.examples()] == [0, 1, 2, 3, 4]
        assert [sampled.number for sampled in sample.longest()] == [4, 3, 2]

    def test_every_row_has_the_same_chance(self) -> None:
        sample = Sample(500)
        for number in range(5000):
            sample.add(0, 0, number, Example("p", "c"), 1)
        numbers = np.array([sampled.number for sampled in sample.examples()])
        assert not sample.is_whole
        assert len(set(numbers.tolist())) == 500
        assert np.abs(np.histogram(numbers, bins=5, range=(0, 5000))[0] - 100).max() < 40


def test_text_is_no_class() -> None:
    tallies = Tallies()
    for number in range(10 * MOST_ANSWERS):
        tallies.add(Example("p", f"answer {number}", kind="a" if number % 2 else None), 0)
    (kinds,) = tallies.balances()
    assert (kinds.what, kinds.counts) == ("kind", {"a": (5 * MOST_ANSWERS, 0, 0, 0)})


@pytest.mark.slow
def test_rows_are_not_held() -> None:
    """Of 20,000 rows, no more examples are in memory at any moment than of 10,000."""

    def most_alive(count: int) -> int:
        alive: list[int] = []

        def every() -> Iterator[row_stream.Row]:
            for number in range(count):
                if number % 2000 == 1999:
                    gc.collect()
                    alive.append(sum(type(thing) is Example for thing in gc.get_objects()))
                yield (
                    0,
                    number,
                    Example(f"question {number} " + " ".join(str(number % 89 + k) for k in range(9)), "yes"),
                )

        source = row_stream.of_splits("made", RawSplits((), (), ())).sources
        with NearDuplicateSearch() as search:
            result = survey(row_stream.RowStream(source, every), search, 0.5)
            assert search.count == result.counts[0] == count
        return max(alive)

    gc.unfreeze()  # what other tests have frozen counts, too
    gc.collect()
    before = sum(type(thing) is Example for thing in gc.get_objects())
    assert most_alive(20_000) - before <= 10_000 + 2048 + 10  # the sample, a batch, the longest
