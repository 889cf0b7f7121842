"""What every built-in domain holds to: reproducible data, no leaks, a data card with its true figures, and a metric that works."""

import importlib
import random
import re
from collections import Counter
from pathlib import Path

import pytest

import tasks
from tasks import generation, registry, scoring
from tasks.generation import SPLITS, Made
from tasks.near_duplicates import grams, jaccard, near_duplicates
from tasks.nearest import nearest_table

SLOW = ("code", "kfc", "legal", "medical", "style")
DOMAINS = ("pharma", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW))
AT_LEAST = {"train": 1000, "validation": 300, "test": 300}
ALIKE = 0.6
HEADINGS = ("## How it is made", "## Counts", "## Without a model", "## Known limits", "## Licence")


def folder_of(domain: str) -> Path:
    return Path(str(tasks.__file__)).parent / domain


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def rows(domain: str) -> Made:
    raw = registry.load(domain)
    assert raw.warnings == ()
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


@pytest.fixture(scope="module")
def card(domain: str) -> str:
    return (folder_of(domain) / "README.md").read_text(encoding="utf-8")


def test_generating_again_gives_the_committed_bytes_and_the_counts_of_the_card(
    domain: str, card: str, tmp_path: Path
) -> None:
    generate = importlib.import_module(f"tasks.{domain}.generate")
    made = generate.examples()
    generation.write(made, tmp_path)
    for split in SPLITS:
        file = folder_of(domain) / "data" / f"{split}.jsonl"
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), f"run python -m tasks.{domain}.generate"
    assert generate.summary(made) in card


def test_the_card_says_how_the_data_was_made_and_what_it_is_not(card: str) -> None:
    assert [heading for heading in HEADINGS if heading not in card] == []


def test_the_card_has_the_score_of_the_nearest_neighbour(domain: str, card: str, rows: Made) -> None:
    assert nearest_table(registry.find(domain).metric, rows["train"], rows["test"]) in card


def test_there_are_enough_rows_and_every_kind_is_in_every_split(domain: str, rows: Made) -> None:
    assert {split: len(rows[split]) >= least for split, least in AT_LEAST.items()} == dict.fromkeys(SPLITS, True)
    kinds = [{row.kind for row in rows[split]} for split in SPLITS]
    assert kinds[0] == kinds[1] == kinds[2]
    assert kinds[0] == set(registry.find(domain).task.kinds)


def test_right_answers_score_one_and_empty_ones_nothing(domain: str, rows: Made) -> None:
    metric = registry.find(domain).metric
    chosen = random.Random(1).sample(rows["test"], 40)
    assert [scoring.score_answer(metric, row.completion, row) for row in chosen] == [1.0] * len(chosen)
    assert sum(scoring.score_answer(metric, "", row) for row in chosen) == 0


def test_no_prompt_is_there_twice_and_none_is_nearly_there_in_another_split(rows: Made) -> None:
    places = [(split, row) for split in SPLITS for row in rows[split]]
    found = Counter(" ".join(re.findall(r"\w+", row.asked.lower())) for _, row in places)
    assert [text for text, count in found.items() if count > 1] == []
    pairs = [
        (places[one][1].asked, places[other][1].asked)
        for one, other, _ in near_duplicates([row.asked for _, row in places])
        if places[one][0] != places[other][0]
    ]
    assert pairs == []


def test_no_two_of_thirty_random_rows_are_alike(rows: Made) -> None:
    everything = [row for split in SPLITS for row in rows[split]]
    for seed in range(20):
        texts = [grams(row.asked) for row in random.Random(seed).sample(everything, 30)]
        pairs = [jaccard(one, other) for place, one in enumerate(texts) for other in texts[:place]]
        assert max(pairs) < ALIKE
