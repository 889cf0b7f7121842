"""The legal data set: answers worked out again from the prompts and the texts, no text in two splits, and its metric."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tasks import jsonl
from tasks.example import Example
from tasks.legal import DATA, TASK, fields_in_order, wording
from tasks.legal.questions import cap, clause, notice, risk

SPLITS = ("train", "validation", "test")
FOLDER = DATA.parent
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = dict(zip(ONES.split(), range(20), strict=True)) | dict(zip(TENS.split(), range(20, 100, 10), strict=True))
with (FOLDER / "names.csv").open(encoding="ascii", newline="") as names_file:
    NAMES = [row["name"] for row in csv.DictReader(names_file)]
PARTY = r"(?:[Tt]he )?[A-Z][\w-]*(?: [A-Z][\w-]*){0,2}"
NUMBER = r"(?:\d+(?:\.\d)?|[A-Za-z]+(?:-[a-z]+)?(?: \(\d+\))?)"
PERIOD = rf"{NUMBER} (?:(?:calendar|running|business|working|consecutive) )?(?:days|hours|months|years)"
FIGURE = "|".join(
    (
        r"(?:US\$|[A-Z]{3} )\d+(?:,\d{3})*(?: per day or pro rata| per day pro rata| per day| per running day| a day| daily| PDPR)?",
        PERIOD,
        rf"{NUMBER}%|{NUMBER} per cent",
        r"\d+(?:,\d{3})* (?:metric tons|mt|tonnes)(?: a day| per day| per weather working day| PWWD| per working day)?",
        r"\d+ (?:nautical |sea )?miles",
        r"[A-Z][a-z]+ \d+, \d{4}|\d+(?:st|nd|rd|th)? [A-Z][a-z]+ \d{4}",
        r"[A-Z][a-z]+ law",
    )
)


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[Example, ...]]:
    raw = jsonl.load(DATA)
    assert raw.warnings == ()
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


@cache
def sections(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"": []}
    section = ""
    for line in (FOLDER / name).read_text(encoding="ascii").splitlines():
        if line.startswith("== "):
            section = line[3:]
            found[section] = []
        elif line:
            found[section].append(line)
    return found


def file_of(kind: str) -> str:
    return f"clauses/{kind.replace(' ', '_')}.txt"


@cache
def patterns(name: str, section: str) -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """The texts of a section, their longest words that never change, in lower case, and what they can become."""
    return tuple((body, fixed(body), pattern(body)) for body in sections(name)[section])


def fixed(body: str) -> str:
    plain = re.sub(r"\[[^\]]*\]|\{[^}]*\}", "\n", body.lower())
    return max((part.strip(" ,;.:") for part in plain.split("\n")), key=len)


def pattern(body: str) -> re.Pattern[str]:
    """What a text of the library can become, with a group for each party and figure that its answers name."""
    made = ""
    for place, part in enumerate(re.findall(r"\{[^}]*\}|[\[\]|]|[^\[\]|{}]+", body.removesuffix("."))):
        if part in ("[", "]", "|"):
            made += {"[": "(?:", "]": ")", "|": "|"}[part]
        elif part.startswith("{"):
            made += slot(part[1:-1], place)
        else:
            made += "".join(literal(char) for char in part)
    return re.compile(rf"{made}\s*[.,;]*(?=$|\s[A-Z])")


def literal(char: str) -> str:
    if char == " ":
        return r"(?:\s+|(?=[.,;:])|(?<=\s)|$)"  # alternatives may be empty, and spaces beside them are joined
    if char in ",;.":
        return rf"{re.escape(char)}?"
    return f"[{char}{char.upper()}]" if char.islower() else re.escape(char)


def slot(name: str, place: int) -> str:
    if re.fullmatch(r"[AB]:.*", name):
        return rf"(?:{name[2:].replace('/', '|')})"
    if name[0] in "AB":
        rest = name[1:].strip()
        ending = r"(?:'s|')" if rest == "'s" else rf" (?:{rest.replace('/', '|')})" if rest else ""
        return rf"(?P<{name[0]}_{place}>{PARTY}){ending}"
    if name == "to":
        return rf"(?P<to_{place}>{PARTY}(?:(?:'s|') (?:{'|'.join(wording.ADDRESSEES)}))?)"
    if name == "form":
        return rf"(?P<form_{place}>{'|'.join(sorted(wording.FORMS, key=len, reverse=True))})"
    if name in ("except", "a1", "a2", "b1", "b2"):
        return rf"(?P<{name}_{place}>[A-Za-z][A-Za-z -]*?)"
    if name in ("deal", "ship", "ship's", "goods", "place"):
        return r"[\w ']+?"
    return rf"(?P<figure_{place}>{FIGURE})" if name.startswith("*") else rf"(?:{FIGURE})"


def bare(party: str) -> str:
    return re.sub("^the ", "", party.strip(), flags=re.IGNORECASE)


def number(text: str) -> str:
    """`fourteen (14)`, `fourteen` and `14` as `14`."""
    digits = re.search(r"\d[\d.,]*", text)
    if digits:
        return digits[0]
    return str(sum(WORDS[word] for word in text.lower().split("-")))


def normal(text: str) -> str:
    """A figure of a clause as the conventions of the data card write it."""
    text = text.strip()
    if match := re.fullmatch(r"(?:US\$|USD ?)([\d,]+)(.*)", text):
        return f"USD {match[1]}" + (" per day" if match[2].strip() else "")
    if match := re.fullmatch(r"([A-Z]{3} [\d,]+)(.*)", text):
        return match[1] + (" per day" if match[2].strip() else "")
    if match := re.fullmatch(r"(.+?) ?(?:%|per cent)", text):
        return f"{number(match[1])}%"
    if match := re.fullmatch(r"([\d,]+) (?:metric tons|mt|tonnes)( .*)?", text, re.IGNORECASE):
        return f"{match[1]} tons" + (" per day" if match[2] else "")
    if match := re.fullmatch(r"(\d+) (?:nautical |sea )?miles", text):
        return f"{match[1]} miles"
    if match := re.fullmatch(r"([A-Z][a-z]+) (\d+), (\d{4})", text):
        return f"{match[2]} {match[1]} {match[3]}"
    if match := re.fullmatch(r"(\d+)(?:st|nd|rd|th)? ([A-Z][a-z]+ \d{4})", text):
        return f"{match[1]} {match[2]}"
    if match := re.fullmatch(r"(.+?) ((?:\w+ )?(?:days|hours|months|years))", text):
        return f"{number(match[1])} {match[2]}"
    return text


def clause_of(row: Example) -> str:
    text, question = row.prompt.rsplit("\n", 1)
    assert "\n" not in text
    assert question
    return text


def read(text: str, body: re.Pattern[str]) -> dict[str, set[str]] | None:
    """The parties, figures and other words that stand in the slots of a text, in lower case; None if it does not fit."""
    match = body.search(text)
    if match is None:
        return None
    found: dict[str, set[str]] = {}
    for group, value in match.groupdict().items():
        if value is not None:
            name = group.split("_")[0]
            found.setdefault(name, set()).add((normal(value) if name == "figure" else bare(value)).lower())
    return found


def fitting(text: str, name: str, section: str, wanted: dict[str, str]) -> Iterator[str]:
    """The texts of a section that the prompt can be made of with the parties and figures of the answer."""
    for body, words, made in patterns(name, section):
        found = read(text, made) if words in text.lower() else None
        if found is not None and all(found.get(slot) == {value.lower()} for slot, value in wanted.items()):
            yield body


def of_kind(rows: dict[str, tuple[Example, ...]], kind: str) -> Iterator[tuple[str, Example]]:
    return ((split, row) for split in SPLITS for row in rows[split] if row.kind == kind)


def homes(found: list[tuple[str, Example, list[str]]]) -> dict[str, set[str]]:
    """The splits of each text; every row must fit one."""
    assert [row.prompt for _, row, bodies in found if not bodies] == []
    splits: dict[str, set[str]] = defaultdict(set)
    for split, _, bodies in found:
        if len(bodies) == 1:
            splits[bodies[0]].add(split)
    return splits


def check_answers_and_homes(found: list[tuple[str, Example, list[str]]], texts: int) -> None:
    splits = homes(found)
    assert {body: places for body, places in splits.items() if len(places) > 1} == {}
    assert len(splits) == texts


@pytest.mark.slow  # compiles hundreds of patterns
def test_clauses_are_of_the_type_with_the_party_and_figure_of_the_answer(rows: dict[str, tuple[Example, ...]]) -> None:
    found = []
    for split, row in of_kind(rows, clause.KIND):
        kind, party, figure = row.completion.split("; ")
        text = clause_of(row)
        found.append((split, row, list(fitting(text, file_of(kind), "clause", {"A": party, "figure": figure}))))
    check_answers_and_homes(found, sum(len(sections(f"clauses/{file.name}")["clause"]) for file in clause_files()))


@pytest.mark.slow  # compiles hundreds of patterns
def test_notices_have_the_time_form_and_addressee_of_the_answer(rows: dict[str, tuple[Example, ...]]) -> None:
    names = [f"clauses/{file.name}" for file in clause_files() if "notice" in sections(f"clauses/{file.name}")]
    found = []
    for split, row in of_kind(rows, notice.KIND):
        figure, form, to = row.completion.split("; ")
        text, wanted = clause_of(row), {"figure": figure, "form": form, "to": to}
        found.append((split, row, [body for name in names for body in fitting(text, name, "notice", wanted)]))
    check_answers_and_homes(found, sum(len(sections(name)["notice"]) for name in names))


def test_caps_have_the_party_limit_and_exception_of_the_answer(rows: dict[str, tuple[Example, ...]]) -> None:
    found = []
    for split, row in of_kind(rows, cap.KIND):
        party, figure, exception = row.completion.split("; ")
        wanted = {"A": party, "figure": figure, "except": exception}
        found.append((split, row, list(fitting(clause_of(row), "caps.txt", "clause", wanted))))
    check_answers_and_homes(found, len(sections("caps.txt")["clause"]))


def test_questions_are_about_the_type_whose_clause_has_the_number(rows: dict[str, tuple[Example, ...]]) -> None:
    asked = {
        text: file_name(file.stem) for file in clause_files() for text in sections(f"clauses/{file.name}")["question"]
    }
    for _, row in of_kind(rows, "find"):
        place, kind, figure = row.completion.split("; ")
        assert [name for text, name in asked.items() if text in row.prompt.split("\n")[-1]] == [kind]
        assert kind in row.prompt.split("Types: ")[1]
        listed = dict(re.findall(r"^\W*(?:Cl\. )?(\d+)[.):\]]+ (.*)$", row.prompt, re.MULTILINE))
        assert len(listed) in (2, 3)
        assert list(fitting(listed[place], file_of(kind), "clause", {"figure": figure}))


def test_losses_have_the_cause_of_the_event_and_a_party_of_the_clause(rows: dict[str, tuple[Example, ...]]) -> None:
    events = {
        event.replace("{loss}", ""): cause
        for name in ("risks_at_sea.txt", "risks_ashore.txt")
        for cause, texts in sections(name).items()
        if cause not in ("", "clause")
        for event in texts
    }
    for _, row in of_kind(rows, risk.KIND):
        cause, party, loss = row.completion.split("; ")
        *texts, question = row.prompt.split("\n")
        assert question in risk.QUESTIONS
        held = [found for text in texts if (found := of_event(text, events))]
        assert held == [(cause, loss)]
        (clause_text,) = [text for text in texts if not of_event(text, events)]
        assert bearer(clause_text, cause) == party.lower()


def of_event(text: str, events: dict[str, str]) -> tuple[str, str] | None:
    """The cause of an event, and the loss in it; None for another text."""
    for loss in re.finditer(r"(?:US\$|[A-Z]{3} )\d+(?:,\d{3})*|[\w-]+ (?:days|hours)", text):
        rest = f"{text[: loss.start()]}{text[loss.end() :]}".lower()
        for event, cause in events.items():
            if event.lower() == rest:
                return cause, normal(loss[0])
    return None


def bearer(text: str, cause: str) -> str:
    """The party that a clause puts a cause on, in lower case."""
    found = [
        read(text, made) for name in ("risks_at_sea.txt", "risks_ashore.txt") for _, _, made in patterns(name, "clause")
    ]
    (slots,) = [slots for slots in found if slots is not None]
    (side,) = [slot[0].upper() for slot, values in slots.items() if slot[0] in "ab" and values == {cause}]
    (party,) = slots[side]
    return party


def test_names_of_parties_are_in_one_split_and_share_no_word_across(rows: dict[str, tuple[Example, ...]]) -> None:
    texts = {split: "\n".join(row.prompt for row in rows[split]) for split in SPLITS}
    found = {name: [split for split in SPLITS if name in texts[split]] for name in NAMES}
    assert {name: splits for name, splits in found.items() if len(splits) != 1} == {}
    assert len({name.split()[0] for name in NAMES}) == len(NAMES)


def test_rows_are_ascii_with_three_fields_and_no_trace_of_the_notation(rows: dict[str, tuple[Example, ...]]) -> None:
    for split in SPLITS:
        for row in rows[split]:
            assert (row.prompt + row.completion).isascii()
            assert len(row.completion.split("; ")) == 3
            assert not re.search(r"[{}|*]|  | [,.;]|\.\.|,[.,]", row.prompt)
            assert len(row.prompt.split()) <= 120


def test_every_type_has_twelve_clauses_and_every_section_is_in_every_split() -> None:
    assert len(clause_files()) >= 18
    for file in clause_files():
        assert len(sections(f"clauses/{file.name}")["clause"]) >= 12


def clause_files() -> list[Path]:
    return sorted((FOLDER / "clauses").glob("*.txt"))


def file_name(stem: str) -> str:
    return stem.replace("_", " ")


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("lien; Owners; 10 days", 1.0),
        (" Lien;owners ; 10 days.\n", 1.0),
        ("Owners; lien; 10 days", 1 / 3),
        ("lien; Charterers; 10 days", 2 / 3),
        ("lien; Owners", 2 / 3),
        ("lien; Owners; 10 days; 12 days", 3 / 4),
        ("lien", 1 / 3),
        ("", 0.0),
        (";;", 0.0),
        ("The clause is a lien of the Owners for 10 days.", 0.0),
    ],
)
def test_the_metric_is_the_share_of_fields_right_in_their_place(answer: str, score: float) -> None:
    assert fields_in_order(answer, Example("?", "lien; Owners; 10 days")) == pytest.approx(score)


def test_the_task_states_that_it_is_no_legal_advice() -> None:
    assert TASK.limits is not None
    assert "Not legal advice" in TASK.limits
