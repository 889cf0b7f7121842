"""The house style: originals that keep its rules, rows that say what their originals say, no leaks, and a metric that cannot be fooled."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import tasks
from tasks import jsonl, scoring
from tasks.example import Example
from tasks.generation import SPLITS, Made
from tasks.style import DATA, classifier, originals
from tasks.style.metre import TETRAMETER, last_word, syllables
from tasks.style.originals import Fact
from tasks.style.scoring import kept, key_words

KINDS = ("prose", "verse", "copy")
HYPE = {"amazing", "awesome", "exclusive", "incredible", "luxury", "premium", "stunning", "ultimate", "unique"}


@pytest.fixture(scope="module")
def rows() -> Made:
    raw = jsonl.load(DATA)
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


def facts(kind: str) -> list[Fact]:
    return [fact for original in originals.read(kind) for fact in original.facts]


@pytest.mark.parametrize("kind", KINDS)
def test_every_original_is_there_once_and_complete(kind: str) -> None:
    every = originals.read(kind)
    assert len({original.title for original in every}) == len(every)
    assert min(len(original.facts) for original in every) == 5
    styled_texts = Counter(fact.styled for fact in facts(kind))
    assert [text for text, count in styled_texts.items() if count > 1] == []
    for fact in facts(kind):
        assert fact.plain.endswith("."), fact
        assert fact.plain.removesuffix(".").lower() != fact.styled.removesuffix(".").lower()


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("The house stands black against the night", 8),
        ("A comb lies tangled thick with hair", 8),
        ("The violin has found its theme", 8),
        ("gates houses horses churches ached wounded", 1 + 2 + 2 + 2 + 1 + 2),
        ("I", 1),
    ],
)
def test_syllables_are_counted(line: str, count: int) -> None:
    assert syllables(line) == count


def test_every_line_of_verse_is_a_tetrameter_and_rhymes_on_a_word_of_its_own() -> None:
    for group in originals.read("verse"):
        rhymes = group.title.partition(": ")[2].split()
        ends = [last_word(fact.styled) for fact in group.facts]
        assert set(ends) <= set(rhymes)
        assert len(set(ends)) == len(ends)
        assert {
            fact.styled: syllables(fact.styled) for fact in group.facts if syllables(fact.styled) != TETRAMETER
        } == {}


def test_copy_is_quiet() -> None:
    for fact in facts("copy"):
        assert "!" not in fact.styled
        assert not HYPE & set(re.findall(r"[a-z]+", fact.styled.lower()))


def test_each_original_is_in_one_split(rows: Made) -> None:
    texts = {
        split: {kind: "\n".join(row.completion for row in rows[split] if row.kind == kind) for kind in KINDS}
        for split in SPLITS
    }
    for kind in KINDS:
        for fact in facts(kind):
            assert sum(fact.styled in texts[split][kind] for split in SPLITS) <= 1, fact
        for original in originals.read(kind):
            used = [split for split in SPLITS if any(fact.styled in texts[split][kind] for fact in original.facts)]
            assert len(used) == 1, original.title


@pytest.mark.parametrize("split", SPLITS)
def test_a_completion_says_what_the_prompt_says_in_its_order(split: str, rows: Made) -> None:
    known = {kind: {fact.styled: fact.plain for fact in facts(kind)} for kind in KINDS}
    names = {original.title for original in originals.read("copy")}
    for row in rows[split]:  # type: ignore[index]
        text, kind = row.completion, str(row.kind)
        if kind == "copy":
            name, _, text = text.partition(". ")
            assert name in names
            assert name in row.prompt
        parts = told(text, known[kind])
        places = [row.prompt.index(known[kind][part].removesuffix(".")) for part in parts]
        assert places == sorted(places), row
        assert len(parts) == {"prose": 2, "verse": 4, "copy": 3}[kind] or len(parts) in (1, 2)


def told(text: str, known: dict[str, str]) -> list[str]:
    """The originals that a text is made of, with nothing between them but ends of lines and of clauses."""
    parts = sorted((part for part in known if part in text), key=text.index)
    parts = [part for part in parts if not any(part != other and part in other for other in parts)]
    left = text
    for part in parts:
        left = left.replace(part, "", 1)
    assert re.fullmatch(r"[\s,;.]*", left), left
    return parts


def test_verse_has_two_or_four_lines_which_rhyme_in_pairs(rows: Made) -> None:
    group_of = {fact.styled: original.title for original in originals.read("verse") for fact in original.facts}
    for row in (row for split in SPLITS for row in rows[split] if row.kind == "verse"):
        lines = [line if line.endswith("?") else line.rstrip(",;.") for line in row.completion.split("\n")]
        assert len(lines) in (2, 4)
        groups = [group_of[line] for line in lines]
        assert groups[::2] == groups[1::2]
        assert (
            "our lines" in row.prompt or "tanza" in row.prompt or "4 lines" in row.prompt or "wo couplets" in row.prompt
        ) == (len(lines) == 4)


def test_every_example_has_key_words_of_its_content(rows: Made) -> None:
    counts = [len(key_words(row)) for split in SPLITS for row in rows[split]]
    assert min(counts) >= 1
    assert sum(counts) / len(counts) > 3


def test_kept_is_the_share_of_key_words() -> None:
    example = Example("Gothic prose: A man hears a bell.", "The man, alone, heard a bell.", kind="prose")
    assert key_words(example) == {"man", "hear", "bell"}
    assert kept("hearing a man", example) == pytest.approx(2 / 3)
    assert kept("gothic prose", example) == 0


def test_an_unreadable_original_is_reported_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prose.txt").write_text("# a scene\nplain | styled\nno bar\n")
    monkeypatch.setattr(originals, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"prose\.txt:3: must be"):
        originals.read("prose")


def mean(rows: Sequence[Example], answers: Sequence[str]) -> float:
    return scoring.score_answers("style:styled", answers, rows)


@pytest.mark.slow
def test_only_the_style_with_the_content_scores(rows: Made) -> None:
    rng = random.Random(5)
    test = rows["test"]
    of_kind = {kind: [row.completion for row in rows["train"] if row.kind == kind] for kind in KINDS}
    elsewhere = [rng.choice(of_kind[str(row.kind)]) for row in test]
    own = [row.completion.replace(" the ", " that ", 1).replace("The ", "That ", 1) + "." for row in test]
    assert mean(test, own) > 0.7
    assert mean(test, [row.prompt for row in test]) < 0.1
    assert mean(test, [re.sub(r"^\W*(.*)$", r"\1.", row.prompt, flags=re.MULTILINE) for row in test]) < 0.1
    plain = {fact.styled: fact.plain.removesuffix(".") for kind in KINDS for fact in facts(kind)}
    joined = [", and ".join(told for text, told in plain.items() if text in row.completion) + "." for row in test]
    assert mean(test, joined) < 0.1
    assert mean(test, [shuffled(row.completion, rng) for row in test]) < 0.3
    assert mean(test, elsewhere) < 0.15
    assert mean(test, [shuffled(f"{text} {row.prompt}", rng) for text, row in zip(elsewhere, test, strict=True)]) < 0.3
    assert mean(test, ["thou ghastly spectre upon the tomb of doom"] * len(test)) < 0.05
    others = [next(other.completion for other in rng.sample(test, 50) if other.kind != row.kind) for row in test]
    assert mean(test, others) < 0.02
    assert mean(test, [f"{row.completion} " + "And so it went on. " * 40 for row in test]) < 0.3


@pytest.mark.slow
def test_the_card_shows_the_errors_of_the_classifier(rows: Made) -> None:
    card = (Path(str(tasks.__file__)).parent / "style" / "README.md").read_text(encoding="utf-8")
    assert classifier.error_table(rows["validation"]) in card


@pytest.mark.slow
def test_scores_are_the_same_when_the_classifier_is_fitted_again(rows: Made) -> None:
    texts = [row.prompt for row in rows["test"][:20]] + [row.completion for row in rows["test"][:20]]
    first = classifier.probabilities_of()(texts)
    classifier.probabilities_of.cache_clear()
    assert classifier.probabilities_of()(texts) == first


def shuffled(text: str, rng: random.Random) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)
