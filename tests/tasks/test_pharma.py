"""The pharma data set: reproducible, without leaks, and with answers that follow from the prompts."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import pytest

from tasks import jsonl
from tasks.example import Example, RawSplits
from tasks.pharma import DATA
from tasks.pharma.questions import normalise

SPLITS = ("train", "validation", "test")
KINDS = {"normalise", "indication", "bid", "document", "term"}
STORAGE = {
    "store below 25 C",
    "store below 30 C",
    "store below 25 C, protect from light",
    "store below 30 C, protect from light",
    "store below 25 C, keep dry",
    "store below 30 C, keep dry",
    "refrigerate at 2-8 C",
}
FOLDER = DATA.parent


def table(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def listed(cell: str) -> set[str]:
    return set(cell.split("; "))


def whole(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


MEDICINES = table("medicines.csv")


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[Example, ...]]:
    raw: RawSplits = jsonl.load(DATA)
    assert raw.warnings == ()
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


def of_kind(rows: dict[str, tuple[Example, ...]], kind: str) -> Iterator[Example]:
    return (row for split in SPLITS for row in rows[split] if row.kind == kind)


def test_rows_have_exactly_three_keys_and_are_ascii() -> None:
    for split in SPLITS:
        for line in (DATA / f"{split}.jsonl").read_bytes().splitlines():
            assert line.isascii()
            row = json.loads(line)
            assert list(row) == ["prompt", "completion", "kind"]
            assert (row["prompt"] + row["completion"]).isascii()


def test_there_are_enough_rows_of_every_kind(rows: dict[str, tuple[Example, ...]]) -> None:
    assert {split: len(rows[split]) for split in SPLITS} == {"train": 5000, "validation": 1100, "test": 1100}
    for split in SPLITS:
        counts = Counter(row.kind for row in rows[split])
        assert set(counts) == KINDS
        assert min(counts.values()) >= len(rows[split]) // 20


def test_prompts_are_short_and_completions_bare(rows: dict[str, tuple[Example, ...]]) -> None:
    for split in SPLITS:
        words = [len(row.prompt.split()) for row in rows[split]]
        assert max(words) <= 80
        assert sum(words) / len(words) <= 40
        for row in rows[split]:
            assert row.prompt.endswith("\nAnswer:")
            assert row.completion == row.completion.strip()
            assert not row.completion.endswith(".")


def test_no_medicine_is_named_in_two_splits(rows: dict[str, tuple[Example, ...]]) -> None:
    texts = {split: "\n".join(f"{row.prompt} {row.completion}" for row in rows[split]) for split in SPLITS}
    lowered = {split: text.lower() for split, text in texts.items()}

    def is_named(inn: str, split: str) -> bool:
        # the substring search is a hundred times faster than the pattern and rules most splits out
        return inn.lower() in lowered[split] and whole(inn).search(texts[split]) is not None

    homes = {medicine["inn"]: [split for split in SPLITS if is_named(medicine["inn"], split)] for medicine in MEDICINES}
    assert {inn: splits for inn, splits in homes.items() if len(splits) != 1} == {}
    shares = Counter(splits[0] for splits in homes.values())
    assert 0.65 < shares["train"] / len(homes) < 0.75
    assert min(shares["validation"], shares["test"]) / len(homes) > 0.12


def test_medicines_that_share_a_word_are_in_one_split(rows: dict[str, tuple[Example, ...]]) -> None:
    homes: dict[str, set[str]] = {}
    for split in SPLITS:
        for row in rows[split]:
            if row.kind == "normalise":
                for word in row.completion.split(";")[0].lower().split():
                    homes.setdefault(word, set()).add(split)
    assert {word: splits for word, splits in homes.items() if len(splits) > 1} == {}


@pytest.mark.parametrize(
    ("kind", "head", "name", "columns"),
    [
        ("term", "Definition: ", "terms.csv", ("term", "definition")),
        ("document", "Situation: ", "documents.csv", ("document", "situation")),
    ],
)
def test_texts_are_used_once_and_answered_by_the_table(
    rows: dict[str, tuple[Example, ...]], kind: str, head: str, name: str, columns: tuple[str, str]
) -> None:
    answer, text = columns
    answers = {row[text]: row[answer] for row in table(name)}
    asked = {
        split: {
            row.prompt.split(head)[1].split("\nChoices: ")[0]: row.completion for row in rows[split] if row.kind == kind
        }
        for split in SPLITS
    }
    for first, second in combinations(SPLITS, 2):
        assert not set(asked[first]) & set(asked[second])
    assert {text: answer for split in SPLITS for text, answer in asked[split].items()} == answers


@pytest.mark.parametrize("kind", ["term", "document"])
def test_one_of_three_choices_is_right_and_no_place_gives_it_away(
    rows: dict[str, tuple[Example, ...]], kind: str
) -> None:
    places: Counter[int] = Counter()
    for row in of_kind(rows, kind):
        choices = row.prompt.split("\nChoices: ")[1].removesuffix("\nAnswer:").split("; ")
        assert len(set(choices)) == 3
        places[choices.index(row.completion)] += 1
    assert max(places.values()) < 0.45 * places.total()


def test_held_out_answers_of_closed_sets_are_in_train(rows: dict[str, tuple[Example, ...]]) -> None:
    for kind in KINDS - {"normalise"}:
        trained = {row.completion for row in rows["train"] if row.kind == kind}
        for split in ("validation", "test"):
            assert {row.completion for row in rows[split] if row.kind == kind} == trained


def test_the_medicines_table_is_well_formed() -> None:
    assert len(MEDICINES) >= 150
    inns = [medicine["inn"] for medicine in MEDICINES]
    assert len({inn.lower() for inn in inns}) == len(inns)
    for medicine in MEDICINES:
        assert all(cell and cell == cell.strip() and cell.isascii() for cell in medicine.values()), medicine
        assert re.fullmatch(r"[A-Z]\d{2}[A-Z]{2}\d{2}", medicine["atc_code"]), medicine
        assert re.fullmatch(r"\d+ [a-z]+", medicine["pack"]), medicine
        assert re.match(r"\d", medicine["strength"]), medicine
        assert medicine["storage"] in STORAGE, medicine
        assert not listed(medicine["indications"]) & listed(medicine["contraindications"]), medicine


def test_salts_are_those_of_medicines_in_the_table() -> None:
    salted = [inn for inns in normalise.SALTS.values() for inn in inns.split()]
    assert len(set(salted)) == len(salted)
    assert set(salted) <= {medicine["inn"] for medicine in MEDICINES}


def test_tender_lines_hold_what_their_answers_say(rows: dict[str, tuple[Example, ...]]) -> None:
    by_inn = {medicine["inn"]: medicine for medicine in MEDICINES}
    for row in of_kind(rows, "normalise"):
        inn, strength, form, pack = row.completion.split("; ")
        line = row.prompt.split("\n")[1].removeprefix("Line: ")
        assert whole(inn).search(line)
        assert (strength, form) == (by_inn[inn]["strength"], by_inn[inn]["form"])
        bare = strength.replace(" ", "").lower()
        assert bare in line.replace(" ", "").lower().replace("mcg", "micrograms")
        assert any(written.lower() in line.lower() for written in normalise.FORMS.get(form, (form,))), row
        assert pack.rpartition(" ")[0] == pack_in(line), row
        assert pack.endswith("s")


def pack_in(line: str) -> str:
    product = re.search(r"\b(\d+) ?x ?(\d+)", line, re.IGNORECASE)
    if product:
        return f"{product[1]} x {product[2]}"
    unit = "'s| (?:nos|vials?|amp|ampoules|btl|bot|bottles|tubes?|syringes)\\b"
    single = re.search(rf"(?:qty:?|pack of) (\d+)|\b(\d+)(?:{unit})", line, re.IGNORECASE)
    assert single, line
    return single[1] or single[2]


def test_bids_follow_from_the_prompts_own_lines(rows: dict[str, tuple[Example, ...]]) -> None:
    refrigerated = {medicine["inn"] for medicine in MEDICINES if medicine["storage"].startswith("refrigerate")}
    for row in of_kind(rows, "bid"):
        _, item, *lines, _ = row.prompt.split("\n")
        broken = []
        for line in lines:
            code, head, rest = re.fullmatch(r"(R\d) ([^:]+): (.+)", line).groups()
            match = re.fullmatch(r"(\d+) \w+, (meets|below|within|above) the (minimum|maximum) of (\d+)", rest)
            if match:
                offered, stands, bound, wanted = int(match[1]), match[2], match[3], int(match[4])
                most, least = sorted((wanted, offered), reverse=True)
                assert most >= 1.25 * least, line
                met = (offered > wanted) == (bound == "minimum")
                assert (stands in ("meets", "within")) == met, line
            else:
                assert rest in ("needed, offered", "needed, missing", "not needed"), line
                met = rest != "needed, missing"
            if head == "cold chain":
                assert rest.startswith("needed") == (item.removeprefix("Item: ") in refrigerated)
            if not met:
                broken.append(code)
        assert sorted(line[:2] for line in lines) == ["R1", "R2", "R3", "R4"]
        assert len(lines) == 4
        assert row.completion == (f"no bid; {broken[0]}" if broken else "bid")
        assert len(broken) <= 1
    for split in SPLITS:
        shares = Counter(row.completion for row in rows[split] if row.kind == "bid")
        assert len({count for answer, count in shares.items() if answer != "bid"}) == 1
        assert 0.22 < shares["bid"] / shares.total() < 0.28


def test_indications_follow_from_the_table(rows: dict[str, tuple[Example, ...]]) -> None:
    facts = {fact for one in MEDICINES for side in ("indications", "contraindications") for fact in listed(one[side])}
    ordered = sorted(facts, key=lambda fact: (-len(fact), fact))
    any_fact = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)", re.IGNORECASE)
    canonical = {fact.lower(): fact for fact in facts}
    for row in of_kind(rows, "indication"):
        text, condition = row.prompt.split("\n")[1:3]
        condition = condition.removeprefix("Condition: ")
        stated = {canonical[fact.lower()] for fact in any_fact.findall(text)}
        sources = list(medicines_stating(text, stated))
        assert sources, row
        roles = {role_of(condition, one, stated) for one in sources}
        assert row.completion in roles, row
        if len(stated) == 2:
            assert roles == {row.completion}, row
        if row.completion == "not stated":
            assert not whole(condition).search(text), row
            assert any(
                condition not in listed(one["indications"]) | listed(one["contraindications"]) for one in sources
            ), row
    for split in SPLITS:
        shares = Counter(row.completion for row in rows[split] if row.kind == "indication")
        assert shares["indication"] == shares["contraindication"] == 2 * shares["not stated"]


def medicines_stating(text: str, stated: set[str]) -> Iterator[dict[str, str]]:
    """The medicines that a text can be about: the one it names, or all that have every fact in it."""
    named = [one for one in MEDICINES if whole(one["inn"]).search(text)]
    for one in named or MEDICINES:
        if stated <= listed(one["indications"]) | listed(one["contraindications"]):
            yield one


def role_of(condition: str, medicine: dict[str, str], stated: set[str]) -> str:
    if condition not in stated:
        return "not stated"
    return "indication" if condition in listed(medicine["indications"]) else "contraindication"
