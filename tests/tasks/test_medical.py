"""The medical data set: answers worked out again from prompts and table, splits by presentation, and its metric."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from tasks import jsonl
from tasks.example import Example
from tasks.medical import DATA, TASK, note_score

SPLITS = ("train", "validation", "test")
ORDER = ("RR", "SpO2", "BP", "HR", "T")
IN_NOTES = {
    "RR": r"\b(?:RR|resps?|resp rate|R) (\d+)\b(?!/\d)",
    "SpO2": r"\b(?:sats|SpO2) (\d+)%",
    "BP": r"\b(?:BP|B/P|blood pressure) (\d+/\d+)",
    "HR": r"(?<!/)\b(?:HR|pulse|P|heart rate) (\d+)\b",
    "T": r"\b(?:T|temp|temperature) (\d+\.\d)\b",
}
WORDS = {
    ("RR", "high"): "tachypnoeic",
    ("RR", "low"): "bradypnoeic",
    ("SpO2", "low"): "hypoxic",
    ("BP", "high"): "hypertensive",
    ("BP", "low"): "hypotensive",
    ("HR", "high"): "tachycardic",
    ("HR", "low"): "bradycardic",
    ("T", "high"): "febrile",
    ("T", "low"): "hypothermic",
}
SHORT = {"h": "hours", "/7": "days", "/52": "weeks", "/12": "months"}
IN_FULL = {
    "T2DM": "type 2 (?:diabetes|DM)",
    "T1DM": "type 1 (?:diabetes|DM)",
    "HTN": "hypertension|high BP",
    "IHD": "ischaemic heart disease",
    "CKD": "chronic kidney disease",
    "COPD": "chronic obstructive pulmonary disease",
    "OA": "osteoarthritis",
    "AF": "atrial fibrillation",
    "DVT": "deep vein thrombosis",
}
DENIED = re.compile(r"(?:no|nil|neg for|absent:|not present:) |.* ruled out$", re.IGNORECASE)
PENDING = re.compile(
    r"(?:awaiting|chasing|no) |.* (?:awaited|still to book|not yet done|pending|delayed)$", re.IGNORECASE
)


def listed(cell: str) -> list[str]:
    return [item for item in cell.split("; ") if item]


with (DATA.parent / "conditions.csv").open(encoding="utf-8", newline="") as opened:
    TABLE = list(csv.DictReader(opened))
BY_NAME = {row["condition"]: row for row in TABLE}


def features(row: Mapping[str, str]) -> list[str]:
    return [item.replace("{side} ", "") for key in ("symptoms", "history", "signs") for item in listed(row[key])]


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[Example, ...]]:
    raw = jsonl.load(DATA)
    assert raw.warnings == ()
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


def of_kind(rows: Mapping[str, tuple[Example, ...]], kind: str) -> Iterator[Example]:
    return (row for split in SPLITS for row in rows[split] if row.kind == kind)


def sided(signs: list[str]) -> set[str]:
    return {sign.replace("{side}", side) for sign in signs for side in "RL"}


def whole(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def said(phrase: str, clauses: list[str]) -> int:
    return sum(len(whole(phrase).findall(clause)) for clause in clauses)


def clauses_of(prompt: str, besides: re.Pattern[str]) -> list[str]:
    """The clauses of a prompt, without those that deny or postpone what they name."""
    return [clause for clause in re.split(r"\.(?=\s|$)|;|\n", prompt) if not besides.match(clause.strip())]


def ranges() -> dict[str, tuple[float, float]]:
    """The normal ranges as the system prompt states them."""
    found = re.findall(r"(\w+) (\d+)(?:-(\d+(?:\.\d)?)|\+)", str(TASK.system_prompt))
    return {name.replace("SBP", "BP"): (float(low), float(high or "inf")) for name, low, high in found}


def observed(prompt: str) -> dict[str, tuple[str, str]]:
    """Value and flag of every observation in a prompt, in the order of the chart."""
    found = {name: re.search(IN_NOTES[name], prompt, re.IGNORECASE) for name in ORDER}
    values = {name: match[1] for name, match in found.items() if match}
    normal = ranges()

    def flag(name: str, number: float) -> str:
        return "low" if number < normal[name][0] else "high" if number > normal[name][1] else "normal"

    return {name: (value, flag(name, float(value.split("/")[0]))) for name, value in values.items()}


def test_rows_have_exactly_three_keys_are_ascii_and_synthetic_in_form() -> None:
    patients: Counter[str] = Counter()
    for split in SPLITS:
        for line in (DATA / f"{split}.jsonl").read_bytes().splitlines():
            assert line.isascii()
            row = json.loads(line)
            assert list(row) == ["prompt", "completion", "kind"]
            found = re.findall(r"SYN-\d{4}", row["prompt"])
            assert len(found) == 1
            patients.update(found)
    assert set(patients.values()) == {1}


def test_the_card_states_the_limits() -> None:
    assert str(TASK.limits) in (DATA.parent / "README.md").read_text(encoding="utf-8")


def test_the_table_is_well_formed() -> None:
    assert len(TABLE) == len(BY_NAME) >= 45
    assert len({row["system"] for row in TABLE}) >= 12
    lists = ("symptoms", "history", "signs", "risk_factors", "red_flags", "investigations", "differential")
    for row in TABLE:
        group = [other for other in TABLE if other["presentation"] == row["presentation"]]
        assert set(listed(row["differential"])) == {other["condition"] for other in group} - {row["condition"]}
        assert len(listed(row["differential"])) == 3
        for key in lists:
            assert len(set(listed(row[key]))) == len(listed(row[key]))
        others = {item for other in group if other is not row for item in features(other)}
        assert len(set(features(row)) - others) >= 5
        for item in listed(row["vitals"]):
            name, low, high = re.fullmatch(r"(T|HR|RR|SpO2|SBP) ([\d.]+)-([\d.]+)", item).groups()  # type: ignore[union-attr]
            least, most = {"T": (35, 40), "HR": (40, 200), "RR": (10, 36), "SpO2": (84, 99), "SBP": (80, 195)}[name]
            assert least <= float(low) < float(high) <= most


@pytest.mark.parametrize("key", ["features", "red_flags", "investigations"])
def test_no_phrase_of_a_presentation_contains_another(key: str) -> None:
    for presentation in {row["presentation"] for row in TABLE}:
        group = [row for row in TABLE if row["presentation"] == presentation]
        phrases = {item for row in group for item in (features(row) if key == "features" else listed(row[key]))}
        names = {presentation, *(row["condition"] for row in group)} if key == "features" else set()
        nested = [
            (one, other) for one in phrases for other in phrases | names if one != other and whole(one).search(other)
        ]
        assert nested == []


def test_presentations_are_divided(rows: dict[str, tuple[Example, ...]]) -> None:
    def names(row: Example) -> set[str]:
        if row.kind == "differential":
            return {item.partition(":")[0] for item in row.completion.split("; ")}
        return {name for name in BY_NAME if row.kind == "jobs" and whole(name).search(row.prompt)}

    found = {split: {BY_NAME[name]["presentation"] for row in rows[split] for name in names(row)} for split in SPLITS}
    assert not found["train"] & found["test"]
    assert not found["train"] & found["validation"]
    assert not found["validation"] & found["test"]
    assert sum(map(len, found.values())) == len({row["presentation"] for row in TABLE})


def test_vitals_follow_from_the_note_and_the_system_prompt(rows: dict[str, tuple[Example, ...]]) -> None:
    assert set(ranges()) == set(ORDER)
    for row in of_kind(rows, "vitals"):
        expected = [f"{name} {value} {flag}" for name, (value, flag) in observed(row.prompt).items()]
        assert row.completion == "; ".join(expected), row.prompt


def test_summaries_follow_from_the_note(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "summary"):
        prompt = re.sub(r"\b(?:right|rt|\(R\))(?!\w)|\(R\)", "R", row.prompt)
        prompt = re.sub(r"\b(?:left|lt|\(L\))(?!\w)|\(L\)", "L", prompt)
        who, background, complaint, obs, signs = row.completion.split("; ")
        assert re.search(rf"\b{who[:-1]}(?:yo| yr old|-year-old| y/o|{who[-1]}| {who[-1]}\b)", prompt), prompt
        number, unit, symptoms = re.fullmatch(r"(\d+) (\w+) of (.*)", complaint).groups()  # type: ignore[union-attr]
        short = next(short for short, long in SHORT.items() if long == unit)
        assert f"{number} {unit}" in prompt or f"{number}{short}" in prompt
        words = [WORDS[name, flag] for name, (_, flag) in observed(prompt).items() if flag != "normal"]
        assert re.split(r", | and ", obs) == (words or ["obs normal"]), prompt
        told = prompt
        for item in [] if background == "no PMH" else re.split(r", | and ", background):
            assert re.search(rf"(?<!\w)(?:{re.escape(item)}|{IN_FULL.get(item, '-')})(?!\w)", prompt), row
            told = whole(item).sub("", told)  # "hay fever" is no fever
        complaints, findings = set(re.split(r", | and ", symptoms)), set(re.split(r", | and ", signs))
        ill = [
            one
            for one in TABLE
            if complaints <= set(listed(one["symptoms"]))
            and complaints == {item for item in listed(one["symptoms"]) if whole(item).search(told)}
            and findings == {item for item in sided(listed(one["signs"])) if whole(item).search(told)}
        ]
        assert ill, row


def test_differentials_are_ranked_by_the_features_that_the_note_states(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "differential"):
        clauses = clauses_of(row.prompt, DENIED)
        diagnoses = [item.partition(": ") for item in row.completion.split("; ")]
        counts = []
        for name, _, support in diagnoses:
            # in the protocol and in the note
            stated = [item for item in features(BY_NAME[name]) if said(item, clauses) >= 2]
            assert sorted(stated) == sorted([] if support == "none" else support.split(", ")), row
            counts.append(len(stated))
        assert counts == sorted(set(counts), reverse=True)
        assert len(counts) == 2


def test_red_flags_are_those_of_the_protocol_that_the_note_states(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "redflag"):
        clauses = clauses_of(row.prompt, DENIED)
        # a presentation may also be in the name of a flag, as in "new headache"
        groups = {one["presentation"] for one in TABLE if whole(one["presentation"]).search(row.prompt)}
        flags = [
            {flag for one in TABLE if one["presentation"] == group for flag in listed(one["red_flags"])}
            for group in groups
        ]
        stated = [{flag for flag in among if said(flag, clauses) >= 2} or {"none"} for among in flags]
        assert set(row.completion.split("; ")) in stated, row


def test_jobs_are_those_of_the_work_up_that_are_not_done(rows: dict[str, tuple[Example, ...]]) -> None:
    for row in of_kind(rows, "jobs"):
        name = next(name for name in BY_NAME if whole(name).search(row.prompt))
        clauses = clauses_of(whole(name).sub("", row.prompt), PENDING)
        tests = [
            test for test in listed(BY_NAME[name]["investigations"]) if said(test, [whole(name).sub("", row.prompt)])
        ]
        left = {test for test in tests if said(test, clauses) < 2}
        assert set(row.completion.split("; ")) == (left or {"none"}), row


SUMMARY = Example("note", "45F; T2DM; 3 days of cough; febrile and hypoxic; R basal crackles", kind="summary")
RANKED = Example("note", "DVT: calf pain, warm calf; gout: none; cellulitis: fever", kind="differential")
VITALS = Example("note", "RR 22 high; BP 128/76 normal", kind="vitals")


@pytest.mark.parametrize(
    ("answer", "example", "score"),
    [
        (SUMMARY.completion, SUMMARY, 1.0),
        ("45F; T2DM; 3 days of cough; febrile; R basal crackles", SUMMARY, (4 + 0.5) / 5),
        ("45F; T2DM; 3 days of cough; febrile and hypoxic", SUMMARY, 4 / 5),
        ("T2DM; 45F; 3 days of cough; febrile and hypoxic; R basal crackles", SUMMARY, 3 / 5),
        (f"{SUMMARY.completion}; stable", SUMMARY, 5 / 6),
        (RANKED.completion, RANKED, 1.0),
        ("DVT: calf pain; gout: none; cellulitis: fever", RANKED, (3 * (1 + 2 / 3) / 2 + 3) / 6),
        ("DVT", RANKED, 3 / 2 / 6),
        ("gout: none; DVT: calf pain, warm calf; cellulitis: fever", RANKED, 1 / 6),
        (VITALS.completion, VITALS, 1.0),
        ("BP 128/76 normal; RR 22 normal", VITALS, 0.5),
    ],
)
def test_the_score_counts_fields_places_and_items(answer: str, example: Example, score: float) -> None:
    assert note_score(answer, example) == pytest.approx(score)
