"""One pass over all rows: what is counted, what is kept of each, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.commands.data_report.repeats import SeenRows
from sweep.commands.data_report.sample import Sample
from sweep.commands.data_report.tallies import Tallies
from sweep.reports.data_report.profile import PARTS, Sensitive
from tasks import Example, sensitive
from tasks.checks import FEWEST_ROWS
from tasks.minhash import NearDuplicateSearch
from tasks.readings import Flaw
from tasks.row_stream import RowStream, Unreadable
from tasks.splits import too_few_unseen

PROBLEMS_SHOWN = 20
"""Problems that are shown by file and line; the others are counted."""
_BATCH = 2048


@dataclass(slots=True)
class Survey:
    """What a pass over the rows has found.

    Attributes:
        counts: usable examples by part.
        sensitive: rows with each kind of sensitive text, and the place of the first.
    """

    stream: RowStream
    seen: SeenRows
    sample: Sample = field(default_factory=Sample)
    tallies: Tallies = field(default_factory=Tallies)
    counts: list[int] = field(default_factory=lambda: [0] * len(PARTS))
    unusable: int = 0
    empty: int = 0
    problems: list[str] = field(default_factory=list)
    more_problems: int = 0
    sensitive: dict[str, Sensitive] = field(default_factory=dict)

    def place(self, source: int, number: int) -> str:
        """File and line of a row."""
        return self.stream.sources[source].origin.short(number)

    def refuse(self, source: int, number: int, flaw: Flaw) -> None:
        """Notes a row that cannot be used, or a file."""
        whole = isinstance(flaw, Unreadable)
        self._report(flaw.text if whole else f"{self.stream.sources[source].origin.at(number)}: {flaw.text}")
        if not whole:
            self.unusable += 1
            self.empty += "is empty" in flaw.text or "missing" in flaw.text

    def check_sizes(self) -> None:
        """Notes what is wrong with the splits as a whole."""
        if self.more_problems or any(": is missing;" in text for text in self.problems):
            return
        train, tune, certify, test = self.counts
        for name, count, fewest in (
            ("train", train, FEWEST_ROWS),
            ("validation", tune + certify, FEWEST_ROWS),
            ("test", test, 1),
        ):
            if count < fewest:
                drawn = (
                    "; it is drawn from train, so add rows, or give it a file of its own"
                    if name in self.stream.drawn
                    else ""
                )
                self._report(
                    f"{name}: {count} usable {'row' if count == 1 else 'rows'}; at least {fewest} needed{drawn}"
                )
        if tune + certify >= FEWEST_ROWS and not (tune and certify):
            empty = "certify" if tune else "tune"
            self._report(
                f"validation: the {empty} split would be empty: rows are divided by a hash of their prompt; add validation rows "
                "with different prompts, or move task.tune_fraction towards 0.5"
            )
        for part, rows in self.seen.left_out().items():
            for problem in too_few_unseen(part, rows, self.counts[PARTS.index(part)]):
                self._report(problem)

    def _report(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append(problem)
        else:
            self.more_problems += 1


def survey(
    stream: RowStream,
    search: NearDuplicateSearch,
    tune_fraction: float,
    advance: Callable[[float], None] = lambda share: None,
) -> Survey:
    """Reads every row once; a few thousand texts are in memory at a time."""
    result = Survey(stream, SeenRows(search))
    batch: list[tuple[int, int, Example]] = []
    for source, number, value in stream.rows():
        if isinstance(value, Flaw):
            result.refuse(source, number, value)
            continue
        part = PARTS.index(stream.part(source, value, tune_fraction))
        asked = value.asked
        result.counts[part] += 1
        result.seen.add(part, source, number, asked, value.completion)
        result.tallies.add(value, part)
        result.sample.add(part, source, number, value, len(asked) + len(value.completion))
        batch.append((source, number, value))
        if len(batch) == _BATCH:
            _look_into(batch, result)
            batch = []
            advance(stream.share())
    _look_into(batch, result)
    result.check_sizes()
    return result


def _look_into(batch: list[tuple[int, int, Example]], result: Survey) -> None:
    """What is done with many texts at once."""
    prompts = [said(example) for _, _, example in batch]
    result.seen.compare(prompts)
    texts = [f"{prompt} {example.completion}" for prompt, (_, _, example) in zip(prompts, batch, strict=True)]
    for name, places in sensitive.rows_with(texts).items():
        known = result.sensitive.get(name)
        first = known.first if known else result.place(*batch[places[0]][:2])
        result.sensitive[name] = Sensitive(name, (known.rows if known else 0) + len(places), first)


def said(example: Example) -> str:
    """All that the model is given, as plain text: the earlier messages of a chat, and the prompt."""
    if not example.history:
        return example.prompt
    return "\n".join([*(text for _, text in example.history), example.prompt])
