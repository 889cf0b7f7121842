"""The pharma data set: well-formed tables, no leaks, and answers that follow from the prompts."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

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


@cache
def whole(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", re.IGNORECASE)


MEDICINES = table("medicines.csv")
BY_INN = {medicine["inn"]: medicine for medicine in MEDICINES}
KEYWORDS = {row["name"]: row["keywords"].split("; ") for row in table("keywords.csv")}
TEXTS = {
    "document": {row["situation"]: row["document"] for row in table("documents.csv")},
    "term": {row["definition"]: row["term"] for row in table("terms.csv")},
}


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


def test_no_kind_carries_the_mean(rows: dict[str, tuple[Example, ...]]) -> None:
    assert {split: len(rows[split]) for split in SPLITS} == {"train": 3000, "validation": 600, "test": 600}
    for split in SPLITS:
        counts = Counter(row.kind for row in rows[split])
        assert counts == dict.fromkeys(KINDS, len(rows[split]) // len(KINDS))


def test_prompts_are_short_and_completions_bare(rows: dict[str, tuple[Example, ...]]) -> None:
    for split in SPLITS:
        words = [len(row.prompt.split()) for row in rows[split]]
        assert max(words) <= 60
        assert sum(words) / len(words) <= 30
        for row in rows[split]:
            assert row.prompt == row.prompt.strip()
            assert row.completion == row.completion.strip()
            assert not row.completion.endswith(".")
            assert len(row.completion.split("; ")) == (4 if row.kind == "normalise" else 3)


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


def test_the_medicines_table_is_well_formed() -> None:
    assert len(MEDICINES) >= 150
    assert len({inn.lower() for inn in BY_INN}) == len(MEDICINES)
    for medicine in MEDICINES:
        assert all(cell and cell == cell.strip() and cell.isascii() for cell in medicine.values()), medicine
        assert re.fullmatch(r"[A-Z]\d{2}[A-Z]{2}\d{2}", medicine["atc_code"]), medicine
        assert re.fullmatch(r"\d+ [a-z]+", medicine["pack"]), medicine
        assert re.match(r"\d", medicine["strength"]), medicine
        assert medicine["storage"] in STORAGE, medicine
        assert not listed(medicine["indications"]) & listed(medicine["contraindications"]), medicine
        for facts in ("indications", "contraindications"):
            stated = medicine[facts].split("; ")
            assert len(set(stated)) == len(stated), medicine


def test_one_medicine_has_one_atc_code() -> None:
    assert len({medicine["atc_code"] for medicine in MEDICINES}) == len(MEDICINES)


def test_every_text_holds_a_key_word_of_its_name_and_no_key_word_has_two_names() -> None:
    assert set(KEYWORDS) == {name for texts in TEXTS.values() for name in texts.values()}
    words = [word for words in KEYWORDS.values() for word in words]
    for texts in TEXTS.values():
        own = [word.lower() for name in set(texts.values()) for word in KEYWORDS[name]]
        assert len(set(own)) == len(own)
        for text, name in texts.items():
            assert any(whole(word).search(text) for word in KEYWORDS[name]), text
    everything = "\n".join(text for texts in TEXTS.values() for text in texts)
    assert [word for word in words if not whole(word).search(everything)] == []


def test_salts_are_those_of_medicines_in_the_table() -> None:
    salted = [inn for inns in normalise.SALTS.values() for inn in inns.split()]
    assert len(set(salted)) == len(salted)
    assert set(salted) <= set(BY_INN)


def test_tender_lines_hold_what_their_answers_say(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "normalise"):
        inn, strength, form, pack = row.completion.split("; ")
        line = row.prompt
        assert whole(inn).search(line)
        assert (strength, form) == (BY_INN[inn]["strength"], BY_INN[inn]["form"])
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


BROKEN = {
    *("short", "poor", "insufficient", "late", "slow", "missing", "expired", "no"),
    *("broken", "defective", "torn", "hot", "unsafe", "low", "high", "excessive"),
}
AT_LEAST = {"shelf life", "validity", "quantity"}
AT_MOST = {"delivery", "transport", "advance", "freight"}
COLD_ONLY = {"cold chain", "temperature logger"}
WARM_ONLY = {"transport", "moisture barrier"}
OFFERED = re.compile(
    r"(?:(?:then|plus|with|given) )?([a-z]+) ([A-Za-z ]+?)(?:, (\d+) against (\d+) [A-Za-z]+)? \((R\d)\)"
)


def test_bids_follow_from_the_prompts_own_rows(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "bid"):
        inn, reason, decision = row.completion.split("; ")
        offered = list(OFFERED.finditer(row.prompt))
        assert len({match[5] for match in offered}) == 3, row
        broken = [row.prompt[match.start(1) : match.end()] for match in offered if match[1] in BROKEN]
        price = re.search(r"EUR \d+\.\d\d", row.prompt)
        assert price
        assert (reason, decision) == ((broken[0], "no bid") if broken else (price[0], "bid")), row
        assert len(broken) <= 1
        assert whole(inn).search(row.prompt)
        topics = {match[2] for match in offered}
        cold = BY_INN[inn]["storage"].startswith("refrigerate")
        assert not topics & (WARM_ONLY if cold else COLD_ONLY), row
        for match in offered:
            if match[3]:
                ours, wanted = int(match[3]), int(match[4])
                assert max(ours, wanted) >= 1.25 * min(ours, wanted), row
                assert match[2] in AT_LEAST | AT_MOST
                assert (match[1] in BROKEN) == ((ours < wanted) == (match[2] in AT_LEAST)), row


def test_every_rule_is_broken_equally_often(rows: dict[str, tuple[Example, ...]]) -> None:
    for split in SPLITS:
        reasons = Counter(
            re.search(r"R\d|^EUR", row.completion.split("; ")[1])[0] for row in rows[split] if row.kind == "bid"
        )
        bids = reasons.pop("EUR")
        assert bids / (bids + reasons.total()) == 0.4
        assert set(reasons) == {"R1", "R2", "R3", "R4"}
        assert max(reasons.values()) - min(reasons.values()) <= 1


def test_conditions_are_classed_as_in_the_table(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "indication"):
        inn, evidence, label = row.completion.split("; ")
        medicine = BY_INN[inn]
        assert whole(inn).search(row.prompt)
        stated = {name: listed(medicine[f"{name}s"]) for name in ("indication", "contraindication")}
        if label == "not stated":
            condition = evidence.removeprefix("nothing on ")
            assert len(whole(condition).findall(row.prompt)) == 1, row
            assert not any(condition in facts for facts in stated.values()), row
            continue
        condition = next(fact for fact in sorted(stated[label], key=len, reverse=True) if evidence.endswith(fact))
        assert evidence.lower() in row.prompt.lower()
        assert len(whole(condition).findall(row.prompt)) >= 2, "stated and asked"
        against = re.match(
            r"contra|ruled out|forb|prohib|barred|not |never|un|excl|banned|to be|no |dang|off ", evidence
        )
        assert (against is not None) == (label == "contraindication"), row
    for split in SPLITS:
        labels = Counter(row.completion.split("; ")[-1] for row in rows[split] if row.kind == "indication")
        assert labels["indication"] == labels["contraindication"] == 2 * labels["not stated"]


@pytest.mark.parametrize("kind", ["term", "document"])
def test_look_ups_follow_from_the_rule_whose_key_word_the_text_holds(
    rows: dict[str, tuple[Example, ...]], kind: str
) -> None:
    homes: dict[str, set[str]] = {}
    places: Counter[int] = Counter()
    for split in SPLITS:
        for row in (row for row in rows[split] if row.kind == kind):
            place, word, name = row.completion.split("; ")
            text = next(text for text in TEXTS[kind] if text in row.prompt)
            homes.setdefault(text, set()).add(split)
            rules = rules_in(row.prompt.replace(text, ""), kind)
            assert len(rules) == 3, row
            assert [rule for rule in rules if whole(rule[0]).search(text)] == [(word, name)], row
            assert TEXTS[kind][text] == name
            assert whole(place).search(row.prompt.replace(text, ""))
            places[rules.index((word, name))] += 1
    assert {text: splits for text, splits in homes.items() if len(splits) > 1} == {}
    assert set(homes) == set(TEXTS[kind])
    assert max(places.values()) < 0.4 * places.total()


def rules_in(prompt: str, kind: str) -> list[tuple[str, str]]:
    """Key words and the names they lead to, in the order of the prompt."""
    return [(match[1], match[2]) for match in rule_of(kind).finditer(prompt)]


@cache
def rule_of(kind: str) -> re.Pattern[str]:
    names = set(TEXTS[kind].values())
    words = "|".join(re.escape(word) for name in names for word in KEYWORDS[name])
    arrow = r"(?:: | [-=>]{1,2} |, see | (?:goes|points|belongs) to | is in )"
    return re.compile(rf"(?<![\w-])({words}){arrow}({'|'.join(map(re.escape, names))})\b")


def test_held_out_answers_of_closed_sets_are_in_train(rows: dict[str, tuple[Example, ...]]) -> None:
    for kind in KINDS - {"normalise"}:
        trained = {row.completion.split("; ")[-1] for row in rows["train"] if row.kind == kind}
        for split in ("validation", "test"):
            assert {row.completion.split("; ")[-1] for row in rows[split] if row.kind == kind} <= trained
